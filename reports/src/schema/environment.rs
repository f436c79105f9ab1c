//! The state of the host during a run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Extra;

/// When an environment sample was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the first sample.
    Before,
    /// Between samples.
    #[default]
    During,
    /// After the last sample.
    After,
}

/// The state of the host at one moment, or since the last sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentSample {
    /// When the sample was taken.
    pub phase: Phase,
    /// Time from the start of the run.
    #[serde(default)]
    pub at_ns: u64,
    /// Readings by name, which ends in the unit (`steal_ratio`, `run_queue_count`,
    /// `frequency_hz`, `pressure_cpu_ratio`); absent if unknown.
    pub readings: BTreeMap<String, Value>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A reading outside its bound: a disturbance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Taint {
    /// A stable word, such as `steal`, `throttling`, `others`, `pressure_io`,
    /// `migrations`, `frequency`, `governor`.
    pub kind: String,
    /// The reading, its effect and what to do, as text.
    pub message: String,
    /// The reading, in the message's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The bound that it exceeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// The affected block; null for the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_index: Option<u64>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Kind, title, and meaning for the figures.
const KINDS: [(&str, &str, &str); 16] = [
    (
        "steal",
        "CPU time given to other machines",
        "times in those blocks may be too long; all lanes of a block share it, so ratios change less",
    ),
    (
        "throttling",
        "Held back by a CPU quota",
        "times in those blocks contain waiting for the quota",
    ),
    (
        "others",
        "Other programs at work",
        "times in those blocks may be too long; all lanes of a block share it, so ratios change less",
    ),
    (
        "pressure_memory",
        "Waiting for memory",
        "times in those blocks contain waiting for memory",
    ),
    (
        "pressure_io",
        "Waiting for disks",
        "times in those blocks contain waiting for disks",
    ),
    (
        "out_of_memory",
        "Ended by the kernel: out of memory",
        "what was ended has no figure",
    ),
    (
        "swap",
        "Memory swapped to disk",
        "memory figures may be too small, and times too long",
    ),
    (
        "governor",
        "The clock follows the load",
        "repeats differ more, so fewer comparisons are decided",
    ),
    (
        "migrations",
        "Often moved between CPUs",
        "caches start cold after a move: times are longer and differ more",
    ),
    (
        "frequency",
        "The CPU slowed down",
        "times in those blocks are longer; all lanes of a block share it, so ratios change less",
    ),
    (
        "debug_build",
        "Built without optimisation",
        "the Rust lanes are too slow; do not compare them with Go, Java, Node: build with --release",
    ),
    (
        "other_commit",
        "A lane program of another commit",
        "what was measured is not what the recorded commit of threadbare says",
    ),
    (
        "load_generator",
        "The load generator was the limit",
        "figures marked “at most” or “at least” are bounds: the lane can do better; without a mark most blocks were free of it",
    ),
    (
        "cpus",
        "A lane with another number of CPUs",
        "its figures are for another number of CPUs than the rest",
    ),
    (
        "shared_node",
        "Other jobs on the node",
        "times may be too long, and memory figures wrong: other jobs may have run at the same time",
    ),
    (
        "refused",
        "Refused by the kernel",
        "no lane had it: times may vary more",
    ),
];

/// A [`Taint::kind`] in words, or the kind itself if it is unknown.
#[must_use]
pub fn taint_title(kind: &str) -> String {
    let known = KINDS.iter().find(|(id, ..)| *id == kind);
    known.map_or_else(
        || kind.replace('_', " "),
        |(_, title, _)| (*title).to_owned(),
    )
}

/// The meaning of a [`Taint::kind`] for the figures.
#[must_use]
pub fn taint_meaning(kind: &str) -> &'static str {
    let known = KINDS.iter().find(|(id, ..)| *id == kind);
    known.map_or(
        "figures may be wrong by the amount in the message",
        |(.., meaning)| meaning,
    )
}
