//! What a pinned runtime has learned of spawn sites. A goroutine that has started cannot leave its
//! M, so what is known of its site decides on which M it starts. Each M that is about to start a
//! goroutine asks ([`super::pinned::starts_elsewhere`]), and gives it away on g0
//! ([`super::pinned::start_elsewhere`]).
//!
//! **Hogs** compute for long. When sysmon retakes the P of a hog, the hog's site gets a credit of
//! [`CREDIT`]. A fresh goroutine of the site uses up one, and starts on a sleeping M without
//! goroutines, or on a new M. So a site that spawned a single long computation soon has none. A
//! goroutine that was spawned as CPU-bound needs no credit.
//!
//! **Handlers** serve a connection. Goroutines that exchange messages are better off on one M,
//! because a message to another M costs five times as much. But a server's goroutines wait as soon as
//! they have started. So the M that accepts the connections would start all of them, and their
//! requests would share one CPU. So the site of a goroutine is learned when it waits for an accepted
//! connection for the first time. From then on a goroutine of the site starts on the sleeping M with
//! the fewest goroutines, if a P is idle and the M that picked it has two more. While there are fewer
//! Ms than Ps, it starts on a new M.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Few, because the hog may have been an exception, but enough for a batch of hogs. Chosen, not
/// measured.
const CREDIT: u64 = 8;

/// In place of a credit: goroutines of the site serve connections.
const HANDLERS: u64 = 0xf;

/// Bits of an entry that hold the credit.
const CREDIT_MASK: u64 = 0xf;

const PLACES: usize = 64;

#[derive(Debug)]
pub(crate) struct Sites {
    /// There is a site in the table, or a goroutine was spawned as CPU-bound.
    any: AtomicBool,
    /// A site's key and its credit, at the place of the key; 0: no site. A site displaces another
    /// one at its place, but a hog's site none of handlers. Relaxed: an entry is one word, and only a
    /// hint.
    table: [AtomicU64; PLACES],
}

/// Made of the location's content, not its address, because the compiler may copy a location. Two
/// sites with the same key share an entry.
pub(super) fn key_of(site: &Location<'_>) -> u64 {
    // Cheap: the end of the path distinguishes files as well as the whole path.
    let end = site.file().as_bytes().last_chunk().copied();
    let place = u64::from(site.line()) << 32 | u64::from(site.column());
    // 2^64 divided by the golden ratio: odd, with well spread bits.
    (u64::from_ne_bytes(end.unwrap_or_default()) ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn entry_of(key: u64, credit: u64) -> u64 {
    key & !CREDIT_MASK | credit
}

impl Default for Sites {
    fn default() -> Self {
        Self {
            any: AtomicBool::new(false),
            table: [const { AtomicU64::new(0) }; PLACES],
        }
    }
}

impl Sites {
    #[inline(always)]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) fn declare(&self) {
        self.any.store(true, Ordering::Relaxed);
    }

    fn place(&self, key: u64) -> &AtomicU64 {
        &self.table[(key >> (u64::BITS - PLACES.ilog2())) as usize]
    }

    /// A goroutine of the site with this key ran for long while work waited.
    pub(super) fn learn_hog(&self, key: u64) {
        let place = self.place(key);
        if place.load(Ordering::Relaxed) & CREDIT_MASK != HANDLERS {
            place.store(entry_of(key, CREDIT), Ordering::Relaxed);
            self.declare();
        }
    }

    /// Takes 1 from the site's credit; false if it has none.
    pub(super) fn spend(&self, key: u64) -> bool {
        let credits = entry_of(key, 1)..=entry_of(key, CREDIT);
        let spend = |entry| credits.contains(&entry).then(|| entry - 1);
        let place = self.place(key);
        place
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }

    /// A goroutine of the site with this key waits for an accepted connection. Each connection calls
    /// this, so a known site is not written again.
    pub(super) fn learn_handler(&self, key: u64) {
        if !self.has_handlers(key) {
            self.place(key)
                .store(entry_of(key, HANDLERS), Ordering::Relaxed);
            self.declare();
        }
    }

    pub(super) fn has_handlers(&self, key: u64) -> bool {
        self.place(key).load(Ordering::Relaxed) == entry_of(key, HANDLERS)
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    const SITE: u64 = 8 << 32;
    const SAME_PLACE: u64 = 9 << 32;
    const OTHER_PLACE: u64 = 9 << 60;

    #[test]
    fn site_that_made_a_hog_has_credit_until_it_is_spent() {
        let sites = Sites::default();
        assert!(!sites.any());
        assert!(!sites.spend(SITE));
        sites.learn_hog(SITE);
        assert!(sites.any());
        assert_eq!((0..).take_while(|_| sites.spend(SITE)).count(), 8);
        assert!(!sites.spend(SITE));
    }

    #[test]
    fn second_hog_renews_the_credit_of_its_site() {
        let sites = Sites::default();
        sites.learn_hog(SITE);
        assert!(sites.spend(SITE));
        sites.learn_hog(SITE);
        assert_eq!((0..).take_while(|_| sites.spend(SITE)).count(), 8);
    }

    #[test]
    fn site_displaces_another_one_at_its_place_and_has_an_entry_of_its_own() {
        let sites = Sites::default();
        sites.learn_hog(SITE);
        sites.learn_hog(OTHER_PLACE);
        assert!(!sites.spend(SAME_PLACE));
        assert!(sites.spend(SITE));
        sites.learn_hog(SAME_PLACE);
        assert!(!sites.spend(SITE));
        assert!(sites.spend(SAME_PLACE) && sites.spend(OTHER_PLACE));
        sites.learn_handler(SITE);
        assert!(sites.has_handlers(SITE) && !sites.spend(SAME_PLACE));
    }

    #[test]
    fn site_of_handlers_has_no_credit_and_stays_one_after_a_hog() {
        let sites = Sites::default();
        assert!(!sites.has_handlers(SITE));
        sites.learn_hog(SITE);
        sites.learn_handler(SITE);
        assert!(sites.any() && sites.has_handlers(SITE) && !sites.has_handlers(SAME_PLACE));
        sites.learn_hog(SITE);
        sites.learn_hog(SAME_PLACE);
        assert!(sites.has_handlers(SITE) && !sites.spend(SITE) && !sites.spend(SAME_PLACE));
    }
}
