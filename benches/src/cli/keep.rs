//! `threadbare keep`: copies a run into the tree of kept runs.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reports::Run;
use reports::store::{Kept, MOST_BYTES, kept_path};
use reports::verify::{Standing, Verifier, look};

use super::arguments::KeepArguments;
use super::report::run_file;
use crate::say::{say, stdout};

/// Slower levels gain less than a hundredth.
const LEVEL: i32 = 19;

pub(super) fn keep(arguments: &KeepArguments) -> anyhow::Result<ExitCode> {
    let mut worst = Standing::Accepted;
    for path in &arguments.runs {
        worst = worst.max(
            one(&run_file(path), &arguments.out).unwrap_or_else(|error| {
                say(format!("{error:#}"));
                Standing::Refused
            }),
        );
    }
    Ok(ExitCode::from(worst.exit_code()))
}

/// Keeps the run in `file` below `folder`, and prints the path and the finding.
pub(super) fn one(file: &Path, folder: &Path) -> anyhow::Result<Standing> {
    let run = reports::store::read(file)?;
    for warning in &run.warnings {
        say(warning);
    }
    let (packed, steps) = packed(&run).with_context(|| format!("keeping {}", file.display()))?;
    let kept = write(folder, &run, &packed, file)?;
    let finding = Verifier::default().verify(&kept);
    let mut out = stdout();
    writeln!(
        out,
        "{}\n  {} bytes; latencies in {steps} steps an octave\n  {}",
        kept.display(),
        packed.len(),
        finding.standing
    )?;
    for reason in &finding.reasons {
        writeln!(out, "  {reason}")?;
    }
    Ok(finding.standing)
}

/// The run with the finest histograms of latency with which it is small enough,
/// and their steps in an octave.
fn packed(run: &Run) -> anyhow::Result<(Vec<u8>, u32)> {
    let home = std::env::var("HOME").ok();
    let mut least = usize::MAX;
    for kept in Kept::of(run, home.as_deref()) {
        let bytes = zstd::bulk::compress(&kept.text, LEVEL).context("packing")?;
        least = least.min(bytes.len());
        if bytes.len() <= MOST_BYTES {
            return Ok((bytes, kept.steps_count));
        }
    }
    anyhow::bail!(
        "it has {least} bytes at least, and a kept run at most {MOST_BYTES}: measure fewer lanes in one run"
    )
}

/// Writes `packed` to its place below `folder`; nothing if the samples of `source`,
/// whose run it is, are there already.
fn write(folder: &Path, run: &Run, packed: &[u8], source: &Path) -> anyhow::Result<PathBuf> {
    let file = folder.join(kept_path(&run.header));
    let parent = file.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)
        .with_context(|| format!("making the folder {}", parent.display()))?;
    match reports::store::create(&file, packed) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => anyhow::ensure!(
            look(&file).has_samples_of(&look(source)),
            "{} is there already, with other samples than {}",
            file.display(),
            source.display()
        ),
        written => written.with_context(|| format!("writing {}", file.display()))?,
    }
    Ok(file)
}
