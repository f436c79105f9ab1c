//! `threadbare report`: the page that a run is shown by.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::arguments::ReportArguments;
use super::run::{REPORT_FILE, RUN_FILE};

pub(super) fn report(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let file = run_file(&arguments.run);
    let target = arguments
        .out
        .clone()
        .unwrap_or_else(|| file.with_file_name(REPORT_FILE));
    let written = write(&file, &target)?;
    writeln!(std::io::stdout(), "{}", written.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The result file that `named` means: itself, or the one in that folder.
pub(super) fn run_file(named: &Path) -> PathBuf {
    if named.is_dir() {
        named.join(RUN_FILE)
    } else {
        named.to_owned()
    }
}

/// Writes the report of the run in `file` to `target`, whole or not at all.
pub(super) fn write(file: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    let run = reports::store::read(file)?;
    let page = reports::html::render(&run);
    reports::store::write_atomically(target, page.as_bytes())
        .with_context(|| format!("writing the report {}", target.display()))?;
    Ok(std::path::absolute(target).unwrap_or_else(|_| target.to_owned()))
}
