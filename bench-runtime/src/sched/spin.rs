//! Whether a thread spins before it sleeps, by how its last waits went.
//!
//! | what happened                                      | `credit`               |
//! |----------------------------------------------------|------------------------|
//! | a sleep was short, so that spinning would have hit | up, to [`CREDIT_MAX`]  |
//! | spinning hit: what it waited for came              | up, to [`CREDIT_MAX`]  |
//! | spinning missed, with credit left                  | down by one            |
//! | spinning missed with the last credit               | down to the backoff, which doubles |
//!
//! The thread spins while `credit` is above 0.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Loads of what a spinning thread waits for, between two looks at the clock.
pub(super) const SPIN_CHECK: u32 = if cfg!(rt_loom) { 1 } else { 32 };

/// A sleep shorter than this, in nanoseconds, should have been a spin: twice what
/// the sleep and the wake cost.
pub(super) const SHORT_SLEEP_NS: u64 = 100_000;

/// The most credit: so many misses end the spinning.
const CREDIT_MAX: i32 = 4;

/// The longest backoff, in multiples of the first.
const BACKOFF_TIMES: i32 = 4;

/// The state of one thread. Only that thread loads and stores it.
#[derive(Debug)]
pub(super) struct AdaptiveSpin {
    credit: AtomicI32,
    /// `credit` after the next miss, below 0. It doubles with each miss, so that
    /// spinning gets rare where it always misses, as where both threads have one CPU.
    backoff: AtomicI32,
    first_backoff: i32,
    /// The last wait was a spin that missed.
    missed: AtomicBool,
}

impl AdaptiveSpin {
    /// After misses, `sleeps` short sleeps or a multiple of that must pass before
    /// the thread spins again: the bound on what the misses cost.
    pub(super) const fn with_backoff(sleeps: u16) -> Self {
        Self {
            credit: AtomicI32::new(0),
            backoff: AtomicI32::new(-(sleeps as i32)),
            first_backoff: -(sleeps as i32),
            missed: AtomicBool::new(false),
        }
    }

    /// True if the thread is to spin before it sleeps.
    pub(super) fn should_spin(&self) -> bool {
        self.credit.load(Ordering::Relaxed) > 0
    }

    /// Notes a sleep, and whether it was so short that spinning would have hit.
    /// Does not count a sleep after a miss: the sleep itself may have ended the
    /// wait, because it left the CPU to the other thread.
    pub(super) fn note_sleep(&self, short: bool) {
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

    /// Notes a spin, and whether it hit.
    pub(super) fn note_spin(&self, hit: bool) {
        let credit = self.credit.load(Ordering::Relaxed);
        let backoff = self.backoff.load(Ordering::Relaxed);
        let (credit, backoff) = match hit {
            true => ((credit + 2).min(CREDIT_MAX), self.first_backoff),
            false if credit > 1 => (credit - 1, backoff),
            false => (
                backoff,
                (backoff * 2).max(self.first_backoff * BACKOFF_TIMES),
            ),
        };
        self.credit.store(credit, Ordering::Relaxed);
        self.backoff.store(backoff, Ordering::Relaxed);
        self.missed.store(!hit, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    /// Spins that miss, until the thread spins no more; how many.
    fn miss(spin: &AdaptiveSpin) -> usize {
        let misses = (1..).find(|_| {
            spin.note_spin(false);
            // It ended as soon as the CPU was free.
            spin.note_sleep(true);
            !spin.should_spin()
        });
        misses.unwrap()
    }

    /// Short sleeps, until the thread spins again; how many.
    fn recover(spin: &AdaptiveSpin) -> usize {
        let sleeps = (1..).find(|_| {
            spin.note_sleep(true);
            spin.should_spin()
        });
        sleeps.unwrap()
    }

    #[test]
    fn spinning_that_missed_begins_again_after_as_many_short_sleeps_as_the_backoff() {
        let spin = AdaptiveSpin::with_backoff(16);
        assert!(!spin.should_spin());
        spin.note_sleep(true);
        assert!(spin.should_spin());
        assert!(miss(&spin) <= CREDIT_MAX as usize);
        assert_eq!(recover(&spin), 17);
    }

    #[test]
    fn backoff_doubles_with_each_miss_and_ends_with_a_hit() {
        let spin = AdaptiveSpin::with_backoff(16);
        spin.note_sleep(true);
        let mut sleeps = Vec::new();
        for _ in 0..8 {
            assert!(miss(&spin) <= CREDIT_MAX as usize);
            sleeps.push(recover(&spin));
        }
        assert_eq!(sleeps, [17, 33, 65, 65, 65, 65, 65, 65]);
        spin.note_spin(true);
        miss(&spin);
        assert_eq!(recover(&spin), 17);
    }
}
