//! A child process, from its start until it is reaped.
//!
//! # Access to the child's number
//!
//! The kernel may reuse the number once the child is reaped. Only [`Tracked::try_wait`] reaps the
//! child; it holds the lock under which signals are sent. A wait for the end does not reap the
//! child, so the wait needs no lock. A group has the number of its first process.
//!
//! # The end of a context
//!
//! | `end`       | what was done                                                   |
//! |-------------|-----------------------------------------------------------------|
//! | `ToCome`    | nothing                                                         |
//! | `Signalled` | the first signal was sent; the kill follows after the grace     |
//! | `Over`      | the child was killed; reads of its pipes return the data so far |

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::context::{AfterCancel, Context};
use crate::net::PipeReader;
use crate::net::fd::Fd;
use crate::netpoll::Side;
use crate::sched;
use crate::seam;
use crate::signal::Signal;
use crate::sys::process;
use crate::time::{AfterFunc, after_func_in_any_case, now};
use crate::util::lock::Lock;

/// Sends signals to a child, also while another goroutine waits for the child, like Go's
/// `Cmd.Process`. [`Child::process`](super::Child::process) returns it.
///
/// # Examples
///
/// ```
/// use bench_runtime::process::Command;
/// use bench_runtime::signal::Signal;
/// use std::os::unix::process::ExitStatusExt;
///
/// let mut child = Command::new("sleep").arg("1000").spawn()?;
/// let process = child.process();
/// let other = std::thread::spawn(move || process.signal(Signal::TERM));
/// assert_eq!(child.wait()?.signal(), Some(Signal::TERM.as_raw()));
/// other.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Process(pub(super) Arc<Tracked>);

impl Process {
    /// The number of the process. No other process gets it before the child is reaped.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let mut child = Command::new("true").spawn()?;
    /// assert_eq!(child.process().id(), child.id());
    /// child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.pid
    }

    /// Kills the child (`SIGKILL`), and its whole group with
    /// [`own_group`](super::Command::own_group). Has no effect once the child is reaped. Does not
    /// block; the child must still be waited for.
    ///
    /// # Errors
    ///
    /// If the system refuses, for example because the child runs as another user.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// let process = child.process();
    /// process.kill()?;
    /// assert!(!child.wait()?.success());
    /// process.kill()?; // Does nothing.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends a signal to the child, or with [`own_group`](super::Command::own_group) to its whole
    /// group. Has no effect once the child is reaped. Does not block.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    /// use bench_runtime::signal::Signal;
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// child.process().signal(Signal::HUP)?;
    /// assert_eq!(child.wait()?.signal(), Some(Signal::HUP.as_raw()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let sent = self.0.send(&self.0.state.lock(), signal);
        sched::give_way();
        sent
    }
}

/// How the end of a context ends the child.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending {
    /// The first signal, and the time from it to the kill.
    pub(super) grace: Option<(Signal, Duration)>,
    /// The child has a group of its own, which gets the signals.
    pub(super) own_group: bool,
}

#[derive(Debug)]
pub(super) struct Tracked {
    pid: u32,
    ending: Ending,
    state: Lock<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    ToCome,
    Signalled,
    Over,
}

#[derive(Debug)]
struct State {
    child: std::process::Child,
    status: Option<ExitStatus>,
    /// The child was reaped, by us or by other code: its number may belong to another process.
    reaped: bool,
    end: End,
    /// The context ended while the child ran.
    context_ended_first: bool,
    /// Reads of these pipes end when `end` becomes `Over`.
    pipes: Vec<Weak<PipeReader>>,
    at_end: Option<AfterCancel>,
    kill: Option<AfterFunc>,
}

impl Tracked {
    pub(super) fn new(
        child: std::process::Child,
        context: Option<&Context>,
        ending: Ending,
    ) -> Arc<Self> {
        let tracked = Arc::new(Self {
            pid: child.id(),
            ending,
            state: Lock::new(State {
                child,
                status: None,
                reaped: false,
                end: End::ToCome,
                context_ended_first: false,
                pipes: Vec::new(),
                at_end: None,
                kill: None,
            }),
        });
        if let Some(context) = context {
            // Weak, because the context may live longer than the child, and keeps this closure.
            let weak = Arc::downgrade(&tracked);
            let at_end = context.after_func(move || {
                if let Some(tracked) = weak.upgrade() {
                    tracked.on_context_end();
                }
            });
            tracked.state.lock().at_end = Some(at_end);
        }
        tracked
    }

    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        let mut state = self.state.lock();
        if state.context_ended_first
            && self.ending.own_group
            && process::has_ended(self.pid).unwrap_or(false)
        {
            // The rest of the group must not outlive the child: no signal could be sent to the
            // group once the child is reaped.
            let _ = self.send(&state, Signal::KILL);
        }
        let result = match state.status {
            Some(status) => Ok(Some(status)),
            None => state.child.try_wait(),
        };
        state.status = *result.as_ref().unwrap_or(&None);
        state.reaped = !matches!(result, Ok(None));
        result
    }

    /// Waits for the child to end, and reaps it. Blocks the goroutine.
    pub(super) fn wait(&self) -> io::Result<ExitStatus> {
        if let Ok(pidfd) = process::pidfd(self.pid) {
            let waited = Fd::new(pidfd).io(Side::Read, |_| match self.try_wait() {
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                other => Ok(other),
            });
            // Otherwise the pidfd could not be watched, or `try_wait` failed and will fail again.
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

    fn send(&self, state: &State, signal: Signal) -> io::Result<()> {
        if state.reaped {
            return Ok(());
        }
        if self.ending.own_group {
            let sent = process::signal_group(self.pid, signal.as_raw());
            // Read after the signal: the child may leave its group at any time.
            if process::leads_group(self.pid) {
                return sent;
            }
        }
        process::send_signal(self.pid, signal.as_raw())
    }

    fn on_context_end(self: &Arc<Self>) {
        let Some((signal, grace)) = self.ending.grace else {
            return self.finish();
        };
        {
            let mut state = self.state.lock();
            self.begin_end(&mut state);
            // This fails if other code has reaped the child.
            let _ = self.send(&state, signal);
        }
        let weak = Arc::downgrade(self);
        let kill = after_func_in_any_case(grace, move || {
            if let Some(tracked) = weak.upgrade() {
                tracked.finish();
            }
        });
        self.state.lock().kill = Some(kill);
    }

    fn begin_end(&self, state: &mut State) {
        state.end = End::Signalled;
        state.context_ended_first =
            !state.reaped && matches!(process::has_ended(self.pid), Ok(false));
    }

    /// Called at the end of the grace, or of the context if there is no grace.
    fn finish(&self) {
        let mut state = self.state.lock();
        if state.end == End::ToCome {
            self.begin_end(&mut state);
        }
        state.end = End::Over;
        // As in `on_context_end`.
        let _ = self.send(&state, Signal::KILL);
        let pipes = std::mem::take(&mut state.pipes);
        drop(state);
        pipes.iter().for_each(end_reads);
    }

    /// Makes reads of these pipes end when `end` becomes `Over`. The reads return the bytes that
    /// have arrived by then.
    pub(super) fn end_reads_of(&self, pipes: Vec<Weak<PipeReader>>) {
        let mut state = self.state.lock();
        if state.end == End::Over {
            drop(state);
            pipes.iter().for_each(end_reads);
        } else {
            state.pipes = pipes;
        }
    }

    pub(super) fn has_context_ended(&self) -> bool {
        self.state.lock().end != End::ToCome
    }

    /// True if the end of the context has ended the child.
    pub(super) fn was_ended_by_context(&self, status: ExitStatus) -> bool {
        let killed = status.signal() == Some(Signal::KILL.as_raw());
        // With a grace, the status does not show whether its signal has ended the child. The
        // context counts as the reason.
        (killed || self.ending.grace.is_some()) && self.state.lock().context_ended_first
    }
}

fn end_reads(pipe: &Weak<PipeReader>) {
    if let Some(pipe) = pipe.upgrade() {
        pipe.set_deadline(Some(now()));
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let (at_end, kill) = {
            let mut state = self.state.lock();
            (state.at_end.take(), state.kill.take())
        };
        at_end.map(|call| call.stop());
        kill.map(|call| call.stop());
    }
}

/// Children whose handle was dropped before they were reaped.
static ORPHANS: Lock<VecDeque<Arc<Tracked>>> = Lock::new(VecDeque::new());

/// How many orphans each start and each drop checks. More than one, because a drop may add one.
const ORPHANS_PER_CALL: usize = 4;

/// Reaps a child whose handle is dropped, because no goroutine will wait for it. If the child still
/// runs, a later [`reap_orphans`] reaps it.
pub(super) fn reap_or_keep(tracked: &Arc<Tracked>) {
    if matches!(tracked.try_wait(), Ok(None)) {
        ORPHANS.lock().push_back(tracked.clone());
    }
    reap_orphans();
}

pub(super) fn reap_orphans() {
    for _ in 0..ORPHANS_PER_CALL {
        let Some(orphan) = ORPHANS.lock().pop_front() else {
            return;
        };
        // A child that other code has reaped is dropped.
        if matches!(orphan.try_wait(), Ok(None)) {
            ORPHANS.lock().push_back(orphan);
        }
    }
}
