/// How many used stacks of one class a P's cache holds at most: Go's figure for dead goroutines.
pub(super) const HOT: usize = 64;
/// How many stacks move between a cache and the arena at once.
pub(super) const SPILL: usize = 32;
/// How many stacks of one class, used and unused, a cache holds at most.
pub(super) const CACHED: usize = HOT + SPILL;
/// The most slots that a trim takes off the arena's lists at a time. The arena may open this many
/// deep slots more.
pub(super) const IN_HAND: usize = 64;
