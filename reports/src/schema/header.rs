//! The header: what is known before the first sample.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Extra, Host, Lane, Workload, WorkloadGroup};

/// The first line of a result file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION) of the writer.
    pub schema_version: u32,
    /// Identifies the run; its shards share it.
    pub run_id: String,
    /// When the run began (RFC 3339, with its offset).
    pub started: String,
    /// The writer's version, such as `0.1.0`.
    #[serde(default)]
    pub threadbare_version: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// How it is measured.
    pub design: Design,
    /// The host.
    pub host: Host,
    /// The software: compiler, flags, commit, kernel settings, limits, versions of toolchains; by
    /// name, absent if unknown.
    #[serde(default)]
    pub environment: BTreeMap<String, Value>,
    /// The lanes, in the order of the report.
    pub lanes: Vec<Lane>,
    /// The workloads, in the order of the report.
    pub workloads: Vec<Workload>,
    /// The groups of the workloads, in the order of the page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<WorkloadGroup>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Header {
    pub(super) fn check(&self) -> Result<(), String> {
        let shares = [
            ("threshold_ratio", Some(self.design.threshold_ratio)),
            ("precision_ratio", self.design.precision_ratio),
        ];
        for (name, share) in shares {
            if share.is_some_and(|share| share < 0.0) {
                return Err(format!(
                    "the design's {name} is below 0; an effect cannot be negative"
                ));
            }
        }
        let lanes = self.lanes.iter().map(|lane| lane.name.as_str());
        let workloads = self.workloads.iter().map(|workload| workload.id.as_str());
        for (what, twice) in [("lane", twice(lanes)), ("workload", twice(workloads))] {
            if let Some(name) = twice {
                return Err(format!("the {what} {name:?} occurs twice"));
            }
        }
        Ok(())
    }
}

/// The first repeated name.
fn twice<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    names.find(|name| !seen.insert(*name))
}

/// How much was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// A quick run: too short for the gate.
    Quick,
    /// The design of plain `cargo bench`.
    #[default]
    Standard,
    /// Twice the processes.
    Full,
}

/// How a run is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Design {
    /// How much is measured.
    pub depth: Depth,
    /// The command line, one entry for each argument.
    pub command: Vec<String>,
    /// The planned processes of the cell with the most. More follow if `goes_on`.
    pub processes_count: u64,
    /// The planned blocks of all workloads together. More follow if `goes_on`. A block visits each
    /// cell of one workload once.
    pub blocks_count: u64,
    /// The planned samples of a process, of the cell with the most.
    pub samples_count: u64,
    /// The CPUs that every lane is pinned to.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// The lane to which others are compared.
    pub reference_lane: String,
    /// A smaller difference is called neither *faster* nor *slower*; a share: 0.05 is 5%.
    pub threshold_ratio: f64,
    /// The change that should be detectable in each cell, as a share; absent if none was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision_ratio: Option<f64>,
    /// True if cells get more processes until their comparisons are decided or as precise as
    /// requested, or the time is over.
    #[serde(default)]
    pub goes_on: bool,
    /// Which shard of a run this file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The shards that were merged into this file, with renumbered blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// The preset, if one was requested: `peers`, `growth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A part of a run that was split over several starts or equal machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// Which shard, from 1.
    pub index: u32,
    /// How many shards there are.
    pub count: u32,
}

/// The shards in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Merged {
    /// The numbers of the shards, from 1, ascending and distinct.
    pub indices: Vec<u32>,
    /// How many shards there are.
    pub count: u32,
}

impl Merged {
    /// True if no shard is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.indices.len() as u64 >= u64::from(self.count)
    }
}
