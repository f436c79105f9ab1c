//! The kernel's counts for a cell.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Extra, Parameters};

/// Perf events of a cell, counted in a trial before the timed sections, because a counter makes
/// each context switch more expensive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// The workload's id.
    pub workload: String,
    /// The lane's name.
    pub lane: String,
    /// The workload's parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// Operations in the trial; at least 1. The trial's events also include what the lane does before
    /// and after the part that it times.
    pub operations_count: u64,
    /// Events by name, of all the lane's threads and children. An event that could not be counted
    /// is absent.
    pub events: BTreeMap<String, u64>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Counters {
    pub(super) fn check(&self) -> Result<(), String> {
        match self.operations_count {
            0 => Err("counters of 0 operations: nothing to divide by".to_owned()),
            _ => Ok(()),
        }
    }

    /// An event's count for one operation.
    #[must_use]
    pub fn of_one(&self, event: &str) -> Option<f64> {
        let count = *self.events.get(event)?;
        Some(count as f64 / self.operations_count as f64)
    }
}
