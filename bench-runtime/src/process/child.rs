//! A process that was started, until it is collected.
//!
//! # Access to the child's number
//!
//! The kernel keeps it for the child until the child is collected, which happens
//! in [`Process::try_wait`] alone, under the lock under which signals are sent. To
//! wait collects nothing, so it needs no lock.
//!
//! # Rejected
//!
//! *One thread that hears SIGCHLD and asks after all children*: it would take the
//! signal from the program. *A descriptor kept from the start on*: it is opened when
//! a goroutine waits, so that a child costs none until then.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};
use std::sync::{Arc, Weak};

use crate::chan::{Receiver, chan};
use crate::context::{AfterCancel, Context, ContextError};
use crate::net::fd::Fd;
use crate::net::{PipeReader, PipeWriter, is_closed_error};
use crate::netpoll::Side;
use crate::sched;
use crate::seam::{self, Spawner};
use crate::signal::Signal;
use crate::sys::process;
use crate::util::lock::Lock;

/// A child process.
///
/// Dropping it neither kills the child nor waits for it, as with std's. One that
/// has ended, or ends later, is collected at some later start or drop of a child, so
/// that zombies do not pile up.
///
/// # Examples
///
/// ```
/// use bench_runtime::process::{Command, Stdio};
/// use std::io::{BufRead, BufReader};
///
/// # fn main() -> std::io::Result<()> {
/// let mut child = Command::new("sh")
///     .args(["-c", "echo ready; exec sleep 1000"])
///     .stdout(Stdio::piped())
///     .spawn()?;
/// let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
/// assert_eq!(lines.next().unwrap()?, "ready");
/// println!("process {} is ready", child.id());
/// assert_eq!(child.try_wait()?, None);
/// child.kill()?;
/// assert_eq!(child.wait()?.code(), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Child {
    /// What to write to for the child to read, if it was piped.
    pub stdin: Option<PipeWriter>,
    /// What the child writes, if it was piped.
    pub stdout: Option<PipeReader>,
    /// What the child writes of what goes wrong, if it was piped.
    pub stderr: Option<PipeReader>,
    process: Arc<Process>,
    context: Option<Context>,
}

#[derive(Debug)]
struct Process {
    pid: u32,
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    child: std::process::Child,
    status: Option<ExitStatus>,
    /// Its number may be another's: it was collected, by us or by others.
    collected: bool,
    /// The context's end came while it ran.
    cut: bool,
    /// What kills it then.
    at_end: Option<AfterCancel>,
}

impl Process {
    /// Collects the child if it has ended. Does not block.
    fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = self.state.lock();
        let result = match state.status {
            Some(status) => Ok(Some(status)),
            None => state.child.try_wait(),
        };
        state.status = *result.as_ref().unwrap_or(&None);
        state.collected = !matches!(result, Ok(None));
        let at_end = state.collected.then(|| state.at_end.take());
        drop(state);
        if let Some(at_end) = at_end.flatten() {
            at_end.stop();
        }
        result
    }

    /// Waits for the child to end, and collects it. Blocks the goroutine.
    fn wait(&self) -> io::Result<ExitStatus> {
        if let Ok(pidfd) = process::pidfd(self.pid) {
            let waited = Fd::new(pidfd).io(Side::Read, |_| match self.try_wait() {
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                other => Ok(other),
            });
            // Else there was no room to watch it.
            if let Ok(Ok(Some(status))) = waited {
                return Ok(status);
            }
        }
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            seam::blocking(|| process::wait_for_end(self.pid))?;
        }
    }

    fn send_signal(&self, signal: i32) -> io::Result<()> {
        let state = self.state.lock();
        match state.collected {
            true => Ok(()),
            false => process::send_signal(self.pid, signal),
        }
    }

    /// At the end of the context.
    fn cut(&self) {
        let mut state = self.state.lock();
        if !state.collected {
            state.cut = true;
            // It fails where others have collected the child.
            let _ = process::send_signal(self.pid, Signal::KILL.as_raw());
        }
    }

    /// True if the child ended by [`Self::cut`].
    fn was_cut(&self, status: ExitStatus) -> bool {
        status.signal() == Some(Signal::KILL.as_raw()) && self.state.lock().cut
    }
}

/// Children whose handle was dropped before they were collected.
static ORPHANS: Lock<VecDeque<Arc<Process>>> = Lock::new(VecDeque::new());

/// How many of those are asked after at a start and at a drop: more than one joins
/// them then.
const SWEPT: usize = 4;

/// Collects some of the children without a handle.
pub(super) fn sweep() {
    for _ in 0..SWEPT {
        let Some(orphan) = ORPHANS.lock().pop_front() else {
            return;
        };
        // One that others have collected is no child any more.
        if matches!(orphan.try_wait(), Ok(None)) {
            ORPHANS.lock().push_back(orphan);
        }
    }
}

/// The error of what the end of a context has ended.
pub(super) fn ended(error: ContextError) -> io::Error {
    let kind = match error {
        ContextError::DeadlineExceeded => io::ErrorKind::TimedOut,
        ContextError::Cancelled => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// What a child writes, as it is read to its end beside the wait.
struct Reading {
    pipe: Arc<PipeReader>,
    text: Receiver<io::Result<Vec<u8>>>,
}

impl Reading {
    fn start(pipe: PipeReader, spawner: &Spawner) -> Self {
        let pipe = Arc::new(pipe);
        let (sender, text) = chan(1);
        let from = pipe.clone();
        spawner.spawn(move || {
            let mut all = Vec::new();
            let result = (&*from).read_to_end(&mut all).map(|_| all);
            drop(sender.send(result));
        });
        Self { pipe, text }
    }

    /// All of it. Blocks the goroutine.
    fn finish(self) -> io::Result<Vec<u8>> {
        let gone = || Err(io::Error::other("what read the child's pipe was stopped"));
        self.text.recv().unwrap_or_else(gone)
    }
}

impl Child {
    pub(super) fn new(
        mut child: std::process::Child,
        context: Option<Context>,
    ) -> io::Result<Self> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut started = Self {
            stdin: None,
            stdout: None,
            stderr: None,
            process: Arc::new(Process {
                pid: child.id(),
                state: Lock::new(State {
                    child,
                    status: None,
                    collected: false,
                    cut: false,
                    at_end: None,
                }),
            }),
            context,
        };
        if let Some(context) = &started.context {
            // Weak: the context may live long, and keeps the call.
            let process = Arc::downgrade(&started.process);
            let at_end = context.after_func(move || {
                if let Some(process) = process.upgrade() {
                    process.cut();
                }
            });
            started.process.state.lock().at_end = Some(at_end);
        }
        started.stdin = stdin.map(|p| OwnedFd::from(p).try_into()).transpose()?;
        started.stdout = stdout.map(|p| OwnedFd::from(p).try_into()).transpose()?;
        started.stderr = stderr.map(|p| OwnedFd::from(p).try_into()).transpose()?;
        Ok(started)
    }

    /// The number of the process, which is its own until a wait has returned.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.pid
    }

    /// Kills the child (`SIGKILL`); nothing happens to one that a wait has returned
    /// for. Does not block; the child is still to be waited for.
    ///
    /// # Errors
    ///
    /// When the system refuses, as for a child that runs as another user.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends a signal to the child; nothing happens to one that a wait has returned
    /// for. Does not block.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    /// use bench_runtime::signal::Signal;
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// child.signal(Signal::TERM)?;
    /// assert_eq!(child.wait()?.signal(), Some(Signal::TERM.as_raw()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let sent = self.process.send_signal(signal.as_raw());
        sched::give_way();
        sent
    }

    /// The status of the child if it has ended, which is then collected; also of one
    /// that the end of its context has killed. Does not block.
    ///
    /// # Errors
    ///
    /// `ECHILD` where others have collected it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.process.try_wait();
        sched::give_way();
        status
    }

    /// Closes the child's stdin, waits for the child to end, and collects it. Blocks
    /// the goroutine. A stop of the child is no end.
    ///
    /// # Errors
    ///
    /// The context's error if its end has killed the child; `ECHILD` where others
    /// have collected it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        let status = self.process.wait()?;
        match self.context.as_ref().and_then(Context::err) {
            Some(error) if self.process.was_cut(status) => Err(ended(error)),
            _ => Ok(status),
        }
    }

    /// Closes the child's stdin, waits for the child to end and for all that it
    /// writes into its pipes. Blocks the goroutine. What has inherited the pipes and
    /// lives on is waited for too, until the end of the context if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait), and of reading the pipes.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::{Command, Stdio};
    /// use std::io::Write;
    ///
    /// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// child.stdin.as_mut().unwrap().write_all(b"meow")?;
    /// assert_eq!(child.wait_with_output()?.stdout, b"meow");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let spawner = Spawner::current();
        let start = |pipe| Reading::start(pipe, &spawner);
        let stdout = self.stdout.take().map(start);
        let stderr = self.stderr.take().map(start);
        let pipes: Vec<Weak<PipeReader>> = [&stdout, &stderr]
            .into_iter()
            .flatten()
            .map(|reading| Arc::downgrade(&reading.pipe))
            .collect();
        let at_end = self.context.as_ref().map(|context| {
            context.after_func(move || {
                for pipe in pipes.iter().filter_map(Weak::upgrade) {
                    let _ = pipe.close();
                }
            })
        });
        let finish = |reading: Option<Reading>| reading.map_or(Ok(Vec::new()), Reading::finish);
        let result = self.wait().and_then(|status| {
            Ok(Output {
                status,
                stdout: finish(stdout)?,
                stderr: finish(stderr)?,
            })
        });
        if let Some(at_end) = at_end {
            at_end.stop();
        }
        result.map_err(|error| match self.context.as_ref().and_then(Context::err) {
            Some(why) if is_closed_error(&error) => ended(why),
            _ => error,
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            ORPHANS.lock().push_back(self.process.clone());
        }
        sweep();
    }
}
