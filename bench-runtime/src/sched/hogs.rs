//! Hogs in a pinned runtime: goroutines that compute for long start on an M
//! of their own.
//!
//! A hog that has started cannot leave its M, nor can goroutines that share it; so
//! the decision is made at its start. A fresh goroutine starts on an M on which no
//! other goroutine has started, if it was spawned as CPU-bound, or if its spawn site
//! has credit: when sysmon retakes the P of a hog, the site gets [`CREDIT`], and each
//! such start uses up one. So a site that spawns hogs keeps its credit, and one that
//! spawned a single long computation soon has none.
//!
//! 1. A fresh goroutine that is about to get its stack is checked here; before the first
//!    hog that is one relaxed load.
//! 2. If it must start on an M of its own, its M switches to g0, and passes its address.
//! 3. On g0 [`super::pinned::start_apart`] gives it to a sleeping M without
//!    goroutines, or to a new one, with an idle P, or else the M's own.
//!
//! The first hog of a site, and a goroutine that becomes a hog after its start, still
//! delay the goroutines that share their M.
//!
//! # Rejected
//!
//! - *The first goroutine of each site on an M of its own*, until it has parked.
//!   Built and measured (`sched_figures`, three runs by turns with the above, one
//!   P): the worst delay beside hogs falls from 199 ms to 16–42 ms. A ping-pong
//!   with a partner that was its site's first takes 22–35 µs a round instead of
//!   0.12–0.15, permanently, because it stays on its other thread. Most sites
//!   make no hog, and most programs have partners.
//! - *Each fresh goroutine on the emptiest M*: the same for all of them.
//! - *Never trusting a site again*: a request that once took long would cost
//!   each later one a thread.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many goroutines of a site start on an M of their own after each hog: few if that
/// hog was an exception, enough for a batch of hogs. Chosen, not measured.
const CREDIT: u64 = 8;

/// Bits of an entry that hold the credit.
const CREDIT_MASK: u64 = 0xf;

/// Spawn sites that made hogs.
#[derive(Debug, Default)]
pub(crate) struct Hogs {
    /// A site has credit, or had, or a goroutine was spawned as CPU-bound.
    any: AtomicBool,
    /// The key of a site and its credit, at a place by its key; 0: none. A site displaces
    /// another one at its place: it has then no credit, until its next hog.
    sites: [AtomicU64; 16],
}

/// The key of a spawn site: by its content, because the compiler may have made
/// several copies of one location. Two sites may have the same key; then the
/// other one gets threads too.
fn key_of(site: &Location<'_>) -> u64 {
    // Once some site has credit the key is computed at each start, so it is
    // cheap: the end of the path distinguishes files as well as all of it.
    let end = site.file().as_bytes().last_chunk().copied();
    let place = u64::from(site.line()) << 32 | u64::from(site.column());
    // By an odd number whose bits are well spread: 2^64 divided by the golden ratio.
    (u64::from_ne_bytes(end.unwrap_or_default()) ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Hogs {
    /// True if any goroutine may have to start apart.
    #[inline(always)]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Notes that a goroutine of this site ran for long while work waited.
    pub(super) fn learn_from(&self, site: &Location<'_>) {
        self.learn(key_of(site));
    }

    /// Uses up some of the site's credit; false if it has none.
    pub(super) fn spend_of(&self, site: &Location<'_>) -> bool {
        self.spend(key_of(site))
    }

    /// Notes that there are goroutines that were spawned as CPU-bound.
    pub(crate) fn declare(&self) {
        self.any.store(true, Ordering::Relaxed);
    }

    fn place(&self, key: u64) -> &AtomicU64 {
        &self.sites[(key >> 60) as usize]
    }

    // Relaxed: an entry is one word, and only a hint.

    fn learn(&self, key: u64) {
        let entry = key & !CREDIT_MASK | CREDIT;
        self.place(key).store(entry, Ordering::Relaxed);
        self.declare();
    }

    fn spend(&self, key: u64) -> bool {
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
