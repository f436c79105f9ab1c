//! Whether a file may be kept in the repository.
//!
//! *Refused*: the run is incomplete, quick, built without optimisation, a copy, or at a wrong path;
//! it has a wrong answer, or contradicts itself. *Quarantined*: the run is kept and shown
//! separately, with the reason, and is in no average: disturbed runs, builds that cannot be
//! repeated, implausible facts and figures.
//!
//! The checks cannot show that a file was measured. They find facts and figures that were edited
//! one by one, mixed up, or made by a simple program. They accept a file with consistently edited
//! facts and a realistic spread. The review of the pull request, and other runs of the same kind of
//! machine, help against such files.

mod contradictions;
mod copies;
mod implausible;

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::format;
use crate::gate;
use crate::run::{Run, other_commit, other_version};
use crate::schema::{Depth, FailureKind};
use crate::store::{MOST_BYTES, kept_path};
use crate::taints;
use copies::Times;

/// The result of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The outcome.
    pub standing: Standing,
    /// Why the file is not accepted; empty if it is.
    pub reasons: Vec<String>,
    /// What could not be checked.
    pub unchecked: Vec<String>,
}

/// The outcomes, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The file may be kept.
    Accepted,
    /// The file is kept and shown separately, in no average.
    Quarantined,
    /// The file cannot be used.
    Refused,
}

impl Standing {
    /// The exit status of a command with this worst outcome: 0, 1 or 2.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Quarantined => 1,
            Self::Refused => 2,
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Accepted => "accepted",
            Self::Quarantined => "quarantined",
            Self::Refused => "refused",
        })
    }
}

/// Checks files, and finds runs that occur twice.
#[derive(Debug, Default)]
pub struct Verifier {
    seen: Vec<(Times, String)>,
}

impl Verifier {
    /// Checks the file at `path`. If its name ends in `.zst`, it must be a kept run: small enough,
    /// and in its machine's folder.
    pub fn verify(&mut self, path: &Path) -> Finding {
        self.judge(path, &look(path))
    }

    /// Checks a file that was read.
    pub fn judge(&mut self, path: &Path, looked: &Looked) -> Finding {
        let mut refused = looked.refused.clone();
        if let Some(times) = &looked.times {
            let mut seen = self.seen.iter();
            let copied = seen.find_map(|(other, before)| {
                let ratio = times.ratio_to(other)?;
                Some(match times == other {
                    true => format!("{before} has the same samples"),
                    false => format!(
                        "most of its times are those of {before}, {} as long",
                        format::times(ratio)
                    ),
                })
            });
            match copied {
                Some(why) => refused.push(why),
                // Later files are not compared with a refused one.
                None if refused.is_empty() => {
                    self.seen.push((times.clone(), path.display().to_string()));
                }
                None => {}
            }
        }
        Finding {
            unchecked: looked.unchecked.clone(),
            ..Finding::of(refused, looked.doubts.clone())
        }
    }
}

/// The result of checking a file alone.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The run, if the file can be read.
    pub run: Option<Run>,
    refused: Vec<String>,
    doubts: Vec<String>,
    unchecked: Vec<String>,
    times: Option<Times>,
}

impl Looked {
    /// Checks the run, without its file's path.
    #[must_use]
    pub fn of(run: Run) -> Looked {
        let mut refused = unusable(&run);
        refused.extend(contradictions::of(&run));
        let mut doubts = doubts(&run);
        doubts.extend(implausible::of(&run, Timestamp::now()));
        Looked {
            times: Times::of(&run),
            refused,
            doubts,
            unchecked: contradictions::unchecked(&run).into_iter().collect(),
            run: Some(run),
        }
    }

    /// True if both have the same samples.
    #[must_use]
    pub fn has_samples_of(&self, other: &Looked) -> bool {
        self.times.is_some() && self.times == other.times
    }
}

/// Checks the file at `path` alone.
#[must_use]
pub fn look(path: &Path) -> Looked {
    let mut refused = Vec::new();
    let is_kept = path.extension().is_some_and(|extension| extension == "zst");
    let bytes = std::fs::metadata(path).map_or(0, |found| found.len());
    if is_kept && bytes > MOST_BYTES as u64 {
        refused.push(format!(
                "the file has {bytes} bytes, and a kept run at most {MOST_BYTES}: make it by `threadbare keep`"
            ));
    }
    let run = match crate::store::read(path) {
        Ok(run) => run,
        Err(error) => {
            refused.push(error.to_string());
            return Looked {
                refused,
                ..Looked::default()
            };
        }
    };
    if is_kept
        && !path
            .canonicalize()
            .is_ok_and(|path| path.ends_with(kept_path(&run.header)))
    {
        refused.push(format!(
            "by its machine, time and id, its path must be {}",
            kept_path(&run.header).display()
        ));
    }
    let mut looked = Looked::of(run);
    refused.append(&mut looked.refused);
    Looked { refused, ..looked }
}

impl Finding {
    /// A line for each reason and for each missing check.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let unchecked = self.unchecked.iter();
        let unchecked = unchecked.map(|what| format!("not checked: {what}"));
        self.reasons.iter().cloned().chain(unchecked)
    }

    fn of(refused: Vec<String>, doubts: Vec<String>) -> Self {
        let standing = match (refused.is_empty(), doubts.is_empty()) {
            (false, _) => Standing::Refused,
            (true, false) => Standing::Quarantined,
            (true, true) => Standing::Accepted,
        };
        let reasons = refused.into_iter().chain(doubts).collect();
        Self {
            standing,
            reasons,
            unchecked: Vec::new(),
        }
    }
}

fn unusable(run: &Run) -> Vec<String> {
    let mut found = run.warnings.clone();
    if run.groups.is_empty() {
        found.push("there is no sample in it".to_owned());
    }
    let parts = run.header.design.merged.as_ref();
    let is_part = run.header.design.shard.is_some() || parts.is_some_and(|parts| !parts.is_whole());
    if is_part {
        found.push("it is a shard of a run: join all shards with `threadbare merge`".to_owned());
    } else if run.end.as_ref().is_some_and(|end| end.interrupted) {
        found.push("it was cut short: finish it with `threadbare run --resume`".to_owned());
    }
    if run.header.design.depth == Depth::Quick {
        found.push("a quick run is too short to keep: measure without --quick".to_owned());
    }
    let wrong = run
        .failures
        .iter()
        .find(|failure| failure.kind == FailureKind::WrongChecksum);
    if let Some(failure) = wrong {
        found.push(format!(
            "a wrong answer (checksum) of {} on {}: its figures are void",
            failure.lane, failure.workload
        ));
    }
    if taints::is_unoptimised(run) {
        found.push("it was built without optimisation: build with --release".to_owned());
    }
    // A block without its mark is incomplete.
    let marked: BTreeSet<u64> = run.blocks.iter().map(|block| block.block_index).collect();
    let unmarked = run
        .groups
        .iter()
        .find(|group| !marked.contains(&group.block_index));
    if let Some(group) = unmarked {
        found.push(format!("block {} is incomplete", group.block_index));
    }
    found
}

fn doubts(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(share) = gate::disturbed(run) {
        found.push(format!(
            "disturbed: in {} of its blocks other programs or machines had a quarter of the CPU time or more; measure again when the machine does nothing else (`threadbare doctor` watches it)",
            format::percent(share)
        ));
    }
    let environment = &run.header.environment;
    let quota = environment.get("cgroup_cpus_ratio").and_then(Value::as_f64);
    let cpus_count = run.header.design.cpus.len();
    if let Some(quota) = quota.filter(|&quota| quota < cpus_count as f64) {
        found.push(format!(
            "a CPU quota allows {quota} of its {cpus_count} CPUs: measure without a quota, or on fewer CPUs with --cpus"
        ));
    }
    let kinds = [
        (
            "throttling",
            "a CPU quota throttled it: measure without one, or on fewer CPUs with --cpus",
        ),
        (
            "shared_node",
            "other jobs ran on the node: submit it with --exclusive",
        ),
    ];
    for (kind, words) in kinds {
        if run.taints.iter().any(|taint| taint.kind == kind) {
            found.push(words.to_owned());
        }
    }
    found.extend(run.header.lanes.iter().filter_map(other_version));
    found.extend(other_commit(&run.header));
    let commit = environment.get("git_commit").and_then(Value::as_str);
    if commit.is_none() {
        found.push("it does not say of which commit the program was built: build it in a clone of the repository".to_owned());
    }
    if environment.get("git_dirty").and_then(Value::as_bool) == Some(true) {
        found.push("it was built from sources that differ from their commit: commit the changes, build, and measure again".to_owned());
    }
    found
}
