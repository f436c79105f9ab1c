//! How many stacks are outside the arena's lists: in the Ps' caches, and in hand.

/// As many as Go keeps goroutines a P.
pub(super) const HOT: usize = 64;
/// Half of it, so that neither direction repeats at once.
pub(super) const SPILL: usize = 32;
/// The most that a cache holds of one class.
pub(super) const CACHED: usize = HOT + SPILL;
/// Of the slots in the lists a trim takes this many off at a time: no other thread can take
/// them meanwhile. The arena has as many deep slots more than it promises.
pub(super) const IN_HAND: usize = 64;
