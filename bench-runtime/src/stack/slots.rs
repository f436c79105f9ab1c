//! The state of each slot: a word outside the slot, so that reading it touches no stack.
//!
//! | state        | header       | pages                    | next state                          |
//! |--------------|--------------|--------------------------|-------------------------------------|
//! | `FREE`       | not written  | none, or zeros           | taken: `LIVE`                       |
//! | `LIVE`       | initialised  | added when touched       | compactor: `MOVING`; trimmer: `FREE`|
//! | `MOVING`     | not accessed | protected, being copied  | by the same thread: `COMPACTED`, or `LIVE` |
//! | `COMPACTED`  | in the cell  | guard markers, or the chunk is sealed | restorer: `RESTORING`; to seal its chunk: `MOVING` |
//! | `RESTORING`  | not accessed | being put back           | by the same thread: `LIVE`          |

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::cells::{Cell, UNIT};
use super::class::ALL_REGIONS;
use super::class::Class;
use super::header::Geometry;
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, Access, PAGE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Free,
    Live,
    Moving,
    Compacted,
    Restoring,
}

/// A slot's word: 3 bits for the state, 6 for the class. The other bits depend on the state:
/// - live: 32 bits for the time at which the sweep first saw its goroutine parked, in milliseconds,
///   zero if it did not; and a bit that is set if nothing is left to trim;
/// - with a cell: 44 bits for its address and 11 for the number of live bytes, in units of 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

const STATE: u64 = 0x7;
const CLASS_AT: u32 = 3;
const DATA_AT: u32 = 9;
const TRIMMED: u64 = 1 << 57;
const CELL_BITS: u32 = 44;
const BYTES_AT: u32 = DATA_AT + CELL_BITS;

impl Word {
    pub(super) fn plain(state: State, class: Class) -> Self {
        Self(state as u64 | (class.index() as u64) << CLASS_AT)
    }

    pub(super) fn live(class: Class, since_ms: u32, trimmed: bool) -> Self {
        let since = u64::from(since_ms) << DATA_AT;
        let trimmed = if trimmed { TRIMMED } else { 0 };
        Self(Self::plain(State::Live, class).0 | since | trimmed)
    }

    pub(super) fn compacted(class: Class, cell: Cell, bytes: usize) -> Self {
        let cell = cell.0.as_ptr() as u64 / UNIT as u64;
        let bytes = (bytes / UNIT) as u64;
        Self(Self::plain(State::Compacted, class).0 | cell << DATA_AT | bytes << BYTES_AT)
    }

    pub(super) fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Free,
            1 => State::Live,
            2 => State::Moving,
            3 => State::Compacted,
            _ => State::Restoring,
        }
    }

    /// The other bits of the word must mean the same in both states.
    pub(super) fn with_state(self, state: State) -> Self {
        Self(self.0 & !STATE | state as u64)
    }

    pub(super) fn class(self) -> Class {
        Class::from_index((self.0 >> CLASS_AT) as usize & 0x3f)
    }

    /// For a live slot: when its goroutine was first seen parked; 0 if it was not.
    pub(super) fn since_ms(self) -> u32 {
        (self.0 >> DATA_AT) as u32
    }

    pub(super) fn trimmed(self) -> bool {
        self.0 & TRIMMED != 0
    }

    /// For a slot that has a cell: the cell and the bytes in it.
    pub(super) fn cell(self) -> Option<(Cell, usize)> {
        let cell = (self.0 >> DATA_AT & ((1 << CELL_BITS) - 1)) as usize * UNIT;
        let bytes = (self.0 >> BYTES_AT) as usize * UNIT;
        Some((Cell(NonNull::new(cell as *mut u8)?), bytes))
    }
}

/// The words of all slots, in memory that is committed as it is used.
#[derive(Debug)]
pub(super) struct SlotTable {
    words: NonNull<AtomicU64>,
    first: [usize; ALL_REGIONS],
}

// SAFETY: the words are atomics in memory that is never unmapped.
unsafe impl Send for SlotTable {}
// SAFETY: as above.
unsafe impl Sync for SlotTable {}

impl SlotTable {
    pub(super) fn new(geometry: &Geometry) -> io::Result<Self> {
        let mut count = 0;
        let first = std::array::from_fn(|region| {
            let first = count;
            count += geometry.slots(region);
            first
        });
        let bytes = (count * size_of::<AtomicU64>()).next_multiple_of(PAGE);
        let start = map::reserve(bytes, PAGE)?;
        let range = PageRange { start, bytes };
        // SAFETY: the mapping is ours and new. A kernel without huge pages refuses the advice,
        // which does no harm.
        unsafe {
            let _ = madvise::advise(range, Advice::NoHugePage);
            map::protect(start, bytes, Access::ReadWrite)?;
        }
        match NonNull::new(start as *mut AtomicU64) {
            Some(words) => Ok(Self { words, first }),
            None => unreachable!("the kernel maps nothing at null"),
        }
    }

    #[inline]
    pub(super) fn word(&self, region: usize, number: usize) -> &AtomicU64 {
        // SAFETY: the table has a word for each slot of the geometry, and zeros are a valid word.
        unsafe { self.words.add(self.first[region] + number).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::class::REGIONS;
    use super::*;
    use crate::stack::StackPolicy;

    #[test]
    fn word_returns_its_parts() {
        let class = Class::for_policy(StackPolicy::Fixed(20 << 10)).unwrap();
        let live = Word::live(class, u32::MAX, true);
        assert_eq!((live.state(), live.class()), (State::Live, class));
        assert_eq!((live.since_ms(), live.trimmed()), (u32::MAX, true));
        assert!(!Word::live(class, u32::MAX, false).trimmed());
        let cell = Cell(NonNull::new(0x7fff_ffff_fff0 as *mut u8).unwrap());
        let word = Word::compacted(class, cell, 32_752);
        assert_eq!((word.state(), word.class()), (State::Compacted, class));
        assert_eq!(word.cell(), Some((cell, 32_752)));
    }

    #[test]
    fn table_has_a_word_of_its_own_for_every_slot() {
        let geometry = Geometry {
            sparse: 1 << 30,
            base: 1 << 40,
            size: REGIONS << 31,
            region_shift: 31,
        };
        let table = SlotTable::new(&geometry).unwrap();
        let mut addresses = std::collections::HashSet::new();
        for region in 0..ALL_REGIONS {
            for number in [0, geometry.slots(region) - 1] {
                let word = table.word(region, number);
                addresses.insert(std::ptr::from_ref(word) as usize);
                assert_eq!(word.load(std::sync::atomic::Ordering::Relaxed), 0);
            }
        }
        assert_eq!(addresses.len(), 2 * ALL_REGIONS);
    }
}
