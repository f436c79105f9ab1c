/// The most used stacks of one class in a P's cache: as many as a P of Go keeps dead goroutines.
pub(super) const HOT: usize = 64;
/// How many stacks move between a cache and the arena at once: half of a cache, so that it is
/// neither full nor empty afterwards.
pub(super) const SPILL: usize = 32;
/// The most stacks of one class in a cache, with those that were not used before.
pub(super) const CACHED: usize = HOT + SPILL;
/// The most slots that a trim takes off the arena's lists at a time. Other threads cannot take them
/// meanwhile, so the arena may open this many deep slots more.
pub(super) const IN_HAND: usize = 64;
