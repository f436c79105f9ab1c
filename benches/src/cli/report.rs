//! `threadbare report`: the page of a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::arguments::ReportArguments;
use super::output;
use super::run::{REPORT_FILE, RUN_FILE};

pub(super) fn report(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let file = run_file(&arguments.run);
    let target = arguments
        .out
        .clone()
        .unwrap_or_else(|| file.with_file_name(REPORT_FILE));
    let written = write(&file, &target)?;
    output::show(written.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_file(named: &Path) -> PathBuf {
    if named.is_dir() {
        named.join(RUN_FILE)
    } else {
        named.to_owned()
    }
}

/// Returns the report's path; `None` if it went to stdout.
pub(super) fn write(file: &Path, target: &Path) -> anyhow::Result<Option<PathBuf>> {
    let run = reports::store::read(file)?;
    let page = reports::html::render(&run);
    output::write(target, page.as_bytes())
}
