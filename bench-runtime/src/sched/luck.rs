//! Whether a thread waits awake for what another is to send it: where that has
//! paid lately.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Looks at what is waited for between two looks at all else.
pub(super) const AWAKE_CHECK: u32 = if cfg!(rt_loom) { 1 } else { 32 };

/// A rest so short was hardly worth it: what it costs itself, and as much again.
pub(super) const SHORT_REST_NS: u64 = 100_000;

/// The most of it: so few rounds in vain end it.
const MOST: i32 = 4;

/// The most by which the bad one grows where it was tried again in vain.
const MOST_TIMES: i32 = 4;

/// How far waiting awake would have paid lately. Loaded and stored by the thread
/// that waits alone.
#[derive(Debug)]
pub(super) struct Luck {
    now: AtomicI32,
    /// What it is after the last round in vain, below 0: where trying is always in
    /// vain, as where both threads have one CPU, it gets rarer.
    bad: AtomicI32,
    first_bad: i32,
    /// The last thing that it did was to wait awake in vain.
    in_vain: AtomicBool,
}

impl Luck {
    /// After rounds in vain it would have to pay `after` times before it is tried
    /// again, or some times as many, which bounds what trying costs.
    pub(super) const fn bad_for(after: u16) -> Self {
        Self {
            now: AtomicI32::new(0),
            bad: AtomicI32::new(-(after as i32)),
            first_bad: -(after as i32),
            in_vain: AtomicBool::new(false),
        }
    }

    /// True if it is to be expected to pay.
    pub(super) fn is_good(&self) -> bool {
        self.now.load(Ordering::Relaxed) > 0
    }

    /// Notes a sleep, and whether it ended so soon that to wait awake would have
    /// paid. Not after it was tried: then it may have ended because of the sleep,
    /// which left the CPU to the other thread.
    pub(super) fn has_slept(&self, ended_soon: bool) {
        if self.in_vain.swap(false, Ordering::Relaxed) || !ended_soon {
            return;
        }
        let luck = self.now.load(Ordering::Relaxed);
        let luck = match luck < 0 {
            true => luck + 1,
            false => (luck + 2).min(MOST),
        };
        self.now.store(luck, Ordering::Relaxed);
    }

    /// Notes what came of waiting awake.
    pub(super) fn has_waited(&self, paid: bool) {
        let luck = self.now.load(Ordering::Relaxed);
        let bad = self.bad.load(Ordering::Relaxed);
        let (luck, bad) = match paid {
            true => ((luck + 2).min(MOST), self.first_bad),
            false if luck > 1 => (luck - 1, bad),
            false => (bad, (bad * 2).max(self.first_bad * MOST_TIMES)),
        };
        self.now.store(luck, Ordering::Relaxed);
        self.bad.store(bad, Ordering::Relaxed);
        self.in_vain.store(!paid, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    /// Waits in vain until luck ends; how many that took.
    fn lose(luck: &Luck) -> usize {
        let in_vain = (1..).find(|_| {
            luck.has_waited(false);
            // It ended as soon as the CPU was free.
            luck.has_slept(true);
            !luck.is_good()
        });
        in_vain.unwrap()
    }

    /// Sleeps that ended soon, until it is tried again; how many.
    fn recover(luck: &Luck) -> usize {
        let sleeps = (1..).find(|_| {
            luck.has_slept(true);
            luck.is_good()
        });
        sleeps.unwrap()
    }

    #[test]
    fn luck_that_ended_comes_back_after_many_waits_that_would_have_paid() {
        let luck = Luck::bad_for(16);
        assert!(!luck.is_good());
        luck.has_slept(true);
        assert!(luck.is_good());
        assert!(lose(&luck) <= MOST as usize);
        assert_eq!(recover(&luck), 17);
    }

    #[test]
    fn what_is_always_in_vain_is_tried_ever_more_rarely_until_it_pays() {
        let luck = Luck::bad_for(16);
        luck.has_slept(true);
        let mut sleeps = Vec::new();
        for _ in 0..8 {
            assert!(lose(&luck) <= MOST as usize);
            sleeps.push(recover(&luck));
        }
        assert_eq!(sleeps, [17, 33, 65, 65, 65, 65, 65, 65]);
        luck.has_waited(true);
        lose(&luck);
        assert_eq!(recover(&luck), 17);
    }
}
