//! `threadbare verify`: are files fit to be kept beside those of others?

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use reports::verify::{Finding, Standing, Verifier};
use serde_json::json;

use super::arguments::{Format, VerifyArguments};
use super::report::run_file;
use crate::say::stdout;

pub(super) fn verify(arguments: &VerifyArguments) -> anyhow::Result<ExitCode> {
    let mut verifier = Verifier::default();
    let mut found: Vec<(String, Finding)> = Vec::new();
    for path in &arguments.files {
        let file = run_file(path);
        let files = match path.is_dir() && !file.exists() {
            true => reports::site::files(path).context("reading a folder of runs")?,
            false => vec![file],
        };
        anyhow::ensure!(!files.is_empty(), "{} holds no run", path.display());
        for file in files {
            let finding = verifier.verify(&file);
            found.push((file.display().to_string(), finding));
        }
    }
    let mut out = stdout();
    match arguments.format {
        Format::Json => {
            let files: Vec<_> = found
                .iter()
                .map(|(file, finding)| {
                    json!({"file": file, "standing": finding.standing, "reasons": finding.reasons})
                })
                .collect();
            writeln!(out, "{:#}", json!(files))?;
        }
        Format::Table => {
            for (file, finding) in &found {
                writeln!(out, "{}: {file}", finding.standing)?;
                for reason in &finding.reasons {
                    writeln!(out, "  {reason}")?;
                }
            }
        }
    }
    let worst = found.iter().map(|(_, finding)| finding.standing).max();
    Ok(ExitCode::from(
        worst.unwrap_or(Standing::Accepted).exit_code(),
    ))
}
