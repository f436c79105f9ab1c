//! How many stacks are outside the arena's lists: in the Ps' caches, and in a trim.

/// Stacks in a P's cache: as many as Go keeps dead goroutines in a P.
pub(super) const HOT: usize = 64;
/// Moved at once between cache and arena: half, so that neither direction repeats soon.
pub(super) const SPILL: usize = 32;
/// The most that a cache holds of one class.
pub(super) const CACHED: usize = HOT + SPILL;
/// A trim takes this many slots off the lists at a time; no other thread can take
/// them meanwhile. The arena has as many deep slots more than its limit.
pub(super) const IN_HAND: usize = 64;
