//! Which M waits in the runtime's netpoller, for descriptors and for the first timer: one
//! at a time.
//!
//! | `m`   | `until_ns`             | meaning                                        |
//! |-------|------------------------|------------------------------------------------|
//! | none  | –                      | no M waits there                               |
//! | an M  | `u64::MAX`             | it is about to search for the first timer      |
//! | an M  | the time of that timer | it waits                                       |
//! | an M  | 0                      | its wait is over                               |

use std::sync::atomic::{AtomicU64, Ordering};

use super::machine::Machine;
use crate::goroutine::Parkable;
use crate::util::atomic_ref::AtomicRef;
use crate::util::lock::Lock;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Poller {
    m: AtomicRef<Machine>,
    until_ns: AtomicU64,
    polled_ns: AtomicU64,
    /// The parkables that the M found, empty between uses; kept for its memory.
    pub(super) found: Lock<Vec<Parkable>>,
}

impl Poller {
    /// True if an M waits there.
    pub(super) fn is_taken(&self) -> bool {
        !self.m.is_none(Ordering::Acquire)
    }

    /// Makes `m` the M that waits there; false if another M does.
    pub(super) fn claim(&self, m: &'static Machine) -> bool {
        let claimed = self.m.store_if_none(m, Ordering::AcqRel);
        if claimed {
            self.wait_until(u64::MAX);
        }
        claimed
    }

    /// Undoes [`Self::claim`].
    pub(super) fn release(&self) {
        self.m.store(None, Ordering::SeqCst);
    }

    /// Sets until when the M waits, in nanoseconds.
    pub(super) fn wait_until(&self, ns: u64) {
        self.until_ns.store(ns, Ordering::SeqCst);
    }

    /// Ends the wait of the M if it waits for a later time than this, in nanoseconds.
    pub(super) fn interrupt_after(&self, when_ns: u64) {
        if self.until_ns.load(Ordering::Relaxed) > when_ns
            && let Some(m) = self.m.load(Ordering::SeqCst)
        {
            m.interrupt_polling();
        }
    }

    /// Notes that some thread polls.
    pub(super) fn note_poll(&self, now_ns: u64) {
        self.polled_ns.store(now_ns, Ordering::Relaxed);
    }

    /// When some thread polled last, in nanoseconds.
    pub(super) fn polled_ns(&self) -> u64 {
        self.polled_ns.load(Ordering::Relaxed)
    }
}
