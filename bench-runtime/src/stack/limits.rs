//! Numbers of stacks outside the arena's lists: in the caches of Ps, and in a trim.

/// The most stacks of one class in a P's cache that were used before. Go keeps as many dead
/// goroutines in a P.
pub(super) const HOT: usize = 64;
/// The number of stacks that move between a cache and the arena at once. It is half of a cache, so
/// a cache is neither full nor empty after a move.
pub(super) const SPILL: usize = 32;
/// The most stacks of one class in a cache, including those that were not used before.
pub(super) const CACHED: usize = HOT + SPILL;
/// A trim takes this many slots off the arena's lists at a time, and no other thread can take them
/// meanwhile. So the arena may open this many deep slots more.
pub(super) const IN_HAND: usize = 64;
