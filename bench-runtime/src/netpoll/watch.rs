//! The state that a poller and its descriptors share.

use std::fmt;

use crate::shim::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::event_fd::EventFd;
use crate::sys::poller::Poller;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Side {
    Read,
    Write,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
        }
    }
}

/// Lives as long as a descriptor is watched, which may be longer than its runtime.
pub(crate) struct Watch {
    pub(super) poller: Poller,
    pub(super) wake: EventFd,
    /// True from a call of [`super::Netpoll::interrupt`] until the poll that it ends has seen it.
    pub(super) interrupted: AtomicBool,
    pub(super) waiting: AtomicUsize,
}

impl Watch {
    /// Called before the waiter registers.
    #[inline]
    pub(super) fn starts_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// The caller took `n` waiters out of their slots.
    #[inline]
    pub(super) fn stopped_waiting(&self, n: usize) {
        self.waiting.fetch_sub(n, Ordering::Relaxed);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("poller", &self.poller)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
