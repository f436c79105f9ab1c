//! Which M waits in the runtime's netpoller, for descriptors and for the first timer: at most
//! one.
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

#[derive(Debug, Default)]
pub(crate) struct Poller {
    m: AtomicRef<Machine>,
    until_ns: AtomicU64,
    polled_ns: AtomicU64,
    /// Parkables that the M has found. Empty between uses; kept for its memory.
    pub(super) found: Lock<Vec<Parkable>>,
}

impl Poller {
    pub(super) fn is_taken(&self) -> bool {
        !self.m.is_none(Ordering::Acquire)
    }

    /// False if another M waits there.
    pub(super) fn claim(&self, m: &'static Machine) -> bool {
        let claimed = self.m.store_if_none(m, Ordering::AcqRel);
        if claimed {
            self.set_until_ns(u64::MAX);
        }
        claimed
    }

    pub(super) fn release(&self) {
        self.m.store(None, Ordering::SeqCst);
    }

    pub(super) fn set_until_ns(&self, ns: u64) {
        self.until_ns.store(ns, Ordering::SeqCst);
    }

    /// If the M waits for a later time, ends its wait.
    pub(super) fn interrupt_after(&self, when_ns: u64) {
        if self.until_ns.load(Ordering::Relaxed) > when_ns
            && let Some(m) = self.m.load(Ordering::SeqCst)
        {
            m.interrupt_polling();
        }
    }

    pub(super) fn note_poll(&self, now_ns: u64) {
        self.polled_ns.store(now_ns, Ordering::Relaxed);
    }

    pub(super) fn polled_ns(&self) -> u64 {
        self.polled_ns.load(Ordering::Relaxed)
    }
}
