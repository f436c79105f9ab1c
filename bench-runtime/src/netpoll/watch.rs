//! The state that a poller and its descriptors share.

use std::fmt;

use crate::shim::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::event_fd::EventFd;
use crate::sys::poller::Poller;

/// A direction of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Side {
    Read,
    Write,
}

/// See the module. It lives as long as a descriptor is watched, which may be longer than its
/// runtime exists.
pub(crate) struct Watch {
    pub(super) poller: Poller,
    pub(super) wake: EventFd,
    /// Set from [`super::Netpoll::interrupt`] until the poll that it ended.
    pub(super) interrupted: AtomicBool,
    /// Goroutines that wait for a descriptor.
    pub(super) waiting: AtomicUsize,
}

impl Watch {
    /// Counts a waiter. Called before it registers.
    #[inline]
    pub(super) fn starts_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Called by a thread that took `n` waiters out of their slots.
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
