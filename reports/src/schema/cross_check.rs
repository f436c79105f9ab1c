//! Another tool's measurement of the same operation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Extra;

/// One figure of another tool, for comparison with ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CrossCheck {
    /// The tool, such as `criterion`.
    pub source: String,
    /// The tool's name of the benchmark.
    pub name: String,
    /// Our workload of the same operation.
    pub workload: String,
    /// The lane.
    pub lane: String,
    /// The lane's number of workers, if the benchmark set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers_count: Option<u64>,
    /// The tool's estimate of one operation.
    pub value_ns: f64,
    /// The lower end of its 95% interval.
    pub low_ns: f64,
    /// The upper end of its 95% interval.
    pub high_ns: f64,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}
