//! `threadbare merge`: joins the shards of one run.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use reports::Run;
use reports::schema::Design;

use super::arguments::MergeArguments;
use super::report::run_file;
use super::run::{REPORT_FILE, RUN_FILE};
use crate::say::{say, stdout};

const INCOMPLETE: u8 = 1;

pub(super) fn merge(arguments: &MergeArguments) -> anyhow::Result<ExitCode> {
    let shards = arguments
        .shards
        .iter()
        .map(|path| reports::store::read(&run_file(path)))
        .collect::<Result<Vec<_>, _>>()?;
    let found: Vec<String> = shards.iter().flat_map(|run| run.warnings.clone()).collect();
    let merged = reports::merge::merge(shards)?;
    for warning in found.iter().chain(&merged.warnings) {
        say(warning);
    }
    let file = arguments.out.join(RUN_FILE);
    refuse_other_results(&file, &merged)?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("making the folder {}", arguments.out.display()))?;
    let mut text = Vec::new();
    for record in merged.records() {
        serde_json::to_writer(&mut text, &record)?;
        text.push(b'\n');
    }
    reports::store::replace(&file, &text).with_context(|| format!("writing {}", file.display()))?;
    let report = arguments.out.join(REPORT_FILE);
    let report = super::report::write(&file, &report)?.unwrap_or(report);
    writeln!(
        stdout(),
        "results: {}\n{}",
        file.display(),
        report.display()
    )?;
    Ok(match merged.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(INCOMPLETE),
    })
}

/// Refuses to replace a file, unless all of its parts are in `merged`.
fn refuse_other_results(file: &Path, merged: &Run) -> anyhow::Result<()> {
    if !file.exists() {
        return Ok(());
    }
    let refused = || {
        format!(
            "{} holds results that these shards do not make up; choose another folder with --out",
            file.display()
        )
    };
    let existing = reports::store::read(file).with_context(refused)?.header;
    let parts = |design: &Design| design.merged.as_ref().map(|held| held.indices.clone());
    let (old, new) = (parts(&existing.design), parts(&merged.header.design));
    let is_within = old.is_some_and(|old| {
        let new = new.unwrap_or_default();
        old.iter().all(|part| new.contains(part))
    });
    anyhow::ensure!(
        is_within && existing.run_id == merged.header.run_id,
        refused()
    );
    Ok(())
}
