//! Spawn sites of goroutines that serve connections, in a pinned runtime.
//!
//! A goroutine that has started cannot leave its M. Goroutines that exchange messages are better off
//! on one M, because a message to another M costs ten times as much. But a server's goroutines wait
//! as soon as they have started. So the M that accepts the connections would start all of them, and
//! their requests would share one CPU.
//!
//! So the site of a goroutine is learned when it waits for an accepted connection for the first time.
//! From then on a goroutine of the site starts on the sleeping M with the fewest goroutines, if a P
//! is idle and the M that picked it has two more ([`super::pinned::start_elsewhere`]). While there
//! are fewer Ms than Ps, it starts on a new M.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// The key of a site ([`super::hogs::key_of`]) at the place of the key; 0: none. A site displaces
    /// another one at its place.
    sites: [AtomicU64; 16],
}

impl Spread {
    fn place(&self, key: u64) -> &AtomicU64 {
        &self.sites[(key >> 60) as usize]
    }

    // Relaxed: an entry is one word, and only a hint.

    /// False if it was known. Each connection calls this, so a known site is not written again.
    pub(super) fn learn(&self, key: u64) -> bool {
        let is_new = !self.knows(key);
        if is_new {
            self.place(key).store(key, Ordering::Relaxed);
        }
        is_new
    }

    pub(super) fn knows(&self, key: u64) -> bool {
        self.place(key).load(Ordering::Relaxed) == key
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn site_is_known_until_another_one_displaces_it() {
        let spread = Spread::default();
        let (one, same_place, other_place) = (8 << 32, 9 << 32, 9 << 60);
        assert!(!spread.knows(one));
        assert!(spread.learn(one) && !spread.learn(one));
        assert!(spread.learn(other_place));
        assert!(spread.knows(one) && spread.knows(other_place) && !spread.knows(same_place));
        assert!(spread.learn(same_place));
        assert!(!spread.knows(one));
    }
}
