use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::shim::{AtomicBool, Ordering};
use crate::sys::{clock, fork};

/// The most events that one [`Poller::wait`] returns: Go's figure.
pub(crate) const MAX_EVENTS: usize = 128;

/// What is reported of a descriptor, besides EPOLLHUP and EPOLLERR, which always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Changes of these sides.
    Edges { read: bool, write: bool },
    /// Data, in each poll. Events that no read ends are left out, because each poll would report
    /// them again.
    Data,
}

impl Interest {
    pub(crate) const ALL_EDGES: Self = Self::Edges {
        read: true,
        write: true,
    };

    fn bits(self) -> i32 {
        let on = |is_on: bool, bits| if is_on { bits } else { 0 };
        match self {
            Self::Edges { read, write } => {
                let read = on(read, libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI);
                read | on(write, libc::EPOLLOUT) | libc::EPOLLET
            }
            Self::Data => libc::EPOLLIN,
        }
    }
}

/// The events that end a wait to read, those that end a wait to write, and those that last.
const READ_SIDE: i32 =
    libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLHUP | libc::EPOLLERR;
const WRITE_SIDE: i32 = libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR;
const LASTING: i32 = libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLHUP | libc::EPOLLERR;

#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// False once the kernel (before 5.11) or a filter has refused `epoll_pwait2(2)`. Time-outs are
    /// then rounded up to whole milliseconds.
    has_pwait2: AtomicBool,
    /// The thread's timer slack.
    slack_ns: u64,
}

/// The kernel may extend an epoll time-out by this share of it, at most [`SLACK_MOST_NS`], or by
/// the thread's timer slack if that is more (`select_estimate_accuracy` in its `fs/select.c`).
const SLACK_SHARE: u64 = 1_000;
const SLACK_MOST_NS: u64 = 100_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) token: u64,
    bits: i32,
}

impl Event {
    pub(crate) fn is_readable(self) -> bool {
        self.bits & READ_SIDE != 0
    }

    pub(crate) fn is_writable(self) -> bool {
        self.bits & WRITE_SIDE != 0
    }

    /// The end of the stream, an error or urgent data: perhaps no later edge reports it.
    pub(crate) fn is_lasting(self) -> bool {
        self.bits & LASTING != 0
    }
}

pub(crate) struct Events {
    raw: [libc::epoll_event; MAX_EVENTS],
    len: usize,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            raw: [libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS],
            len: 0,
        }
    }

    /// Stores the number of events. A wait that a signal has interrupted has none.
    fn take(&mut self, answer: io::Result<usize>) -> io::Result<()> {
        match answer {
            Ok(n) => self.len = n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.raw[..self.len].iter().map(|raw| Event {
            token: raw.u64,
            bits: raw.events as i32,
        })
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self {
            // SAFETY: the kernel has just given us this descriptor.
            epoll: unsafe { OwnedFd::from_raw_fd(fd) },
            has_pwait2: AtomicBool::new(true),
            slack_ns: clock::timer_slack_ns(),
        })
    }

    /// Watches a descriptor, until [`Self::delete`] or until its last duplicate is closed. A
    /// condition that is already true causes an event.
    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest.bits(), token)
    }

    /// Changes a watch. A condition that is true, and that is reported from now on, causes an event,
    /// also if it was reported before.
    pub(crate) fn change(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest.bits(), token)
    }

    pub(crate) fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, what: i32, fd: RawFd, bits: i32, token: u64) -> io::Result<()> {
        if fork::is_child() {
            // The parent has the same instance, and would lose its watch, or get another.
            return Err(io::Error::other("this is the child of a fork"));
        }
        let mut event = libc::epoll_event {
            events: bits as u32,
            u64: token,
        };
        // SAFETY: `event` outlives the call, which only reads it.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd, &raw mut event) })?;
        Ok(())
    }

    /// Waits until there is an event, until `timeout` has passed, or until a signal. `None` means
    /// no time-out. Blocks the thread.
    ///
    /// With `epoll_pwait2` the wait does not end late by the kernel's slack: the time-out is
    /// shorter by the slack, and if the call returns early, this function waits again.
    pub(crate) fn wait(&self, timeout: Option<Duration>, events: &mut Events) -> io::Result<()> {
        events.len = 0;
        let Some(length) =
            timeout.filter(|t| !t.is_zero() && self.has_pwait2.load(Ordering::Relaxed))
        else {
            let answer = self.wait_coarse(timeout, events);
            return events.take(answer);
        };
        let end = clock::now_ns().saturating_add(u64::try_from(length.as_nanos()).unwrap_or(!0));
        let mut left = length;
        loop {
            let shortened = self.less_slack(left);
            let done = match self.wait_fine(shortened, events) {
                Err(e) if is_refusal(&e) => {
                    self.has_pwait2.store(false, Ordering::Relaxed);
                    let answer = self.wait_coarse(Some(left), events);
                    return events.take(answer);
                }
                done => done,
            };
            let early = matches!(done, Ok(0));
            events.take(done)?;
            let now = clock::now_ns();
            if !early || now >= end {
                return Ok(());
            }
            left = Duration::from_nanos(end - now);
        }
    }

    fn less_slack(&self, timeout: Duration) -> Duration {
        let ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let slack = (ns / SLACK_SHARE).min(SLACK_MOST_NS).max(self.slack_ns);
        // Zero would not wait at all.
        Duration::from_nanos(ns.saturating_sub(slack).max(1))
    }

    fn wait_fine(&self, timeout: Duration, events: &mut Events) -> io::Result<usize> {
        let spec = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: the kernel writes at most MAX_EVENTS events into an array of that many, reads the
        // timespec, and gets no signal mask.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                events.raw.as_mut_ptr(),
                MAX_EVENTS as i32,
                &raw const spec,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    fn wait_coarse(&self, timeout: Option<Duration>, events: &mut Events) -> io::Result<usize> {
        let ms = timeout.map_or(-1, |t| {
            i32::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: the kernel writes at most MAX_EVENTS events into an array of that many.
        let n = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                events.raw.as_mut_ptr(),
                MAX_EVENTS as i32,
                ms,
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

/// A filter of system calls may refuse with any error except for these.
fn is_refusal(error: &io::Error) -> bool {
    !matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::EBADF | libc::EFAULT)
    )
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_of_a_filter_is_a_refusal_and_a_signal_is_none() {
        for number in [libc::ENOSYS, libc::EPERM, libc::EACCES, libc::EINVAL] {
            assert!(is_refusal(&io::Error::from_raw_os_error(number)));
        }
        assert!(!is_refusal(&io::Error::from_raw_os_error(libc::EINTR)));
    }
}
