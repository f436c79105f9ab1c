//! What the host was doing meanwhile.

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

/// The state of the host at one moment, or over the time since the last one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentSample {
    /// When.
    pub phase: Phase,
    /// Time from the start of the run.
    #[serde(default)]
    pub at_ns: u64,
    /// Readings by name, the unit last (`steal_ratio`, `run_queue_count`,
    /// `frequency_hz`, `pressure_cpu_ratio`); absent where unknown, never 0.
    pub readings: BTreeMap<String, Value>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A reading that left its bound: visible in the report, and not gated on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Taint {
    /// A stable word, such as `steal`, `throttling`, `run_queue`, `pressure`,
    /// `migrations`, `frequency`, `governor`.
    pub kind: String,
    /// For a person: what was seen, why it matters and what to do.
    pub message: String,
    /// What was read, in the unit that the message names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The bound that it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// The block that it touches; null for the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_index: Option<u64>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What the kinds of taints are called.
const TITLES: [(&str, &str); 13] = [
    ("steal", "CPU time given to other machines"),
    ("throttling", "Held back by a quota"),
    ("others", "Other programs at work"),
    ("pressure_memory", "Waiting for memory"),
    ("pressure_io", "Waiting for disks"),
    ("out_of_memory", "Killed for want of memory"),
    ("swap", "Swapped out"),
    ("governor", "The CPU governor"),
    ("migrations", "Moved between CPUs"),
    ("frequency", "A falling clock"),
    ("debug_build", "Built without optimisation"),
    ("load_generator", "A load generator at its limit"),
    ("cpus", "Another number of CPUs"),
];

/// A [`Taint::kind`] in words; of one that is not known, its own.
#[must_use]
pub fn taint_title(kind: &str) -> String {
    let known = TITLES.iter().find(|(id, _)| *id == kind);
    known.map_or_else(|| kind.replace('_', " "), |(_, title)| (*title).to_owned())
}
