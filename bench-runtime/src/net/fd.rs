//! A descriptor and its waits; the socket, pipe and descriptor types of [`crate::net`] contain an
//! [`Fd`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::net::attempt::Attempt;
use crate::net::closed_error;
use crate::net::readiness::Readiness;
use crate::net::wait::{NEVER, Waits};
use crate::netpoll::Side;
use crate::sched;
use crate::sys::fd;
use crate::time::{self, after_ns, ns_of};

/// The pauses of `io_by_pauses`, for operations that no event of the poller reports as possible.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Fd<S> {
    // Dropped first: the watch ends before the descriptor is closed.
    waits: Waits,
    inner: S,
}

impl<S: AsFd> Fd<S> {
    /// Wraps a descriptor that is in non-blocking mode, or whose operations are tried only when
    /// ready.
    pub(crate) fn new(inner: S) -> Self {
        Self {
            waits: Waits::new(false),
            inner,
        }
    }

    /// As [`Self::new`], for a connection that a listener has accepted.
    pub(super) fn accepted(inner: S) -> Self {
        Self {
            waits: Waits::new(true),
            inner,
        }
    }

    pub(super) fn from_blocking(inner: S) -> io::Result<Self> {
        fd::set_nonblocking(inner.as_fd(), true)?;
        Ok(Self::new(inner))
    }

    pub(super) fn into_blocking(self) -> io::Result<S> {
        if !self.waits.is_closed() {
            fd::set_nonblocking(self.inner.as_fd(), false)?;
        }
        self.into_inner()
    }

    pub(super) fn into_inner(self) -> io::Result<S> {
        if self.waits.is_closed() {
            return Err(closed_error());
        }
        let Self { waits, inner } = self;
        drop(waits);
        Ok(inner)
    }

    /// Calls an operation that never blocks. Fails with `Closed` on a closed descriptor.
    pub(super) fn with<T>(&self, op: impl FnOnce(&S) -> io::Result<T>) -> io::Result<T> {
        op(&self.inner).map_err(|e| self.waits.closed_error_or(e))
    }

    /// Tries `op` until it does not return `WouldBlock`. Blocks the goroutine.
    #[inline]
    pub(crate) fn io<T>(&self, side: Side, op: impl FnMut(&S) -> io::Result<T>) -> io::Result<T> {
        self.io_until(side, NEVER, op)
    }

    /// As [`Self::io`], until `limit_ns` (of [`crate::sched::now_ns`]) at the latest.
    #[inline]
    pub(super) fn io_until<T>(
        &self,
        side: Side,
        limit_ns: u64,
        op: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        let attempt = Attempt::begin(&self.waits, side, limit_ns);
        self.try_until_done(attempt, false, op, |_, _| ())
    }

    /// Tries and waits, until the operation is done. With `may_be_drained`, waits before the first
    /// try if the stream was drained and no edge came since. Calls `note` after each try that did
    /// not fail: with the result, or with `None` if the try would have blocked.
    #[inline]
    fn try_until_done<T>(
        &self,
        mut attempt: Attempt<'_>,
        may_be_drained: bool,
        mut op: impl FnMut(&S) -> io::Result<T>,
        note: impl Fn(&Attempt<'_>, Option<&T>),
    ) -> io::Result<T> {
        sched::give_way();
        loop {
            attempt.check()?;
            if may_be_drained && attempt.is_drained() {
                attempt.wait(self.inner.as_fd())?;
                continue;
            }
            match op(&self.inner) {
                Ok(done) => {
                    note(&attempt, Some(&done));
                    return Ok(done);
                }
                Err(e) => match e.kind() {
                    io::ErrorKind::WouldBlock => {
                        note(&attempt, None);
                        attempt.wait(self.inner.as_fd())?;
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(self.waits.closed_error_or(e)),
                },
            }
        }
    }

    /// Reads up to `len` bytes of a TCP stream. A shorter read has emptied the kernel's buffer, so
    /// the next read waits without trying, unless an edge came.
    ///
    /// Not for other descriptors: a datagram is read whole or cut, and a read of a Unix stream may
    /// stop at a message that carries descriptors.
    #[inline]
    pub(super) fn read_tcp(
        &self,
        len: usize,
        op: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let attempt = Attempt::begin(&self.waits, Side::Read, NEVER);
        self.try_until_done(attempt, len > 0, op, |attempt, got| {
            if got.is_some_and(|&n| n > 0 && n < len) {
                attempt.set_drained();
            }
        })
    }

    /// Reads up to `len` bytes, from a descriptor that is only read. Waits without trying if
    /// there is no data, or probably none: see `netpoll/level.rs`.
    #[inline]
    pub(super) fn read_pipe(
        &self,
        len: usize,
        op: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let attempt = Attempt::begin(&self.waits, Side::Read, NEVER);
        self.try_until_done(attempt, len > 0, op, |attempt, got| match got {
            None => attempt.note_empty_read(),
            Some(0) => {}
            Some(_) => attempt.note_read(),
        })
    }

    #[cfg(test)]
    pub(super) fn is_watched_by_level(&self) -> bool {
        self.waits.is_watched_by_level()
    }

    #[cfg(test)]
    pub(super) fn watch_by_level(&self) {
        self.waits.watch_by_level();
    }

    /// As [`Self::io`], for an operation that no event of the poller reports as possible: tries
    /// again after pauses. Blocks the goroutine.
    pub(super) fn io_by_pauses<T>(
        &self,
        side: Side,
        mut op: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        let limit_ns = limit_ns(self.waits.timeout(side));
        let mut attempt = Attempt::begin(&self.waits, side, limit_ns);
        let mut pause = FIRST_PAUSE;
        loop {
            attempt.check()?;
            match op(&self.inner) {
                Ok(done) => return Ok(done),
                Err(e) => match e.kind() {
                    io::ErrorKind::WouldBlock => {
                        let left_ns = limit_ns.saturating_sub(sched::now_ns());
                        time::sleep(pause.min(Duration::from_nanos(left_ns)));
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(self.waits.closed_error_or(e)),
                },
            }
        }
    }

    /// Waits for the end of a connect: the descriptor is writable then. Blocks the goroutine.
    pub(super) fn wait_connected(
        &self,
        limit_ns: u64,
        error: impl Fn(&S) -> io::Result<Option<io::Error>>,
        is_connected: impl Fn(&S) -> bool,
    ) -> io::Result<()> {
        self.io_until(Side::Write, limit_ns, |inner| match error(inner)? {
            Some(e) => Err(e),
            None if is_connected(inner) => Ok(()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    pub(super) fn readiness(&self, side: Side) -> Readiness<'_> {
        Readiness::new(&self.waits, self.inner.as_fd(), side)
    }

    pub(super) fn set_deadline(&self, side: Side, deadline: Option<Instant>) {
        self.waits.set_deadline(side, deadline.map_or(NEVER, ns_of));
    }

    pub(super) fn set_timeout(&self, side: Side, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|t| t.is_zero()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a time-out of zero would always have passed; use None for no time-out",
            ));
        }
        let ns = timeout.map_or(NEVER, |t| u64::try_from(t.as_nanos()).unwrap_or(NEVER));
        self.waits.set_timeout(side, ns);
        Ok(())
    }

    pub(super) fn timeout(&self, side: Side) -> Option<Duration> {
        self.waits.timeout(side)
    }

    pub(super) fn close(&self) -> io::Result<()> {
        static DEAD: OnceLock<OwnedFd> = OnceLock::new();
        self.waits.close(|| {
            let dead = match DEAD.get() {
                Some(dead) => dead,
                None => {
                    let made = fd::dead()?;
                    DEAD.get_or_init(|| made)
                }
            };
            fd::replace_by_dead(self.inner.as_fd(), dead.as_fd())
        })
    }
}

impl<S: AsFd> AsFd for Fd<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// The deadline of an operation that begins now and may take this long.
pub(super) fn limit_ns(timeout: Option<Duration>) -> u64 {
    timeout.map_or(NEVER, after_ns)
}
