//! `threadbare keep`: a run into the tree of those that are kept.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reports::Run;
use reports::store::{Kept, MOST_BYTES, kept_path};

use super::arguments::KeepArguments;
use super::report::run_file;
use crate::say::{say, stdout};

/// Slower levels gain less than a hundredth.
const LEVEL: i32 = 19;

pub(super) fn keep(arguments: &KeepArguments) -> anyhow::Result<ExitCode> {
    for path in &arguments.runs {
        one(&run_file(path), &arguments.out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps the run in `file` below `folder`, and says where.
pub(super) fn one(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let run = reports::store::read(file)?;
    for warning in &run.warnings {
        say(warning);
    }
    let (packed, steps) = packed(&run).with_context(|| format!("keeping {}", file.display()))?;
    let kept = write(folder, &run, &packed)?;
    writeln!(
        stdout(),
        "{}\n  {} bytes; latencies in {steps} steps an octave",
        kept.display(),
        packed.len()
    )?;
    Ok(())
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

fn write(folder: &Path, run: &Run, packed: &[u8]) -> anyhow::Result<PathBuf> {
    let file = folder.join(kept_path(&run.header));
    let parent = file.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)
        .with_context(|| format!("making the folder {}", parent.display()))?;
    reports::store::replace(&file, packed)
        .with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}
