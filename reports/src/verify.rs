//! Is a file fit to stand in the tree of kept runs, beside those of other people?
//!
//! *Refused* is what cannot be used: a file that is no whole run, or stands where it
//! does not belong. *Quarantined* is what is kept and shown apart, with the reason,
//! and never averaged in: disturbed runs, builds that cannot be made again, and
//! figures that cannot be true. Each rule on figures is a law of their kind, not a
//! guess at what is usual: nothing lasts longer than what it is a part of.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::format;
use crate::gate;
use crate::run::Run;
use crate::schema::{Depth, FailureKind, Sample};
use crate::store::{MOST_BYTES, kept_path};

/// What is said of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The outcome.
    pub standing: Standing,
    /// Why it is not accepted; for accepted ones, none.
    pub reasons: Vec<String>,
}

/// How a file stands, from the best on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A run like any other.
    Accepted,
    /// Kept and shown apart, never averaged in.
    Quarantined,
    /// Cannot be used.
    Refused,
}

impl Standing {
    /// The exit status of a command for which this is the worst: 0, 1 or 2.
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

/// Looks at files one after another; the same run twice is found.
#[derive(Debug, Default)]
pub struct Verifier {
    /// What was looked at, by what distinguishes runs.
    seen: BTreeMap<(u32, u64), String>,
}

impl Verifier {
    /// Looks at the file at `path`. One whose name ends in `.zst` is held to what a
    /// kept run is: its size, and its place under the name of its machine.
    pub fn verify(&mut self, path: &Path) -> Finding {
        self.judge(path, &look(path))
    }

    /// The finding on a file that was looked at already.
    pub fn judge(&mut self, path: &Path, looked: &Looked) -> Finding {
        let mut refused = looked.refused.clone();
        if let Some(samples) = looked.samples {
            // A copy that is refused for itself says nothing against the run.
            if let Some(before) = self.seen.get(&samples) {
                refused.push(format!("{before} holds the same samples"));
            } else if refused.is_empty() {
                self.seen.insert(samples, path.display().to_string());
            }
        }
        Finding::of(refused, looked.doubts.clone())
    }
}

/// What a file is by itself.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The run, where the file can be read.
    pub run: Option<Run>,
    refused: Vec<String>,
    doubts: Vec<String>,
    /// What distinguishes its samples from another run's; `None` where there are none.
    samples: Option<(u32, u64)>,
}

impl Looked {
    /// Whether both hold the same samples.
    #[must_use]
    pub fn has_samples_of(&self, other: &Looked) -> bool {
        self.samples.is_some() && self.samples == other.samples
    }
}

/// Looks at the file at `path`, by itself.
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
            "it belongs at {}, by its machine, time and id",
            kept_path(&run.header).display()
        ));
    }
    refused.extend(unusable(&run));
    let mut doubts = doubts(&run);
    doubts.extend(impossible(&run));
    Looked {
        samples: samples(&run),
        refused,
        doubts,
        run: Some(run),
    }
}

/// The part of the run, and a digest of its times.
fn samples(run: &Run) -> Option<(u32, u64)> {
    let shard = run.header.design.shard.map_or(0, |shard| shard.index);
    let mut hasher = DefaultHasher::new();
    for group in &run.groups {
        for sample in &group.samples {
            sample.elapsed_ns.hash(&mut hasher);
        }
    }
    (!run.groups.is_empty()).then(|| (shard, hasher.finish()))
}

impl Finding {
    fn of(refused: Vec<String>, doubts: Vec<String>) -> Self {
        let standing = match (refused.is_empty(), doubts.is_empty()) {
            (false, _) => Standing::Refused,
            (true, false) => Standing::Quarantined,
            (true, true) => Standing::Accepted,
        };
        let reasons = refused.into_iter().chain(doubts).collect();
        Self { standing, reasons }
    }
}

/// Why the run is of no use.
fn unusable(run: &Run) -> Vec<String> {
    let mut found = run.warnings.clone();
    if run.groups.is_empty() {
        found.push("there is no sample in it".to_owned());
    }
    let parts = run.header.design.merged.as_ref();
    let is_part = run.header.design.shard.is_some() || parts.is_some_and(|parts| !parts.is_whole());
    if is_part {
        found
            .push("it is a part of a run: put all parts together by `threadbare merge`".to_owned());
    } else if run.end.as_ref().is_some_and(|end| end.interrupted) {
        found.push("it was cut short: finish it by `threadbare run --resume`".to_owned());
    }
    if run.header.design.depth == Depth::Quick {
        found.push("a quick run is a look: measure without --quick".to_owned());
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
    if run.taints.iter().any(|taint| taint.kind == "debug_build") {
        found.push("its lanes were built without optimisation: build with --release".to_owned());
    }
    // A block without its mark was not measured to its end.
    let marked: BTreeSet<u64> = run.blocks.iter().map(|block| block.block_index).collect();
    let open = run
        .groups
        .iter()
        .find(|group| !marked.contains(&group.block_index));
    if let Some(group) = open.filter(|_| !marked.is_empty()) {
        found.push(format!(
            "block {} was not measured to its end",
            group.block_index
        ));
    }
    found
}

/// Why its figures do not stand for its machine.
fn doubts(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(share) = gate::disturbed(run) {
        found.push(format!(
            "disturbed: in {} of its blocks other programs or machines had a quarter of the CPU time or more",
            format::percent(share)
        ));
    }
    let kinds = [
        ("throttling", "a CPU quota held it back"),
        ("shared_node", "other jobs ran on the node"),
    ];
    for (kind, words) in kinds {
        if run.taints.iter().any(|taint| taint.kind == kind) {
            found.push(words.to_owned());
        }
    }
    let build = &run.header.environment;
    if build.get("git_commit").and_then(Value::as_str).is_none() {
        found.push("it does not say of which commit the program was built".to_owned());
    }
    if build.get("git_dirty").and_then(Value::as_bool) == Some(true) {
        found.push("it was built from sources that differ from their commit".to_owned());
    }
    found
}

/// What cannot be true of it.
fn impossible(run: &Run) -> Vec<String> {
    // Rounded moments, and clocks that are read one after the other.
    const SLACK: f64 = 1.01;
    let mut found = Vec::new();
    let mut say = |what: String| {
        // One of a kind says it; a forged file would have thousands.
        if found.len() < 5 {
            found.push(what);
        }
    };
    let cpus = run.header.design.cpus.len().max(1) as f64;
    let memory = run.header.host.memory_bytes;
    for group in &run.groups {
        let place = format!("{} on {}", group.workload, group.lane);
        let wrong = group
            .samples
            .iter()
            .find_map(|sample| broken_law(sample, cpus, memory));
        if let Some(what) = wrong {
            say(format!("impossible: {place}: {what}"));
        }
    }
    let mut times: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for group in &run.groups {
        let cell = (&group.workload, &group.lane, &group.parameters);
        let own = group.samples.iter().map(|sample| sample.elapsed_ns);
        times.entry(cell).or_default().extend(own);
    }
    for ((workload, lane, _), times) in &times {
        if times.len() >= 3 && times.windows(2).all(|pair| pair[0] == pair[1]) {
            say(format!(
                "impossible: {workload} on {lane}: {} measured times, all of {} ns",
                times.len(),
                times[0]
            ));
        }
    }
    // The parts of a merged run were measured at one time, on several machines.
    let end = run
        .end
        .as_ref()
        .filter(|_| run.header.design.merged.is_none());
    if let Some(end) = end {
        let samples = || run.groups.iter().flat_map(|group| &group.samples);
        let whole_ns = end.elapsed_ns as f64 * SLACK;
        let timed_ns: f64 = samples().map(|sample| sample.elapsed_ns as f64).sum();
        if timed_ns > whole_ns {
            say("impossible: its samples together took longer than the run".to_owned());
        }
        let cpu_ns: f64 = samples().map(|sample| sample.cpu_ns as f64).sum();
        if cpu_ns > whole_ns * cpus {
            say("impossible: its samples had more CPU time than its CPUs have".to_owned());
        }
        let late = run
            .groups
            .iter()
            .find(|group| group.at_ns as f64 > whole_ns);
        if let Some(group) = late {
            let at = format::nanoseconds(group.at_ns as f64);
            say(format!(
                "impossible: a sample was taken after {at}, when the run was over"
            ));
        }
    }
    found
}

/// The law that a sample breaks.
fn broken_law(sample: &Sample, cpus: f64, memory_bytes: u64) -> Option<String> {
    // A CPU of 5 GHz has a cycle in 0.2 ns, and no operation is less than one.
    const LEAST_NS: f64 = 0.2;
    const SLACK: f64 = 1.01;
    let each_ns = sample.elapsed_ns as f64 * cpus / sample.operations_count as f64;
    if each_ns < LEAST_NS {
        return Some(format!("{each_ns:.3} ns of a CPU for an operation"));
    }
    if let Some(highest) = sample
        .latency
        .as_ref()
        .and_then(|latency| latency.buckets.last())
        && highest.0 as f64 > sample.elapsed_ns as f64 * SLACK
    {
        return Some("a request took longer than the sample that it is part of".to_owned());
    }
    let used = sample.memory.map_or(0, |memory| memory.sum_bytes());
    if memory_bytes > 0 && used > i64::try_from(memory_bytes).unwrap_or(i64::MAX) {
        return Some("its tasks had more memory than the machine has".to_owned());
    }
    None
}
