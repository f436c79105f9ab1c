//! Decides from the last waits of a thread whether it spins before it sleeps.
//!
//! | what happened                                      | `credit`               |
//! |----------------------------------------------------|------------------------|
//! | a sleep was short, so that spinning would have hit | up, to [`CREDIT_MAX`]  |
//! | spinning hit: what it waited for came              | up, to [`CREDIT_MAX`]  |
//! | spinning missed, with credit left                  | down by one            |
//! | spinning missed with the last credit               | down to −[`BACKOFF`]   |
//!
//! The thread spins while `credit` is above 0.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Loads of the awaited value between two readings of the clock. Chosen, not measured.
pub(crate) const SPIN_CHECK: u32 = if cfg!(rt_loom) { 1 } else { 32 };

/// The most time for which a thread spins, in nanoseconds: about the cost of a sleep and a wake. A
/// round trip between two Ms with them took 24 µs on a virtual machine, and a blocking call 40 µs.
/// A sleep of less than twice this time counts as short.
pub(crate) const SLEEP_COST_NS: u64 = 50_000;

/// The most credit: this many misses end the spinning. Chosen, not measured.
const CREDIT_MAX: i32 = 4;

/// After misses, one more than this many short sleeps must pass before the thread spins again: a
/// miss costs a few times as much as the wake that a hit saves. Chosen, not measured.
const BACKOFF: i32 = 64;

/// Only one thread loads and stores it.
#[derive(Debug, Default)]
pub(crate) struct AdaptiveSpin {
    credit: AtomicI32,
    missed: AtomicBool,
}

impl AdaptiveSpin {
    pub(crate) fn should_spin(&self) -> bool {
        self.credit.load(Ordering::Relaxed) > 0
    }

    /// A sleep after a miss does not count: it may have been short because it left the CPU to the
    /// other thread.
    pub(crate) fn note_sleep(&self, slept_ns: u64) {
        let short = slept_ns < 2 * SLEEP_COST_NS;
        if self.missed.swap(false, Ordering::Relaxed) || !short {
            return;
        }
        let credit = self.credit.load(Ordering::Relaxed);
        let credit = match credit < 0 {
            true => credit + 1,
            false => (credit + 2).min(CREDIT_MAX),
        };
        self.credit.store(credit, Ordering::Relaxed);
    }

    pub(crate) fn note_spin(&self, hit: bool) {
        let credit = self.credit.load(Ordering::Relaxed);
        let credit = match hit {
            true => (credit + 2).min(CREDIT_MAX),
            false if credit > 1 => credit - 1,
            false => -BACKOFF,
        };
        self.credit.store(credit, Ordering::Relaxed);
        self.missed.store(!hit, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    /// Returns the number of misses until the thread stops spinning.
    fn miss(spin: &AdaptiveSpin) -> usize {
        let misses = (1..).find(|_| {
            spin.note_spin(false);
            // The sleep ended as soon as the CPU was free.
            spin.note_sleep(0);
            !spin.should_spin()
        });
        misses.unwrap()
    }

    /// Returns the number of short sleeps until the thread spins again.
    fn recover(spin: &AdaptiveSpin) -> usize {
        let sleeps = (1..).find(|_| {
            spin.note_sleep(0);
            spin.should_spin()
        });
        sleeps.unwrap()
    }

    #[test]
    fn spinning_that_missed_begins_again_after_more_short_sleeps_than_the_backoff() {
        let spin = AdaptiveSpin::default();
        assert!(!spin.should_spin());
        spin.note_sleep(0);
        for _ in 0..3 {
            assert!(spin.should_spin());
            assert!(miss(&spin) <= CREDIT_MAX as usize);
            assert_eq!(recover(&spin), BACKOFF as usize + 1);
        }
        spin.note_spin(true);
        assert!(spin.should_spin());
    }
}
