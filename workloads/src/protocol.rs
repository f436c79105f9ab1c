//! The wire protocol between the study and a lane program: JSON lines over stdin and stdout.
//! `PROTOCOL.md` describes it for other languages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::Memory;

/// The protocol's version; a lane with another version is refused.
pub const PROTOCOL_VERSION: u32 = 1;

/// The longest line either side may send, in bytes.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Parameters by name, which ends with the unit (`tasks_count`, `sleep_ns`).
pub type Parameters = BTreeMap<String, u64>;

/// A message from the study to a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Run one sample.
    Run {
        /// Chosen by the study and repeated in the answer.
        id: u64,
        /// A stable workload id, such as `spawn.batch`.
        workload: String,
        /// The workload's parameters.
        parameters: Parameters,
        /// How often the shape is repeated inside the timed section.
        iterations: u64,
    },
    /// The requested reading is taken: the lane continues.
    MemoryRead,
    /// The lane answers nothing and exits with status 0.
    Quit,
}

/// A message from a lane to the study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Response {
    /// The first line a lane prints.
    Hello(Hello),
    /// In the middle of a sample: take a reading of the lane's memory.
    ReadMemory,
    /// One sample.
    Sample(Sample),
    /// The sample could not be taken; the lane continues.
    Error {
        /// The id of the request.
        id: u64,
        /// The kind of failure.
        kind: ErrorKind,
        /// The cause and what to do.
        message: String,
    },
}

/// A lane's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The lane's stable name, such as `threadbare` or `go`.
    pub lane: String,
    /// The language and its version, such as `rust 1.95.0`.
    pub language: String,
    /// The version of the runtime or library measured, such as `tokio 1.54.1`.
    pub runtime: String,
    /// The lane's process id.
    pub pid: u32,
    /// How many CPUs the lane uses: the size of its affinity mask.
    pub cpus_count: u32,
    /// The lane was built without optimisation, so no figure is valid.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unoptimised: bool,
    /// The commit of git of the lane program; empty if not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub commit: String,
    /// Every workload of the lane's catalogue: `None` if it can be run, else why not.
    pub workloads: BTreeMap<String, Option<String>>,
}

/// Why a sample could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The workload has no meaning on this lane.
    NotSupported,
    /// The request was malformed.
    BadRequest,
    /// The host refused: the message names the limit and the errno.
    Limit,
    /// Anything else.
    Failed,
}

/// One timed duration, its checksum and further counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The id of the request.
    pub id: u64,
    /// Wall time of the timed section, by the monotonic clock.
    pub elapsed_ns: u64,
    /// Operations in the timed section: the divisor of `elapsed_ns`.
    pub operations_count: u64,
    /// The answer, to be checked against the workload's; at most 2^53 - 1, so that every language
    /// can hold it.
    pub checksum: u64,
    /// User plus system CPU time of the lane and its children.
    pub cpu_ns: u64,
    /// Voluntary context switches of the lane and its children.
    pub voluntary_switches_count: u64,
    /// Involuntary context switches of the lane and its children.
    pub involuntary_switches_count: u64,
    /// The memory ledger, if the workload measures memory. The study makes it.
    #[serde(skip)]
    pub memory: Option<Memory>,
    /// Latencies, if the workload measures them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Further figures by name, which ends with the unit (`first_instruction_ns`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

/// Whether a percentile at `share` is reported: at least three of `count` latencies must lie beyond
/// it. A median always is.
#[must_use]
pub fn has_percentile(count: u64, share: f64) -> bool {
    count > 0 && (share <= 0.5 || count as f64 * (1.0 - share) >= 3.0)
}

/// Latencies of one sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Each latency counts from the intended start (open loop).
    pub corrected: bool,
    /// The rate of the load, in requests a second; `None` in a closed loop.
    pub offered_per_s: Option<f64>,
    /// Requests a second that were answered.
    pub achieved_per_s: f64,
    /// An HDR histogram: pairs of latency in nanoseconds (the bucket's highest equivalent value)
    /// and count, in ascending order.
    pub buckets: Vec<(u64, u64)>,
}
