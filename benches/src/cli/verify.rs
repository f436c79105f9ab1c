//! `threadbare verify`: may files be kept with those of others?

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

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
            true => Files::below(path).unwrap_or_else(|error| Files {
                unread: vec![(path.clone(), format!("it cannot be read: {error}"))],
                ..Files::default()
            }),
            false => Files {
                found: vec![file],
                ..Files::default()
            },
        };
        if files.found.len() + files.unread.len() == 0 {
            found.push(refused(
                path,
                "it holds no run (a .jsonl or .jsonl.zst)".to_owned(),
            ));
        }
        for file in files.found {
            let finding = verifier.verify(&file);
            found.push((file.display().to_string(), finding));
        }
        let unread = files.unread.into_iter();
        found.extend(unread.map(|(path, said)| refused(&path, said)));
    }
    let mut out = stdout();
    match arguments.format {
        Format::Json => {
            let files: Vec<_> = found
                .iter()
                .map(|(file, finding)| {
                    json!({"file": file, "standing": finding.standing, "reasons": finding.reasons, "unchecked": finding.unchecked})
                })
                .collect();
            writeln!(out, "{:#}", json!(files))?;
        }
        Format::Table => {
            for (file, finding) in &found {
                writeln!(out, "{}: {file}", finding.standing)?;
                for line in finding.lines() {
                    writeln!(out, "  {line}")?;
                }
            }
        }
    }
    let worst = found.iter().map(|(_, finding)| finding.standing).max();
    Ok(ExitCode::from(
        worst.unwrap_or(Standing::Accepted).exit_code(),
    ))
}

fn refused(path: &Path, why: String) -> (String, Finding) {
    let finding = Finding {
        standing: Standing::Refused,
        reasons: vec![why],
        unchecked: Vec::new(),
    };
    (path.display().to_string(), finding)
}
