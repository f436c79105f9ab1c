//! A workload as the header describes it: all that the report prints of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Extra;

/// What is run, in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// The stable id, such as `spawn.batch`; groups refer to it.
    pub id: String,
    /// A title of a few words.
    pub title: String,
    /// The question that it answers, as one sentence with its question mark.
    pub question: String,
    /// What one operation is, as a noun: `spawn`, `switch`, `request`.
    pub operation: String,
    /// What a task does once an operation, as a gerund phrase that can begin
    /// or end a sentence: `spawning and joining one task`.
    pub activity: String,
    /// What is measured, the most important first.
    pub measures: Vec<Measure>,
    /// Further figures of the samples' `metrics` that the report should show.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// The parameter that is swept, where one is: the x axis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<String>,
    /// Where figures answer different questions, which one this is: `raw stack
    /// switch`, `scheduler hop`, `kernel I/O hop`; may be empty.
    #[serde(default)]
    pub level: String,
    /// What each parameter means, by name; those of code numbers foremost.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What a figure includes; may be empty.
    #[serde(default)]
    pub includes: String,
    /// What a figure leaves out; may be empty.
    #[serde(default)]
    pub leaves_out: String,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What kind of figure a workload gives.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Wall time of one operation: `elapsed_ns / operations_count`.
    Time,
    /// Operations a second.
    Throughput,
    /// The memory ledger, by regression over the task count.
    Memory,
    /// The distribution of latencies.
    Latency,
    /// Speed-up over the number of workers (the [`Workload::axis`]).
    Scaling,
}

/// Which way of a figure is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    #[default]
    Lower,
    /// More is better.
    Higher,
}

/// One further figure of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Its name in the samples, the unit last.
    pub name: String,
    /// What a reader calls it.
    pub title: String,
    /// Which way is good.
    #[serde(default)]
    pub better: Better,
}
