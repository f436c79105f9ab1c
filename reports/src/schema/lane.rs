//! A lane as the header describes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Extra;

/// One lane: a model of concurrency, in one implementation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lane {
    /// The stable name, such as `threadbare`; groups refer to it.
    pub name: String,
    /// The name of one of its tasks, without article: `Go goroutine`, `thread`, `tokio task`.
    pub noun: String,
    /// The language and its version.
    #[serde(default)]
    pub language: String,
    /// The runtime or library measured, and its version.
    #[serde(default)]
    pub runtime: String,
    /// The git commit of its program; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub commit: String,
    /// The lane that this one is a variant of (`thread` for `thread-16k`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant_of: Option<String>,
    /// One sentence about it; may be empty.
    #[serde(default)]
    pub remark: String,
    /// The number of CPUs that the lane reported.
    #[serde(default)]
    pub cpus_count: u32,
    /// Every workload of the lane; null if the lane can run it, else why not.
    #[serde(default)]
    pub workloads: BTreeMap<String, Option<String>>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}
