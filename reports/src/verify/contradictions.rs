//! Facts and counts of a file that contradict each other. No run writes such a file: it was edited,
//! or lines are missing. The reader checks the machine's facts (`machine/contradictions.rs`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::format;
use crate::machine::ranges;
use crate::run::Run;
use crate::schema::{End, Group};

/// Architectures whose names are the start of a compiler's target.
const NAMED_ALIKE: [&str; 5] = ["x86_64", "aarch64", "riscv64", "loongarch64", "s390x"];

pub(super) fn of(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(dates(run));
    found.extend(software(run));
    found.extend(cpus(run));
    if let Some(end) = &run.end {
        found.extend(counts(run, end));
        // Shards may be measured at the same time, on several machines.
        if run.header.design.merged.is_none() {
            found.extend(order(run, end));
        }
    }
    found
}

fn dates(run: &Run) -> Option<String> {
    let started = ("start", Some(&run.header.started));
    let finished = ("end", run.end.as_ref().map(|end| &end.finished));
    [started, finished].into_iter().find_map(|(what, said)| {
        let said = said.filter(|said| said.parse::<Timestamp>().is_err())?;
        Some(format!("its {what} is not a date and time: {said:?}"))
    })
}

fn software(run: &Run) -> Vec<String> {
    let header = &run.header;
    let fact = |name: &str| header.environment.get(name).and_then(Value::as_str);
    let mut found = Vec::new();
    let is_hash = |commit: &str| {
        let is_digit = |sign: u8| sign.is_ascii_digit() || (b'a'..=b'f').contains(&sign);
        [40, 64].contains(&commit.len()) && commit.bytes().all(is_digit)
    };
    let lanes = header.lanes.iter().map(|lane| lane.commit.as_str());
    let known_commits = lanes.filter(|commit| !commit.is_empty());
    let mut commits = fact("git_commit").into_iter().chain(known_commits);
    if let Some(commit) = commits.find(|commit| !is_hash(commit)) {
        found.push(format!("its commit is not a Git commit: {commit:?}"));
    }
    let architecture = header.host.machine.architecture.as_str();
    let is_other =
        |target: &&str| NAMED_ALIKE.contains(&architecture) && !target.starts_with(architecture);
    if let Some(target) = fact("target").filter(is_other) {
        found.push(format!(
            "its machine is {architecture}, and it was built for {target}"
        ));
    }
    let system = header.host.operating_system.as_str();
    let is_other = |kernel: &&str| !system.is_empty() && !system.ends_with(kernel);
    if let Some(kernel) = fact("kernel").filter(is_other) {
        found.push(format!("its system is {system}, and its kernel {kernel}"));
    }
    found
}

/// The lanes' CPUs must have been online.
fn cpus(run: &Run) -> Option<String> {
    let host = &run.header.host;
    let list = host.facts.get("cpus_online")?.as_str()?;
    let online = ranges(list)?;
    let is_online = |cpu: u32| {
        let mut ranges = online.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&cpu))
    };
    let mut own = run.header.design.cpus.iter();
    let other = own.find(|cpu| !is_online(**cpu))?;
    Some(format!(
        "its lanes ran on the CPU {other}, and its CPUs are {list}"
    ))
}

/// Checks the counts in the last line, except that of the samples, which the reader checks.
fn counts(run: &Run, end: &End) -> Vec<String> {
    let present = run.records_count();
    let said = &end.records_count;
    let kinds: BTreeSet<&String> = match said.is_empty() {
        true => BTreeSet::new(),
        false => said.keys().chain(present.keys()).collect(),
    };
    let count = |counts: &BTreeMap<String, u64>, kind: &str| counts.get(kind).copied().unwrap_or(0);
    let counted = kinds
        .into_iter()
        .map(|kind| (kind.as_str(), count(said, kind)));
    // Of the counts checked here, older files have only these.
    let old = [("group", end.groups_count), ("failure", end.failures_count)];
    let all: BTreeSet<(&str, u64)> = old.into_iter().chain(counted).collect();
    all.into_iter()
        .filter(|(kind, said)| *said != count(&present, kind))
        .map(|(kind, said)| {
            format!(
                "its closing line says {said} records of type {kind}, and there are {}: lines are missing or were added",
                count(&present, kind)
            )
        })
        .collect()
}

/// What the file does not have, so it cannot be checked.
pub(super) fn unchecked(run: &Run) -> Option<String> {
    let end = run.end.as_ref()?;
    end.records_count.is_empty().then(|| {
        "its closing line counts groups, samples and failures only, as those of older programs do: \
         whether lines with disturbances or with readings of the host were deleted cannot be told"
            .to_owned()
    })
}

/// Groups must not overlap, and each must end before its block and before the run.
fn order(run: &Run, end: &End) -> Option<String> {
    // Times are rounded to milliseconds, and clocks are read one after the other.
    const SLACK: f64 = 0.99;
    const ROUNDED_NS: f64 = 2e6;
    let mut groups: Vec<&Group> = run.groups.iter().collect();
    groups.sort_by_key(|group| group.order_index);
    let name = |group: &Group| format!("{} on {}", group.workload, group.lane);
    let at = |ns: u64| format::nanoseconds(ns as f64);
    let is_over = |group: &Group, ns: u64| {
        let samples = group.samples.iter().map(|sample| sample.elapsed_ns as f64);
        let took_ns = samples.sum::<f64>() * SLACK - ROUNDED_NS;
        group.at_ns as f64 + took_ns.max(0.0) <= ns as f64
    };
    for pair in groups.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        if one.order_index == next.order_index {
            return Some(format!(
                "{} and {} have the same place {} in the order of measurement",
                name(one),
                name(next),
                one.order_index
            ));
        }
        if !is_over(one, next.at_ns) {
            return Some(format!(
                "{}, begun after {}, was still measured when {} began, after {}",
                name(one),
                at(one.at_ns),
                name(next),
                at(next.at_ns)
            ));
        }
    }
    let last = groups.iter().find(|group| !is_over(group, end.elapsed_ns));
    if let Some(group) = last {
        return Some(format!(
            "{}, begun after {}, was still measured when the run ended, after {}",
            name(group),
            at(group.at_ns),
            at(end.elapsed_ns)
        ));
    }
    groups.iter().find_map(|group| {
        let mut marks = run.blocks.iter();
        let block = marks.find(|block| block.block_index == group.block_index)?;
        (!is_over(group, block.at_ns)).then(|| {
            format!(
                "{}, begun after {}, was still measured when its block ended, after {}",
                name(group),
                at(group.at_ns),
                at(block.at_ns)
            )
        })
    })
}
