//! `threadbare verify`: may files be kept with those of others?

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use reports::store::Files;
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
            true => Files::below(path).with_context(|| format!("reading {}", path.display()))?,
            false => Files {
                found: vec![file],
                ..Files::default()
            },
        };
        anyhow::ensure!(
            files.found.len() + files.unread.len() > 0,
            "{} holds no run",
            path.display()
        );
        for file in files.found {
            let finding = verifier.verify(&file);
            found.push((file.display().to_string(), finding));
        }
        for (path, said) in files.unread {
            let finding = Finding {
                standing: Standing::Refused,
                reasons: vec![said],
            };
            found.push((path.display().to_string(), finding));
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
