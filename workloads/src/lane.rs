//! A lane: one model of concurrency that runs the workloads.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;

use crate::catalogue::{Shape, Workload, get};
use crate::kernels::{Chunk, Kernel};
use crate::measure::Measured;
use crate::protocol::{ErrorKind, Latency, Parameters};

pub(crate) trait Lane {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure>;
}

/// The facts of a lane.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The stable name, such as `thread-16k`.
    pub name: &'static str,
    /// The name of one of its tasks in a sentence.
    pub noun: &'static str,
    /// Its description, in one line.
    pub title: &'static str,
    /// The program that contains the lane.
    pub program: Program,
    /// Whether a task is a thread or a process of the operating system, which takes a hundred times
    /// the memory of a runtime's task.
    pub kernel_tasks: bool,
    /// The version of the runtime or library measured.
    pub runtime: fn() -> String,
    /// Why a workload has no meaning on this lane; `None` when it runs.
    pub refuses: fn(&Workload) -> Option<&'static str>,
    pub(crate) start: Start,
}

/// A program that runs lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `threadbare-lane`, with the system's allocator.
    Plain,
    /// `threadbare-lane-mimalloc`, with mimalloc.
    Mimalloc,
}

impl Program {
    /// The program's file name.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Plain => "threadbare-lane",
            Self::Mimalloc => "threadbare-lane-mimalloc",
        }
    }
}

pub(crate) type Start = fn(cpus: usize) -> Result<Box<dyn Lane>, Failure>;

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) workload: &'static Workload,
    pub(crate) parameters: Parameters,
    pub(crate) iterations: u64,
    pub(crate) cpus: usize,
}

impl Order {
    pub(crate) fn get(&self, name: &str) -> u64 {
        get(&self.parameters, name)
    }

    pub(crate) fn or(&self, name: &str, other: u64) -> u64 {
        self.parameters.get(name).copied().unwrap_or(other)
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.get(name) as usize
    }

    /// The threads of a runtime with a scheduler: `workers_count` for chunks and round trips, else
    /// the number of the lane's CPUs.
    pub(crate) fn threads(&self) -> usize {
        match self.workload.shape {
            Shape::Chunks(_) | Shape::RoundTrip => self.or_cpus("workers_count"),
            _ => self.cpus,
        }
    }

    /// The chunks of a `cpu.*` workload, and their number. If the work grows with the workers, each
    /// chunk occurs once per worker.
    pub(crate) fn chunks(&self, kernel: Kernel) -> (Chunk, u64) {
        let (chunk, count) = (kernel(&self.parameters), self.get("chunks_count"));
        if self.workload.grows() {
            let copies = self.threads() as u64;
            (Arc::new(move |index| chunk(index % count)), copies * count)
        } else {
            (chunk, count)
        }
    }

    /// 0 means the number of the lane's CPUs.
    pub(crate) fn or_cpus(&self, name: &str) -> usize {
        match self.count(name) {
            0 => self.cpus,
            count => count,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) measured: Measured,
    /// The number of operations, if it differs from the catalogue's.
    pub(crate) operations: Option<u64>,
    pub(crate) checksum: u64,
    pub(crate) latency: Option<Latency>,
    pub(crate) metrics: BTreeMap<String, f64>,
}

impl Outcome {
    pub(crate) fn new(measured: Measured, checksum: u64) -> Self {
        Self {
            measured,
            checksum,
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &str, value: f64) -> Self {
        self.metrics.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.measured.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Why there is no sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, for the study.
    pub kind: ErrorKind,
    /// The message, for people.
    pub message: String,
}

impl Failure {
    pub(crate) fn not_supported(why: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::NotSupported,
            message: why.into(),
        }
    }

    pub(crate) fn limit(why: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Limit,
            message: why.into(),
        }
    }

    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Failed,
            message: why.into(),
        }
    }

    /// The host refused `what`; `limits` names the likely limits.
    pub(crate) fn host(what: impl Display, error: &io::Error, limits: &str) -> Self {
        let limited = [
            libc::EAGAIN,
            libc::ENOMEM,
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOSPC,
            libc::EADDRNOTAVAIL,
        ];
        match error.raw_os_error() {
            Some(errno) if limited.contains(&errno) => {
                let name = nix::errno::Errno::from_raw(errno);
                Self {
                    kind: ErrorKind::Limit,
                    message: format!("{what}: {name:?}, {}; look at {limits}", name.desc()),
                }
            }
            _ => Self::failed(format!("{what}: {error}")),
        }
    }

    /// A task fails by [`Failure::throw`]; any other payload is a panic.
    pub(crate) fn from_panic(payload: Box<dyn std::any::Any + Send>) -> Self {
        match payload.downcast::<Self>() {
            Ok(failure) => *failure,
            Err(other) => {
                let text = other
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| other.downcast_ref::<String>().cloned());
                Self::failed(format!(
                    "a task panicked: {}",
                    text.as_deref().unwrap_or("no message")
                ))
            }
        }
    }

    /// Ends the calling task. The task that joins it gets this failure.
    pub(crate) fn throw(self) -> ! {
        resume_unwind(Box::new(self))
    }
}

pub(crate) trait OrThrow<T> {
    fn or_throw(self, what: &str) -> T;
}

impl<T, E: Display> OrThrow<T> for Result<T, E> {
    fn or_throw(self, what: &str) -> T {
        self.unwrap_or_else(|error| Failure::failed(format!("{what}: {error}")).throw())
    }
}
