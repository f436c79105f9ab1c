//! Hogs in a pinned runtime: goroutines that compute for long start on an M
//! of their own.
//!
//! A hog that has started cannot leave its M, and goroutines that share the M cannot leave it
//! either; so the decision is made at the start. A fresh goroutine starts on an M on which no
//! other goroutine has started, if it was spawned as CPU-bound, or if its spawn site
//! has credit. When sysmon retakes the P of a hog, the hog's site gets a credit of [`CREDIT`], and
//! each such start uses up one. So a site that spawns hogs keeps its credit, and a site that
//! spawned a single long computation soon has none.
//!
//! 1. A fresh goroutine that is about to get its stack is checked here. Before the first
//!    hog the check is one relaxed load.
//! 2. If it must start on an M of its own, this M switches to g0, and passes its address.
//! 3. On g0 [`super::pinned::start_apart`] gives it, with a P, to a sleeping M without goroutines,
//!    or to a new M. The P is an idle one, or else that of this M.
//!
//! The first hog of a site, and a goroutine that becomes a hog after its start, still
//! delay the goroutines that share their M.
//!
//! # Rejected
//!
//! - *The first goroutine of each site on an M of its own*, until it has parked.
//!   Built and measured (`sched_figures`, three interleaved runs, one
//!   P): the worst delay beside hogs falls from 199 ms to 16–42 ms. A ping-pong
//!   with a partner that was its site's first takes 22–35 µs a round instead of
//!   0.12–0.15, permanently, because the partner stays on its other thread. Most sites
//!   make no hog, and in most programs goroutines have partners.
//! - *Each fresh goroutine on the M with the fewest*: the same, for all of them.
//! - *Credit without an end*: after one request that took long, each later one of its site would
//!   cost a thread.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many goroutines of a site start on an M of their own after each hog: few, because the hog
/// may have been an exception, but enough for a batch of hogs. Chosen, not measured.
const CREDIT: u64 = 8;

/// Bits of an entry that hold the credit.
const CREDIT_MASK: u64 = 0xf;

/// Spawn sites that made hogs.
#[derive(Debug, Default)]
pub(crate) struct Hogs {
    /// There was a hog, or a goroutine was spawned as CPU-bound.
    any: AtomicBool,
    /// A site's key and its credit, at the place of the key; 0: no site. A site displaces another
    /// one at its place, which then has no credit until its next hog.
    sites: [AtomicU64; 16],
}

/// The key of a spawn site. It is made of the content, because the compiler may have made several
/// copies of one location. Two sites may have the same key, and then share their credit.
pub(super) fn key_of(site: &Location<'_>) -> u64 {
    // Computed at each start after the first hog, so it is cheap: the end of the path
    // distinguishes files as well as the whole path.
    let end = site.file().as_bytes().last_chunk().copied();
    let place = u64::from(site.line()) << 32 | u64::from(site.column());
    // Times an odd number whose bits are well spread: 2^64 divided by the golden ratio.
    (u64::from_ne_bytes(end.unwrap_or_default()) ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Hogs {
    /// True if any goroutine may have to start apart.
    #[inline(always)]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Notes that there are goroutines that were spawned as CPU-bound.
    pub(crate) fn declare(&self) {
        self.any.store(true, Ordering::Relaxed);
    }

    fn place(&self, key: u64) -> &AtomicU64 {
        &self.sites[(key >> 60) as usize]
    }

    // Relaxed: an entry is one word, and only a hint.

    /// Notes that a goroutine of the site with this key ran for long while work waited.
    pub(super) fn learn(&self, key: u64) {
        let entry = key & !CREDIT_MASK | CREDIT;
        self.place(key).store(entry, Ordering::Relaxed);
        self.declare();
    }

    /// Uses up some of the site's credit; false if it has none.
    pub(super) fn spend(&self, key: u64) -> bool {
        let spend = |entry| {
            let has_credit = entry & !CREDIT_MASK == key & !CREDIT_MASK && entry & CREDIT_MASK != 0;
            has_credit.then(|| entry - 1)
        };
        let place = self.place(key);
        place
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    const SITE: u64 = 8 << 32;

    #[test]
    fn site_that_made_a_hog_has_credit_until_it_is_spent() {
        let hogs = Hogs::default();
        assert!(!hogs.any());
        assert!(!hogs.spend(SITE));
        hogs.learn(SITE);
        assert!(hogs.any());
        assert_eq!((0..).take_while(|_| hogs.spend(SITE)).count(), 8);
        assert!(!hogs.spend(SITE));
    }

    #[test]
    fn hog_again_renews_the_credit_of_its_site() {
        let hogs = Hogs::default();
        hogs.learn(SITE);
        assert!(hogs.spend(SITE));
        hogs.learn(SITE);
        assert_eq!((0..).take_while(|_| hogs.spend(SITE)).count(), 8);
    }

    #[test]
    fn site_displaces_another_one_at_its_place_and_has_credit_of_its_own() {
        let hogs = Hogs::default();
        let (same_place, other_place) = (9 << 32, 9 << 60);
        hogs.learn(SITE);
        hogs.learn(other_place);
        assert!(!hogs.spend(same_place));
        assert!(hogs.spend(SITE));
        hogs.learn(same_place);
        assert!(!hogs.spend(SITE));
        assert!(hogs.spend(same_place) && hogs.spend(other_place));
    }
}
