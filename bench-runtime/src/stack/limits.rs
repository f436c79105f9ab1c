/// The most stacks of one class in a P's cache that were used before: Go's figure for dead
/// goroutines.
pub(super) const HOT: usize = 64;
/// How many stacks move between a cache and the arena at once.
pub(super) const SPILL: usize = 32;
/// The most stacks of one class in a cache, with those that were not used before.
pub(super) const CACHED: usize = HOT + SPILL;
/// The most slots that a trim takes off the arena's lists at a time. The arena may open this many
/// deep slots more.
pub(super) const IN_HAND: usize = 64;
