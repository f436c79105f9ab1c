//! Whether a thread waits awake for what another is to send it: where that has
//! paid lately.

use std::sync::atomic::{AtomicI32, Ordering};

/// Looks at what is waited for between two looks at all else.
pub(super) const AWAKE_CHECK: u32 = 32;

/// A rest so short was hardly worth it: what it costs itself, and as much again.
pub(super) const SHORT_REST_NS: u64 = 100_000;

/// The most of it: so few rounds in vain end it.
const MOST: i32 = 4;

/// How far waiting awake would have paid lately. Loaded and stored by the thread
/// that waits alone.
#[derive(Debug)]
pub(super) struct Luck {
    now: AtomicI32,
    /// What it is after the last round in vain.
    bad: i32,
}

impl Luck {
    /// After rounds in vain it would have to pay `after` times before it is tried
    /// again, which bounds what trying costs.
    pub(super) const fn bad_for(after: u16) -> Self {
        Self {
            now: AtomicI32::new(0),
            bad: -(after as i32),
        }
    }

    /// True if it is to be expected to pay.
    pub(super) fn is_good(&self) -> bool {
        self.now.load(Ordering::Relaxed) > 0
    }

    /// Notes whether waiting awake paid, or would have.
    pub(super) fn learn(&self, pays: bool) {
        let luck = self.now.load(Ordering::Relaxed);
        let luck = match pays {
            true if luck < 0 => luck + 1,
            true => (luck + 2).min(MOST),
            false if luck > 1 => luck - 1,
            false => self.bad,
        };
        self.now.store(luck, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn luck_that_ended_comes_back_after_many_waits_that_would_have_paid() {
        let luck = Luck::bad_for(16);
        assert!(!luck.is_good());
        luck.learn(true);
        assert!(luck.is_good());
        let in_vain = (0..).take_while(|_| {
            luck.learn(false);
            luck.is_good()
        });
        assert!(in_vain.count() < MOST as usize);
        let paying = (0..).take_while(|_| {
            luck.learn(true);
            !luck.is_good()
        });
        assert_eq!(paying.count(), 16);
    }
}
