use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Output};
use std::sync::Arc;

use super::ended::Ended;
use super::handle::{self, Ending, Process, Tracked};
use crate::chan::{Receiver, chan};
use crate::context::Context;
use crate::net::{PipeReader, PipeWriter};
use crate::sched;
use crate::seam::Spawner;
use crate::signal::Signal;

/// A child process.
///
/// The drop neither kills the child nor waits for it, as with std's. A dropped child that has ended
/// is reaped when another child is started or dropped, so zombies do not accumulate.
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
    /// The child's standard input, if it was piped.
    pub stdin: Option<PipeWriter>,
    /// The child's standard output, if it was piped.
    pub stdout: Option<PipeReader>,
    /// The child's standard error, if it was piped.
    pub stderr: Option<PipeReader>,
    process: Process,
    context: Option<Context>,
}

/// The bytes that were read, and the error that ended the reading, if any.
type ReadResult = (Vec<u8>, io::Result<()>);

/// A child's output, read to its end during the wait.
struct Reading {
    pipe: Arc<PipeReader>,
    outcome: Receiver<ReadResult>,
}

impl Reading {
    fn start(pipe: PipeReader, spawner: &Spawner) -> io::Result<Self> {
        let pipe = Arc::new(pipe);
        let (sender, outcome) = chan(1);
        let from = pipe.clone();
        spawner.try_spawn(move || {
            let mut all = Vec::new();
            let mut result = (&*from).read_to_end(&mut all).map(drop);
            if matches!(&result, Err(error) if error.kind() == io::ErrorKind::TimedOut) {
                result = from.read_rest(&mut all).and(result);
            }
            drop(sender.send((all, result)));
        })?;
        Ok(Self { pipe, outcome })
    }

    /// Waits for the end of the output. Blocks the goroutine.
    fn finish(self) -> ReadResult {
        let reader_stopped = || io::Error::other("what read the child's pipe was stopped");
        let outcome = self.outcome.recv();
        outcome.unwrap_or_else(|| (Vec::new(), Err(reader_stopped())))
    }
}

impl Child {
    pub(super) fn new(
        mut child: std::process::Child,
        context: Option<Context>,
        ending: Ending,
    ) -> io::Result<Self> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut started = Self {
            stdin: None,
            stdout: None,
            stderr: None,
            process: Process(Tracked::new(child, context.as_ref(), ending)),
            context,
        };
        started.stdin = stdin.map(|p| OwnedFd::from(p).try_into()).transpose()?;
        started.stdout = stdout.map(|p| OwnedFd::from(p).try_into()).transpose()?;
        started.stderr = stderr.map(|p| OwnedFd::from(p).try_into()).transpose()?;
        Ok(started)
    }

    /// A handle that sends signals to the child, also while a goroutine waits for the child.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    /// use bench_runtime::time;
    /// use std::time::Duration;
    ///
    /// // The child is killed after 20 ms.
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// let process = child.process();
    /// let limit = time::after_func(Duration::from_millis(20), move || drop(process.kill()));
    /// assert!(!child.wait()?.success());
    /// limit.stop();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn process(&self) -> Process {
        self.process.clone()
    }

    /// The number of the process. No other process gets it before the child is reaped.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills the child, as [`Process::kill`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn kill(&self) -> io::Result<()> {
        self.process.kill()
    }

    /// Sends a signal to the child, as [`Process::signal`].
    ///
    /// # Errors
    ///
    /// The same.
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
        self.process.signal(signal)
    }

    /// If the child has ended, reaps it and returns its status, also if the end of the context has
    /// killed it. Does not block.
    ///
    /// # Errors
    ///
    /// `ECHILD` if other code has reaped it.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.process.0.try_wait();
        sched::give_way();
        status
    }

    /// Closes the child's stdin, waits for the child to end, and reaps it. Blocks the goroutine. A
    /// child that is stopped (`SIGSTOP`) has not ended.
    ///
    /// # Errors
    ///
    /// [`Ended`] if the end of its context has ended the child; `ECHILD` if other
    /// code has reaped it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        let status = self.process.0.wait()?;
        match self.context.as_ref().and_then(Context::err) {
            Some(why) if self.process.0.was_ended_by_context(status) => {
                Err(Ended::new(why, Some(status)).into())
            }
            _ => Ok(status),
        }
    }

    /// Closes the child's stdin, reads all that the child writes into its pipes, and waits for its
    /// end. Blocks the goroutine. Also waits for other processes that have inherited the pipes; if
    /// there is a context, only until its end.
    ///
    /// # Errors
    ///
    /// The errors of [`wait`](Self::wait), and of reading the pipes. [`Ended`] also if the context
    /// has ended before the pipes have; the error contains the output until then.
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
        let readings = [
            self.stdout.take().map(start).transpose()?,
            self.stderr.take().map(start).transpose()?,
        ];
        let open = readings.iter().flatten();
        let open = open.map(|reading| Arc::downgrade(&reading.pipe));
        let tracked = self.process.0.clone();
        tracked.end_reads_of(open.collect());
        // The child is reaped last, because a signal can reach its group only until then.
        let [stdout, stderr] =
            readings.map(|reading| reading.map_or((Vec::new(), Ok(())), Reading::finish));
        let context_ended = tracked.has_context_ended();
        let status = tracked.wait()?;
        match self.context.as_ref().and_then(Context::err) {
            Some(why) if context_ended || tracked.was_ended_by_context(status) => Err(Ended {
                stdout: stdout.0,
                stderr: stderr.0,
                ..Ended::new(why, Some(status))
            }
            .into()),
            _ => stdout.1.and(stderr.1).map(|()| Output {
                status,
                stdout: stdout.0,
                stderr: stderr.0,
            }),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        handle::reap_or_keep(&self.process.0);
    }
}
