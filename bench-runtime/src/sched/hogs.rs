//! Hogs in a pinned runtime: goroutines that compute for long start on an M
//! of their own.
//!
//! A hog that has started cannot leave its M, nor can those that share it; so
//! the decision is made at its start. A fresh goroutine starts on an M on which no
//! other goroutine has started, if it was spawned as CPU-bound, or if its spawn site
//! has credit: when sysmon retakes the P of a hog, the site gets [`CREDIT`], and each
//! such start uses up one. So a site that spawns hogs keeps its credit, and one that
//! spawned a single long computation soon has none.
//!
//! 1. [`super::own_machine::needs_own_machine`] is asked for a fresh goroutine that is about to
//!    get its stack; before the first hog that is one relaxed load.
//! 2. If so, it is set aside in its M, which switches to g0.
//! 3. On g0 [`super::own_machine::start_on_own_machine`] gives it to a sleeping M without
//!    goroutines, or to a new one, with an idle P, or else the M's own.
//!
//! The first hog of a site, and a goroutine that becomes a hog after its start, still
//! delay the goroutines that share their M.
//!
//! # Rejected
//!
//! - *The first goroutine of each site on an M of its own*, until it has parked.
//!   Built and measured (`sched_figures`, three runs by turns with the above, one
//!   P): the worst delay beside hogs falls from 199 ms to 16–42 ms, and a
//!   ping-pong with a partner that was its site's first takes 22–35 µs a round
//!   instead of 0.12–0.15, for good, since it stays on its other thread. Most
//!   sites make no hog, and most programs have partners.
//! - *Each fresh goroutine on the emptiest M*: the same for all of them.
//! - *Never trusting a site again*: a request that once took long would cost
//!   each later one a thread.

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::util::lock::Lock;

/// How many goroutines of a site start on an M of their own after each hog: few if that
/// hog was an exception, enough for a batch of hogs.
const CREDIT: u32 = 8;

/// Sites that are remembered, those with the least credit forgotten first.
const SITES: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Site {
    key: u64,
    credit: u32,
}

/// Spawn sites that made hogs.
#[derive(Debug, Default)]
pub(crate) struct Hogs {
    /// A bit for each site with credit, by a hash of it; and [`DECLARED`].
    marks: AtomicU64,
    sites: Lock<Vec<Site>>,
}

/// What stands for a spawn site: by its content, as the compiler may have made
/// several copies of one location. Two sites may have the same, which costs
/// the other one its threads, no more.
fn key_of(site: &Location<'_>) -> u64 {
    // Once some site has credit it is asked for at each start, so it is no more
    // than this: the end of the path distinguishes files as well as all of it.
    let end = site.file().as_bytes().last_chunk().copied();
    let place = u64::from(site.line()) << 32 | u64::from(site.column());
    let mixed = (u64::from_ne_bytes(end.unwrap_or_default()) ^ place).wrapping_mul(MIX);
    mixed ^ (mixed >> 32)
}

/// An odd number whose bits are well spread: 2^64 by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

fn mark_of(key: u64) -> u64 {
    // Not 63: that bit is `DECLARED`.
    1 << (key % 63)
}

/// In the marks: some goroutine was spawned as CPU-bound.
const DECLARED: u64 = 1 << 63;

impl Hogs {
    /// True if any goroutine may have to start apart: a site has credit, or one was
    /// spawned as CPU-bound.
    #[inline(always)]
    pub(super) fn any(&self) -> bool {
        self.marks.load(Ordering::Relaxed) != 0
    }

    /// Notes that a goroutine of this site ran for long while work waited.
    pub(super) fn learn_from(&self, site: &Location<'_>) {
        self.learn(key_of(site));
    }

    /// Uses up some of the site's credit; false if it has none.
    pub(super) fn spend_of(&self, site: &Location<'_>) -> bool {
        let key = key_of(site);
        self.marks.load(Ordering::Relaxed) & mark_of(key) != 0 && self.spend(key)
    }

    fn learn(&self, key: u64) {
        let mut sites = self.sites.lock();
        if let Some(site) = sites.iter_mut().find(|site| site.key == key) {
            site.credit = CREDIT;
        } else {
            if sites.len() == SITES
                && let Some(least) = (0..SITES).min_by_key(|&at| sites[at].credit)
            {
                sites.swap_remove(least);
            }
            let credit = CREDIT;
            sites.push(Site { key, credit });
        }
        self.publish(&sites);
    }

    /// Uses up some of a site's credit; false if it has none.
    #[cold]
    fn spend(&self, key: u64) -> bool {
        let mut sites = self.sites.lock();
        let Some(at) = sites.iter().position(|site| site.key == key) else {
            return false;
        };
        sites[at].credit -= 1;
        if sites[at].credit == 0 {
            sites.swap_remove(at);
            self.publish(&sites);
        }
        true
    }

    fn publish(&self, sites: &[Site]) {
        let marks = sites.iter().fold(0, |all, site| all | mark_of(site.key));
        // Relaxed: a guess to decide by; the list is behind its lock.
        // `DECLARED` may be set meanwhile, and stays.
        self.marks.fetch_and(marks | DECLARED, Ordering::Relaxed);
        self.marks.fetch_or(marks, Ordering::Relaxed);
    }

    /// Notes that there are goroutines that were spawned as CPU-bound.
    pub(super) fn declare(&self) {
        if self.marks.load(Ordering::Relaxed) & DECLARED == 0 {
            self.marks.fetch_or(DECLARED, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn site_that_made_a_hog_has_credit_until_it_is_spent() {
        let hogs = Hogs::default();
        assert!(!hogs.spend(8));
        hogs.learn(8);
        for _ in 0..CREDIT {
            assert_ne!(hogs.marks.load(Ordering::Relaxed) & mark_of(8), 0);
            assert!(hogs.spend(8));
        }
        assert!(!hogs.spend(8));
        assert_eq!(hogs.marks.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn hog_again_renews_the_credit_of_its_site() {
        let hogs = Hogs::default();
        hogs.learn(8);
        assert!(hogs.spend(8));
        hogs.learn(8);
        assert_eq!((0..).take_while(|_| hogs.spend(8)).count(), CREDIT as usize);
    }

    #[test]
    fn site_with_the_least_credit_is_forgotten_first() {
        let hogs = Hogs::default();
        for key in 1..=SITES as u64 {
            hogs.learn(key);
        }
        assert!(hogs.spend(3));
        hogs.learn(SITES as u64 + 1);
        assert!(!hogs.spend(3));
        assert!(hogs.spend(1) && hogs.spend(SITES as u64 + 1));
    }
}
