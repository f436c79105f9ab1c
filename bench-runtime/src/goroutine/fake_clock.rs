//! The fake clock of a test, which advances when all goroutines wait.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Parkable;
use crate::util::lock::{Lock, LockGuard};

#[derive(Debug)]
pub(crate) struct FakeClock {
    now_ns: AtomicU64,
    begin_ns: u64,
    bubble_waiters: Lock<BubbleWaiters>,
}

/// The goroutine in `synctest::wait`, and the main goroutine at its end. They wait until all other
/// goroutines wait.
pub(crate) type BubbleWaiters = [Option<Parkable>; 2];

impl FakeClock {
    pub(crate) fn new(begin_ns: u64) -> Self {
        Self {
            now_ns: AtomicU64::new(begin_ns),
            begin_ns,
            bubble_waiters: Lock::new([None; 2]),
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Acquire)
    }

    pub(crate) fn begin_ns(&self) -> u64 {
        self.begin_ns
    }

    /// Does nothing if the clock shows a later time.
    pub(crate) fn advance_to(&self, ns: u64) {
        self.now_ns.fetch_max(ns, Ordering::AcqRel);
    }

    pub(crate) fn bubble_waiters(&self) -> LockGuard<'_, BubbleWaiters> {
        self.bubble_waiters.lock()
    }
}
