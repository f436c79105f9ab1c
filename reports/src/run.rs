//! A whole result file in memory.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::schema::{
    Block, Counters, CrossCheck, End, EnvironmentSample, Failure, Group, Header, Lane, Merged,
    Record, Taint, Workload,
};

/// The suffix of the lanes of another build that is measured in turn with this one:
/// `threadbare@base`.
pub const BASE_SUFFIX: &str = "@base";

/// The name without [`BASE_SUFFIX`].
#[must_use]
pub fn plain_name(lane: &str) -> &str {
    lane.strip_suffix(BASE_SUFFIX).unwrap_or(lane)
}

/// True for a lane of the other build.
#[must_use]
pub fn is_base(lane: &str) -> bool {
    lane.ends_with(BASE_SUFFIX)
}

/// Names both commits if a lane of this build was measured by a program of another commit than the
/// study's.
#[must_use]
pub fn other_commit(header: &Header) -> Option<String> {
    let own = header.environment.get("git_commit")?.as_str()?;
    // A lane with a version in its name is of another commit on purpose.
    let mut lanes = header.lanes.iter();
    let other = lanes
        .find(|lane| !lane.name.contains('@') && !lane.commit.is_empty() && lane.commit != own)?;
    Some(format!(
        "the lane {} was measured by a lane program of the commit {}, and threadbare was built from {}: build both from one commit, by cargo build --release -p benches -p workloads",
        other.name,
        short_commit(&other.commit),
        short_commit(own)
    ))
}

/// The first 12 characters.
#[must_use]
pub fn short_commit(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Names both versions if the lane's name has a version, such as `go@1.26` or a commit, and its
/// program has another one.
#[must_use]
pub fn other_version(lane: &Lane) -> Option<String> {
    // A commit may be all digits, so a long number without a dot is no release.
    const MOST_DIGITS: usize = 3;
    const FEWEST_OF_COMMIT: usize = 7;
    let (_, version) = lane.name.split_once('@')?;
    let is_commit = version.len() >= FEWEST_OF_COMMIT
        && version
            .bytes()
            .all(|sign| matches!(sign, b'0'..=b'9' | b'a'..=b'f'));
    if is_commit && !lane.commit.is_empty() && !lane.commit.starts_with(version) {
        return Some(format!(
            "the lane {} is not of that commit: its program was built from {}",
            lane.name,
            short_commit(&lane.commit)
        ));
    }
    let is_release = version.contains('.') || version.len() <= MOST_DIGITS;
    let wanted: Vec<u64> = version
        .split('.')
        .map(|part| part.parse::<u64>().ok())
        .collect::<Option<_>>()
        .filter(|_| is_release)?;
    let mut releases = lane.runtime.split_whitespace().map(release);
    let has_release = releases.clone().any(|parts| !parts.is_empty());
    let has_wanted = releases.any(|parts| parts.starts_with(&wanted));
    (has_release && !has_wanted).then(|| {
        format!(
            "the lane {} is not of that version: it runs {}",
            lane.name, lane.runtime
        )
    })
}

/// The numbers of a release such as `v22.9.0` or `go1.27rc1`; empty for other words.
fn release(word: &str) -> Vec<u64> {
    let start = word.find(|sign: char| sign.is_ascii_digit());
    let numbers = &word[start.unwrap_or(word.len())..];
    let end = numbers.find(|sign: char| !sign.is_ascii_digit() && sign != '.');
    let parts = numbers[..end.unwrap_or(numbers.len())].split('.');
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// One run, with the records of each kind in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Run {
    /// The lanes, workloads, host and design of the run.
    pub header: Header,
    /// The samples.
    pub groups: Vec<Group>,
    /// The cells without a figure.
    pub failures: Vec<Failure>,
    /// The kernel's counts for cells.
    pub counters: Vec<Counters>,
    /// Readings of the host during the run.
    pub environment: Vec<EnvironmentSample>,
    /// The disturbances.
    pub taints: Vec<Taint>,
    /// Other tools' figures.
    pub cross_checks: Vec<CrossCheck>,
    /// The blocks that are complete.
    pub blocks: Vec<Block>,
    /// The closing line; `None` if the run was cut short.
    pub end: Option<End>,
    /// Records of unknown kinds, kept.
    pub unknown: Vec<Value>,
    /// Problems that the reader could handle, as text.
    pub warnings: Vec<String>,
}

impl Run {
    /// A run with only a header.
    #[must_use]
    pub fn new(header: Header) -> Run {
        Run {
            header,
            ..Run::default()
        }
    }

    /// Adds one record; drops a second header.
    pub fn push(&mut self, record: Record) {
        match record {
            Record::Header(_) => {}
            Record::Group(group) => self.groups.push(group),
            Record::Failure(failure) => self.failures.push(failure),
            Record::Counters(counters) => self.counters.push(counters),
            Record::Environment(sample) => self.environment.push(sample),
            Record::Taint(taint) => self.taints.push(taint),
            Record::CrossCheck(check) => self.cross_checks.push(check),
            Record::Block(block) => self.blocks.push(block),
            Record::End(end) => self.end = Some(end),
            Record::Unknown(object) => self.unknown.push(Value::Object(object)),
        }
    }

    /// All records, by kind: the header first, the end last.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let header = std::iter::once(Record::Header(Box::new(self.header.clone())));
        header
            .chain(self.environment.iter().cloned().map(Record::Environment))
            .chain(self.groups.iter().cloned().map(Record::Group))
            .chain(self.counters.iter().cloned().map(Record::Counters))
            .chain(self.failures.iter().cloned().map(Record::Failure))
            .chain(self.taints.iter().cloned().map(Record::Taint))
            .chain(self.cross_checks.iter().cloned().map(Record::CrossCheck))
            .chain(self.unknown.iter().filter_map(|value| match value {
                Value::Object(object) => Some(Record::Unknown(object.clone())),
                _ => None,
            }))
            .chain(self.blocks.iter().cloned().map(Record::Block))
            .chain(self.end.iter().cloned().map(Record::End))
    }

    /// The header's entry of the lane.
    #[must_use]
    pub fn lane(&self, name: &str) -> Option<&Lane> {
        self.header.lanes.iter().find(|lane| lane.name == name)
    }

    /// The header's entry of the workload.
    #[must_use]
    pub fn workload(&self, id: &str) -> Option<&Workload> {
        self.header
            .workloads
            .iter()
            .find(|workload| workload.id == id)
    }

    /// The other build and this build, if the run measured both in turn. The other build's lanes
    /// have their plain names. Records of no lane are in both.
    #[must_use]
    pub fn sides(&self) -> Option<[Run; 2]> {
        if !self.header.lanes.iter().any(|lane| is_base(&lane.name)) {
            return None;
        }
        Some([true, false].map(|base| {
            let mut side = self.clone();
            side.header.lanes.retain(|lane| is_base(&lane.name) == base);
            side.groups.retain(|group| is_base(&group.lane) == base);
            side.failures
                .retain(|failure| is_base(&failure.lane) == base);
            side.counters
                .retain(|counters| is_base(&counters.lane) == base);
            side.cross_checks
                .retain(|check| is_base(&check.lane) == base);
            for name in side.lane_names_mut() {
                name.truncate(plain_name(name).len());
            }
            side
        }))
    }

    pub(crate) fn lane_names_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let header = &mut self.header;
        let reference = [&mut header.design.reference_lane];
        let lanes = header.lanes.iter_mut();
        let lanes = lanes.flat_map(|lane| [Some(&mut lane.name), lane.variant_of.as_mut()]);
        let groups = self.groups.iter_mut().map(|group| &mut group.lane);
        let failures = self.failures.iter_mut().map(|failure| &mut failure.lane);
        let counters = self.counters.iter_mut().map(|counters| &mut counters.lane);
        let checks = self.cross_checks.iter_mut().map(|check| &mut check.lane);
        reference
            .into_iter()
            .chain(lanes.flatten())
            .chain(groups)
            .chain(failures)
            .chain(counters)
            .chain(checks)
    }

    /// The number of samples in all groups.
    #[must_use]
    pub fn samples_count(&self) -> usize {
        self.groups.iter().map(|group| group.samples.len()).sum()
    }

    /// The number of records of each type, without the header and the end.
    #[must_use]
    pub fn records_count(&self) -> BTreeMap<String, u64> {
        let known = [
            ("group", self.groups.len()),
            ("failure", self.failures.len()),
            ("counters", self.counters.len()),
            ("environment", self.environment.len()),
            ("taint", self.taints.len()),
            ("cross_check", self.cross_checks.len()),
            ("block", self.blocks.len()),
        ];
        let unknown = self
            .unknown
            .iter()
            .filter_map(|record| record["type"].as_str());
        let mut counts = BTreeMap::new();
        for (kind, count) in known.into_iter().chain(unknown.map(|kind| (kind, 1))) {
            if count > 0 {
                *counts.entry(kind.to_owned()).or_default() += count as u64;
            }
        }
        counts
    }

    /// True if the run completed its plan.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let parts = self.header.design.merged.as_ref();
        self.end.as_ref().is_some_and(|end| !end.interrupted) && parts.is_none_or(Merged::is_whole)
    }
}

/// Identifies a group.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(String, String, Vec<(String, u64)>, u64, u64, bool);

impl Place {
    pub(crate) fn of(group: &Group) -> Place {
        Place(
            group.workload.clone(),
            group.lane.clone(),
            group.parameters.clone().into_iter().collect(),
            group.process_index,
            group.block_index,
            group.control,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_in_a_lanes_name_is_that_of_its_runtime() {
        for (name, runtime, is_other) in [
            ("go@1.26", "go 1.26.4", false),
            ("go@1.26", "go1.26rc1", false),
            ("go@1.2", "go 1.26.4", true),
            ("go@1.26.4.1", "go 1.26.4", true),
            ("java@21", "OpenJDK 64-Bit 21.0.5+11", false),
            ("java@17", "OpenJDK 64-Bit 21.0.5+11", true),
            ("node@22", "node v22.9.0", false),
            ("tokio@1.47.0", "tokio 1.54.1", true),
            // Names without a version in numbers, and a runtime without one.
            ("go", "go 1.26.4", false),
            ("threadbare@base", "bench-runtime 0.1.0", false),
            ("threadbare@1234567", "bench-runtime 0.1.0", false),
            ("threadbare@HEAD~20", "bench-runtime 0.1.0", false),
            ("thread@1.9", "none", false),
            ("thread@1.9", "", false),
        ] {
            let lane = Lane {
                name: name.to_owned(),
                runtime: runtime.to_owned(),
                ..Lane::default()
            };
            assert_eq!(other_version(&lane).is_some(), is_other, "{name} {runtime}");
        }
    }

    #[test]
    fn commit_in_a_lanes_name_is_that_of_its_program() {
        let lane = |commit: &str| Lane {
            name: "threadbare@0123456789ab".to_owned(),
            commit: commit.to_owned(),
            ..Lane::default()
        };
        // An older program does not say its commit.
        for (commit, is_other) in [("0123456789abcdef", false), ("", false), ("fedcba", true)] {
            assert_eq!(other_version(&lane(commit)).is_some(), is_other, "{commit}");
        }
    }

    #[test]
    fn lane_program_of_another_commit_is_named_unless_its_lane_has_a_version() {
        let header = |name: &str, commit: &str| {
            let lane = Lane {
                name: name.to_owned(),
                commit: commit.to_owned(),
                ..Lane::default()
            };
            Header {
                environment: [("git_commit".to_owned(), "abc1".into())].into(),
                lanes: vec![Lane::default(), lane],
                ..Header::default()
            }
        };
        let said = other_commit(&header("thread", "abc2")).unwrap();
        assert!(
            said.contains("thread was") && said.contains("abc2"),
            "{said}"
        );
        for (name, commit) in [
            ("thread", "abc1"),
            ("go", ""),
            ("thread@base", "abc2"),
            ("thread@old", "abc2"),
        ] {
            assert_eq!(other_commit(&header(name, commit)), None, "{name} {commit}");
        }
        let mut unknown = header("thread", "abc2");
        unknown.environment.clear();
        assert_eq!(other_commit(&unknown), None);
    }
}
