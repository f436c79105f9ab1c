//! Renders result files: one as its report, several as a comparison, a folder as the pages of many
//! machines.
//!
//! `cargo run -p reports --example render -- OUT.html RUN.jsonl [RUN.jsonl …]`
//! `cargo run -p reports --example render -- SITE DIR`

use std::path::Path;
use std::process::ExitCode;

use reports::site::Collection;
use reports::{Run, compare, html, store};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(out), files) = (arguments.next(), arguments.collect::<Vec<_>>()) else {
        eprintln!("usage: render OUT.html RUN.jsonl [RUN.jsonl …]");
        return ExitCode::from(2);
    };
    match render(&out, &files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn render(out: &str, files: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    if let [folder] = files
        && Path::new(folder).is_dir()
    {
        let collection = Collection::read(Path::new(folder))?;
        for (path, text) in html::site::render(&collection, None) {
            let path = Path::new(out).join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            store::replace(&path, text.as_bytes())?;
        }
        return Ok(());
    }
    let runs: Vec<(String, Run)> = files
        .iter()
        .map(|file| Ok((file.clone(), store::read(Path::new(file))?)))
        .collect::<Result<_, store::ReadError>>()?;
    let text = match runs.as_slice() {
        [] => return Err("give at least one run.jsonl".into()),
        [(_, run)] => html::render(run),
        several => html::render_comparison(&compare::compare(several)),
    };
    store::replace(Path::new(out), text.as_bytes())?;
    Ok(())
}
