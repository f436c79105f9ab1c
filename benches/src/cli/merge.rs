//! `threadbare merge`: shards of one run put together.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use super::arguments::MergeArguments;
use super::report::run_file;
use super::run::{REPORT_FILE, RUN_FILE};

pub(super) fn merge(arguments: &MergeArguments) -> anyhow::Result<ExitCode> {
    let shards = arguments
        .shards
        .iter()
        .map(|path| reports::store::read(&run_file(path)))
        .collect::<Result<Vec<_>, _>>()?;
    let merged = reports::merge::merge(shards)?;
    for warning in &merged.warnings {
        eprintln!("{warning}");
    }
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("making the folder {}", arguments.out.display()))?;
    let mut text = Vec::new();
    for record in merged.records() {
        serde_json::to_writer(&mut text, &record)?;
        text.push(b'\n');
    }
    let file = arguments.out.join(RUN_FILE);
    // A merged file may be merged again: the same shards give the same bytes.
    reports::store::write_atomically(&file, &text)
        .with_context(|| format!("writing {}", file.display()))?;
    let report = super::report::write(&file, &arguments.out.join(REPORT_FILE))?;
    writeln!(
        std::io::stdout(),
        "results: {}\n{}",
        file.display(),
        report.display()
    )?;
    Ok(ExitCode::SUCCESS)
}
