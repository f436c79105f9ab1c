//! Why a lane's process gave no answer.

use std::fmt;
use std::time::Duration;

/// A lane's process did not do its part: it costs its own cell, never the run.
#[derive(Debug)]
pub struct LaneFailure {
    /// What happened.
    pub cause: Cause,
    /// What it was asked for, for a person: `to say hello`, `for a sample`.
    pub asked: &'static str,
    /// The last lines of its standard error; empty where it wrote none.
    pub last_words: String,
}

/// What happened to a lane's process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It could not be started.
    CannotStart(String),
    /// A signal killed it; the flag says that the kernel reported an
    /// out-of-memory kill at the same time.
    Killed {
        /// The signal's name, such as `SIGSEGV`.
        signal: String,
        /// True where the kernel's out-of-memory killer struck meanwhile.
        out_of_memory: bool,
    },
    /// It exited before it was told to.
    Exited(i32),
    /// It closed its standard output and went on living.
    ClosedOutput,
    /// It did not answer in time, and was killed.
    TimedOut(Duration),
    /// It answered something that is not the protocol.
    Garbage {
        /// What is wrong with the answer.
        why: String,
        /// The beginning of the answer.
        line: String,
    },
    /// It speaks another version of the protocol.
    WrongProtocol(u32),
    /// Its pipes or its status could not be read or written.
    Pipe(String),
    /// The memory that it uses could not be read.
    NoReading(String),
    /// The user asked to stop while it ran; it was killed.
    Interrupted,
}

impl Cause {
    /// A stable word for this cause, for result files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CannotStart(_) => "cannot_start",
            Self::Killed {
                out_of_memory: true,
                ..
            } => "out_of_memory",
            Self::Killed { .. } => "killed",
            Self::Exited(_) => "exited",
            Self::ClosedOutput => "closed_output",
            Self::TimedOut(_) => "timed_out",
            Self::Garbage { .. } => "garbage",
            Self::WrongProtocol(_) => "wrong_protocol",
            Self::Pipe(_) => "pipe",
            Self::NoReading(_) => "no_reading",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotStart(why) => write!(out, "could not be started: {why}"),
            Self::Killed {
                signal,
                out_of_memory: false,
            } => write!(out, "killed by {signal}"),
            Self::Killed {
                signal,
                out_of_memory: true,
            } => {
                write!(out, "killed by {signal}: the host ran out of memory")
            }
            Self::Exited(status) => write!(out, "exited with status {status}"),
            Self::ClosedOutput => out.write_str("closed its standard output"),
            Self::TimedOut(limit) if limit.subsec_millis() == 0 => {
                write!(out, "timed out after {} s", limit.as_secs())
            }
            Self::TimedOut(limit) => write!(out, "timed out after {} ms", limit.as_millis()),
            Self::Garbage { why, line } => {
                write!(
                    out,
                    "answered something that is not the protocol ({why}): {line:?}"
                )
            }
            Self::WrongProtocol(version) => write!(
                out,
                "speaks protocol {version}, this program speaks {}; rebuild the lane program",
                workloads::protocol::PROTOCOL_VERSION
            ),
            Self::Pipe(why) => write!(out, "the pipes to it failed: {why}"),
            Self::NoReading(why) => write!(out, "its memory could not be read: {why}"),
            Self::Interrupted => out.write_str("stopped by the user"),
        }
    }
}

impl fmt::Display for LaneFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.cause)?;
        if !matches!(self.cause, Cause::CannotStart(_) | Cause::Interrupted) {
            write!(out, ", when asked {}", self.asked)?;
        }
        if !self.last_words.is_empty() {
            write!(out, "; its last words: {}", self.last_words)?;
        }
        Ok(())
    }
}

impl std::error::Error for LaneFailure {}
