use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use nix::errno::Errno;

/// Why a lane's process gave no answer. It costs the lane's cell, but does not end the run.
#[derive(Debug)]
pub struct LaneFailure {
    /// The cause.
    pub cause: Cause,
    /// The study's wait, in words: `to say hello`, `for a sample`.
    pub asked: &'static str,
    /// The last lines of its standard error.
    pub last_words: String,
}

/// The cause of a lane's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It could not be started.
    CannotStart(String),
    /// A limit of the host was reached; the text names it.
    NoRoom(String),
    /// A signal killed it.
    Killed {
        /// The signal's name, such as `SIGSEGV`.
        signal: String,
        /// The out-of-memory killer ended a process at that time.
        out_of_memory: bool,
    },
    /// It exited too early, or with another status than 0.
    Exited(i32),
    /// It closed its standard output and kept running.
    ClosedOutput,
    /// It did not answer in time, and was killed.
    TimedOut(Duration),
    /// Its answer violates the protocol.
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
    /// Its memory could not be read.
    NoReading(String),
    /// The user stopped the run; it was killed.
    Interrupted,
}

impl Cause {
    pub(super) fn of_start(program: &Path, error: &io::Error) -> Self {
        let limits = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE) => "ulimit -n",
            Some(Errno::ENFILE) => "fs.file-max",
            Some(Errno::EAGAIN) => "ulimit -u, pids.max and threads-max",
            Some(Errno::ENOMEM) => "the memory of the host or cgroup, and ulimit -v",
            _ => return Self::CannotStart(format!("{}: {error}", program.display())),
        };
        Self::NoRoom(format!("{}: {error}; look at {limits}", program.display()))
    }

    /// A stable word for this cause, for result files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CannotStart(_) => "cannot_start",
            Self::NoRoom(_) => "no_room",
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
            Self::CannotStart(why) | Self::NoRoom(why) => {
                write!(out, "could not be started: {why}")
            }
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
        let is_asked = !matches!(
            self.cause,
            Cause::CannotStart(_) | Cause::NoRoom(_) | Cause::Interrupted
        );
        if is_asked {
            write!(out, ", when asked {}", self.asked)?;
        }
        if !self.last_words.is_empty() {
            write!(out, "; its last words: {}", self.last_words)?;
        }
        Ok(())
    }
}

impl std::error::Error for LaneFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_start_names_the_limit_where_it_is_one() {
        let cause = |errno: Errno| Cause::of_start(Path::new("lane"), &errno.into());
        for (errno, limit) in [
            (Errno::EMFILE, "ulimit -n"),
            (Errno::EAGAIN, "ulimit -u"),
            (Errno::ENOMEM, "ulimit -v"),
        ] {
            let cause = cause(errno);
            assert!(matches!(cause, Cause::NoRoom(_)), "{cause:?}");
            assert!(cause.to_string().contains(limit), "{cause}");
        }
        let absent = cause(Errno::ENOENT);
        assert!(matches!(absent, Cause::CannotStart(_)), "{absent:?}");
    }
}
