//! `threadbare export`: the raw samples for other tools.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reports::Run;

use super::arguments::ExportArguments;
use super::output;
use super::report::run_file;
use super::run::RUN_FILE;
use crate::say::stdout;

pub(super) fn export(arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &arguments.runs {
        files.extend(run_files(path)?);
    }
    let runs = files
        .iter()
        .map(|file| reports::store::read(file))
        .collect::<Result<Vec<Run>, _>>()?;
    let (bytes, rows) = parquet(&runs)?;
    if let Some(written) = output::write(&arguments.parquet, &bytes)? {
        let count = runs.len();
        let written = written.display();
        writeln!(stdout(), "{rows} samples of {count} runs\n{written}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let file = run_file(path);
    if file.is_file() || !path.is_dir() {
        return Ok(vec![file]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
        found.push(entry?.path().join(RUN_FILE));
    }
    found.retain(|file| file.is_file());
    found.sort();
    anyhow::ensure!(
        !found.is_empty(),
        "{} is no run and holds no folder of one",
        path.display()
    );
    Ok(found)
}

#[cfg(feature = "parquet")]
fn parquet(runs: &[Run]) -> anyhow::Result<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    let rows = reports::parquet::write(runs, &mut bytes).context("writing Parquet")?;
    Ok((bytes, rows))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_runs: &[Run]) -> anyhow::Result<(Vec<u8>, usize)> {
    anyhow::bail!(
        "this build cannot write Parquet; build it with: cargo run --release -p benches --features parquet -- export …"
    )
}
