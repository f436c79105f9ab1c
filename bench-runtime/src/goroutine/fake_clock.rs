//! The clock of a test, which moves when all goroutines wait, and who waits for that.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Parkable;
use crate::util::lock::{Lock, LockGuard};

/// See the module.
#[derive(Debug)]
pub(crate) struct FakeClock {
    now_ns: AtomicU64,
    begin_ns: u64,
    rest: Lock<Rest>,
}

/// The goroutines that wait for all others to wait: one that called for that, and then the
/// main one at its end.
pub(crate) type Rest = [Option<Parkable>; 2];

impl FakeClock {
    /// Shows this time first, in nanoseconds.
    pub(crate) fn new(begin_ns: u64) -> Self {
        Self {
            now_ns: AtomicU64::new(begin_ns),
            begin_ns,
            rest: Lock::new([None; 2]),
        }
    }

    /// What it shows, in nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Acquire)
    }

    /// What it showed first.
    pub(crate) fn begin_ns(&self) -> u64 {
        self.begin_ns
    }

    /// Shows this time, unless it is past.
    pub(crate) fn advance_to(&self, ns: u64) {
        self.now_ns.fetch_max(ns, Ordering::AcqRel);
    }

    pub(crate) fn rest(&self) -> LockGuard<'_, Rest> {
        self.rest.lock()
    }
}
