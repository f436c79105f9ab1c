//! Numbers of stacks outside the arena's lists: in the caches of Ps, and in a trim.

/// Stacks in a P's cache. Go keeps as many dead goroutines in a P.
pub(super) const HOT: usize = 64;
/// Stacks that move between cache and arena at once: half of a cache, so that neither the next move
/// out nor the next move in is soon.
pub(super) const SPILL: usize = 32;
/// The most stacks of one class in a cache.
pub(super) const CACHED: usize = HOT + SPILL;
/// A trim takes this many slots off the lists at a time, and no other thread can take them
/// meanwhile. So the arena may open this many deep slots more.
pub(super) const IN_HAND: usize = 64;
