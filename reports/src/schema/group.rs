//! The samples of a lane, and the cells without samples.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Extra, Parameters};

/// Samples of one lane on one workload, taken by one process in one block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The workload's id.
    pub workload: String,
    /// The lane's name.
    pub lane: String,
    /// The workload's parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// How often each timed section repeats the shape.
    #[serde(default)]
    pub iterations: u64,
    /// Which fresh process of this lane, from 0.
    pub process_index: u64,
    /// Which block, from 0.
    pub block_index: u64,
    /// The index among all groups of the run in order of time.
    pub order_index: u64,
    /// True for the second half of the A/A pair: the same lane in the same design, only to estimate
    /// the noise.
    #[serde(default)]
    pub control: bool,
    /// Time from the start of the run to this group.
    #[serde(default)]
    pub at_ns: u64,
    /// How often the kernel moved the lane's threads to another CPU, from the process's start to
    /// its last sample, without ended threads and children. Absent if the kernel does not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations_count: Option<u64>,
    /// The warm-up before the first sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// The samples, in the order in which they were taken.
    pub samples: Vec<Sample>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The warm-up of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WarmUp {
    /// Its timed part.
    pub elapsed_ns: u64,
    /// True if it ended because times became constant, false if at its bound.
    pub flat: bool,
}

/// Every language represents numbers below 2^53 exactly. 2^53 nanoseconds are 104 days.
const EXACT: u64 = 1 << 53;

impl Group {
    pub(super) fn check(&self) -> Result<(), String> {
        for sample in &self.samples {
            if sample.operations_count == 0 {
                return Err("a sample has operations_count 0: nothing to divide by".to_owned());
            }
            if sample.elapsed_ns.max(sample.operations_count) >= EXACT {
                return Err(
                    "a sample's elapsed_ns and operations_count must be below 2^53".to_owned(),
                );
            }
            if sample.memory.is_some_and(|memory| !memory.is_exact()) {
                return Err("every part of a memory ledger must be below 2^53".to_owned());
            }
            if let Some(latency) = &sample.latency
                && latency
                    .buckets
                    .windows(2)
                    .any(|pair| pair[0].0 >= pair[1].0)
            {
                return Err("latency buckets must rise".to_owned());
            }
        }
        Ok(())
    }
}

/// One timed duration, with its checksum and counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Wall time of the timed section, by the monotonic clock.
    pub elapsed_ns: u64,
    /// Operations done in the timed section; at least 1.
    pub operations_count: u64,
    /// The checksum of the answer, already verified.
    #[serde(default)]
    pub checksum: u64,
    /// User plus system CPU time of the lane and its children.
    #[serde(default)]
    pub cpu_ns: u64,
    /// Voluntary context switches of the lane and its children.
    #[serde(default)]
    pub voluntary_switches_count: u64,
    /// Involuntary context switches of the lane and its children.
    #[serde(default)]
    pub involuntary_switches_count: u64,
    /// The memory ledger, if the workload measures memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Latencies, if the workload measures them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Metrics by name, which ends in the unit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A memory ledger: the changes from before the first task to when all tasks were parked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Tasks alive at the second reading.
    pub tasks_count: u64,
    /// Drop of `MemAvailable` of the whole host, with the free pages in the per-CPU lists: a check
    /// of the sum.
    pub available_bytes: i64,
    /// Growth of the lane's memory control group, without the page cache: another check. Absent if
    /// it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_bytes: Option<i64>,
    /// Growth of the resident anonymous pages of the lane and its children.
    pub anonymous_bytes: i64,
    /// Growth of the kernel stacks of the lane and its children.
    pub kernel_stack_bytes: i64,
    /// Growth of the host's slab, up to what the lane's new threads, processes, mappings and files
    /// can cause.
    pub slab_bytes: i64,
    /// Growth of the page tables of the lane and its children.
    pub page_tables_bytes: i64,
    /// Growth of the host's per-CPU area, up to what the lane's new processes can cause.
    #[serde(default)]
    pub percpu_bytes: i64,
    /// Growth of the lane's address space. It is not part of the sum, because unused space costs
    /// nothing.
    #[serde(default)]
    pub virtual_bytes: i64,
}

impl Memory {
    /// The sum of the parts.
    #[must_use]
    pub fn sum_bytes(&self) -> i64 {
        self.anonymous_bytes
            + self.kernel_stack_bytes
            + self.slab_bytes
            + self.page_tables_bytes
            + self.percpu_bytes
    }

    /// True if all numbers are below [`EXACT`], so their sums cannot overflow.
    fn is_exact(&self) -> bool {
        let parts = [
            self.available_bytes,
            self.group_bytes.unwrap_or(0),
            self.anonymous_bytes,
            self.kernel_stack_bytes,
            self.slab_bytes,
            self.page_tables_bytes,
            self.percpu_bytes,
            self.virtual_bytes,
        ];
        self.tasks_count < EXACT && parts.iter().all(|part| part.unsigned_abs() < EXACT)
    }
}

/// Latencies of one sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// True if each latency counts from the intended start (open loop).
    pub corrected: bool,
    /// Requests offered a second; null in a closed loop.
    #[serde(default)]
    pub offered_per_s: Option<f64>,
    /// Requests answered a second.
    pub achieved_per_s: f64,
    /// An HDR histogram as pairs of latency in nanoseconds (the bucket's highest equivalent value)
    /// and count, in ascending order of latency.
    pub buckets: Vec<(u64, u64)>,
}

/// A cell, or one process of it, that could not be measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The workload's id.
    pub workload: String,
    /// The lane's name.
    pub lane: String,
    /// The workload's parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// Which fresh process of this lane, from 0.
    #[serde(default)]
    pub process_index: u64,
    /// Which block, from 0.
    #[serde(default)]
    pub block_index: u64,
    /// The kind of failure.
    pub kind: FailureKind,
    /// The cause ("killed by SIGSEGV") and advice, as text.
    pub message: String,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Why there is no figure.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The workload has no meaning on this lane.
    NotSupported,
    /// The lane's program or its toolchain is not on this host.
    NotInstalled,
    /// The host refused: the message names the limit and the errno.
    Limit,
    /// A signal killed the process, or it ended by itself.
    Crashed,
    /// The process exceeded its time.
    TimedOut,
    /// The process ran out of memory.
    OutOfMemory,
    /// The answer was wrong, so the sample is void and the run has failed.
    WrongChecksum,
    /// The process broke the protocol.
    Protocol,
    /// Anything else.
    #[default]
    #[serde(other)]
    Failed,
}

impl FailureKind {
    /// True if the process crashed or broke the protocol.
    #[must_use]
    pub fn is_crash(self) -> bool {
        matches!(self, FailureKind::Crashed | FailureKind::Protocol)
    }

    /// True if no figure was expected.
    #[must_use]
    pub fn is_expected(self) -> bool {
        matches!(self, FailureKind::NotSupported | FailureKind::NotInstalled)
    }
}
