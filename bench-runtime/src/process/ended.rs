use std::fmt;
use std::io;
use std::process::ExitStatus;

use crate::context::ContextError;

/// The content of the [`io::Error`] of a command whose context has ended. The error's kind is
/// [`TimedOut`](io::ErrorKind::TimedOut) after a deadline, and [`Other`](io::ErrorKind::Other)
/// after a cancel.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::{Context, ContextError};
/// use bench_runtime::process::{Command, Ended};
/// use std::time::Duration;
///
/// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(500));
/// let mut command = Command::new("sh");
/// command.args(["-c", "echo so far; exec sleep 1000"]).context(&ctx);
/// let error = command.output().unwrap_err();
/// let ended = error.downcast::<Ended>().unwrap();
/// assert_eq!(ended.why, ContextError::DeadlineExceeded);
/// println!("{} with {:?}", ended, String::from_utf8_lossy(&ended.stdout));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Whether the context was cancelled, or its deadline passed.
    /// [`Context::cause`](crate::context::Context::cause) has the cause of a cancel.
    pub why: ContextError,
    /// How the child ended; `None` if it was not started.
    pub status: Option<ExitStatus>,
    /// The child's standard output, if [`output`](super::Command::output) or
    /// [`wait_with_output`](super::Child::wait_with_output) has read it.
    pub stdout: Vec<u8>,
    /// The same for standard error.
    pub stderr: Vec<u8>,
}

impl Ended {
    pub(super) fn new(why: ContextError, status: Option<ExitStatus>) -> Self {
        Self {
            why,
            status,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.why)?;
        match self.status {
            Some(status) => write!(f, " ({status})"),
            None => f.write_str(" (not started)"),
        }
    }
}

impl std::error::Error for Ended {}

impl From<Ended> for io::Error {
    fn from(ended: Ended) -> Self {
        let kind = match ended.why {
            ContextError::DeadlineExceeded => io::ErrorKind::TimedOut,
            ContextError::Cancelled => io::ErrorKind::Other,
        };
        Self::new(kind, ended)
    }
}
