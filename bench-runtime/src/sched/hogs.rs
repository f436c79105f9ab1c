//! Hogs in a pinned runtime: goroutines that compute for long start on an M of their own, because
//! a goroutine that has started cannot leave its M.
//!
//! A fresh goroutine starts on an M of its own if it was spawned as CPU-bound, or if its spawn
//! site has credit. When sysmon retakes the P of a hog, the hog's site gets a credit of
//! [`CREDIT`], and each such start uses up one. So a site that spawned a single long computation
//! soon has none.
//!
//! The M that picked the goroutine switches to g0. There [`super::pinned::start_elsewhere`]
//! gives the goroutine to a sleeping M without goroutines, or to a new M. Credit does not count for
//! a goroutine of a site that [`super::spread`] knows.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Few, because the hog may have been an exception, but enough for a batch of hogs. Chosen, not
/// measured.
const CREDIT: u64 = 8;

/// Bits of an entry that hold the credit.
const CREDIT_MASK: u64 = 0xf;

#[derive(Debug, Default)]
pub(crate) struct Hogs {
    /// There was a hog, a goroutine was spawned as CPU-bound, or [`super::spread`] has a site.
    any: AtomicBool,
    /// A site's key and its credit, at the place of the key; 0: no site. A site displaces another
    /// one at its place.
    sites: [AtomicU64; 16],
}

/// Made of the location's content, not its address, because the compiler may copy a location. Two
/// sites with the same key share their credit.
pub(super) fn key_of(site: &Location<'_>) -> u64 {
    // Cheap: the end of the path distinguishes files as well as the whole path.
    let end = site.file().as_bytes().last_chunk().copied();
    let place = u64::from(site.line()) << 32 | u64::from(site.column());
    // 2^64 divided by the golden ratio: odd, with well spread bits.
    (u64::from_ne_bytes(end.unwrap_or_default()) ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Hogs {
    #[inline(always)]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) fn declare(&self) {
        self.any.store(true, Ordering::Relaxed);
    }

    fn place(&self, key: u64) -> &AtomicU64 {
        &self.sites[(key >> 60) as usize]
    }

    // Relaxed: an entry is one word, and only a hint.

    /// A goroutine of the site with this key ran for long while work waited.
    pub(super) fn learn(&self, key: u64) {
        let entry = key & !CREDIT_MASK | CREDIT;
        self.place(key).store(entry, Ordering::Relaxed);
        self.declare();
    }

    /// Takes 1 from the site's credit; false if it has none.
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
    fn second_hog_renews_the_credit_of_its_site() {
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
