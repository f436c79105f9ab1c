//! `threadbare keep`: copies a run into the tree of kept runs.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reports::Run;
use reports::store::{Kept, MOST_BYTES, kept_path};
use reports::verify::{Finding, Looked, Standing, Verifier, look};

use super::arguments::KeepArguments;
use super::report::run_file;
use crate::say::{say, stdout};

/// Higher levels make files less than 1% smaller.
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

/// Writes the run in `file` below `folder`, unless it is refused, and prints path and finding.
pub(super) fn one(file: &Path, folder: &Path) -> anyhow::Result<Standing> {
    let run = reports::store::read(file)?;
    for warning in &run.warnings {
        say(warning);
    }
    let looked = Looked::of(run.clone());
    let finding = Verifier::default().judge(file, &looked);
    if finding.standing == Standing::Refused {
        return print_finding(&format!("{}: not kept", file.display()), &finding);
    }
    let (packed, steps) = packed(&run).with_context(|| format!("keeping {}", file.display()))?;
    let (kept, is_new) = write(folder, &run, &packed, (file, &looked))?;
    let size = packed.len();
    let what = match is_new {
        true => format!("{size} bytes; latencies in {steps} steps an octave"),
        false => "it is there already, and unchanged".to_owned(),
    };
    let what = format!("{}\n  {what}", kept.display());
    print_finding(&what, &Verifier::default().verify(&kept))
}

fn print_finding(what: &str, finding: &Finding) -> anyhow::Result<Standing> {
    let mut out = stdout();
    writeln!(out, "{what}\n  {}", finding.standing)?;
    for line in finding.lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(finding.standing)
}

/// Packs the run, with the finest latency histograms for which the file is small enough. Also
/// returns their steps in an octave.
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

/// Writes `packed`, made of `run` from the file `source`, to its place below `folder`, unless a
/// file there has the same samples; then returns false. Replaces a kept run that is refused now.
fn write(
    folder: &Path,
    run: &Run,
    packed: &[u8],
    (source, looked): (&Path, &Looked),
) -> anyhow::Result<(PathBuf, bool)> {
    let file = folder.join(kept_path(&run.header));
    let parent = file.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)
        .with_context(|| format!("making the folder {}", parent.display()))?;
    match reports::store::create(&file, packed) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let existing = look(&file);
            let standing = Verifier::default().judge(&file, &existing).standing;
            if existing.run.is_some() && standing == Standing::Refused {
                reports::store::replace(&file, packed)
                    .with_context(|| format!("writing {}", file.display()))?;
                return Ok((file, true));
            }
            anyhow::ensure!(
                existing.has_samples_of(looked),
                "{} is there already, with other samples than {}",
                file.display(),
                source.display()
            );
            return Ok((file, false));
        }
        written => written.with_context(|| format!("writing {}", file.display()))?,
    }
    Ok((file, true))
}
