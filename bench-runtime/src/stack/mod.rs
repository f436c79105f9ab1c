//! Stacks of goroutines: slots in one reservation of address space.
//!
//! A slot has a power of two of address space, so that any address in it
//! leads to its header by arithmetic alone ([`header_of`]); no thread-local is
//! involved, because a goroutine that has moved to another thread may still
//! hold the old thread's.
//!
//! ```text
//! +--------------+ <- slot base + slot size ("the top")
//! | colour       |    0 to 31 cache lines, by the slot's number: the headers
//! |              |    and first frames of neighbours lie in different cache
//! |              |    sets
//! +--------------+
//! | StackHeader  |    the goroutine; the accounting
//! +--------------+ <- Stack::top, the initial stack pointer
//! | the stack    |    committed page by page as it is touched
//! | ...          |
//! +--------------+ <- Stack::limit, whole pages below the top
//! | guard        |    a touch is a SIGSEGV, and the report in `overflow`
//! +--------------+
//! | unused       |    only where the limit is smaller than the slot
//! +--------------+ <- slot base
//! ```
//!
//! # Few are deep, many are shallow
//!
//! Each region holds slots of one size. The default ([`StackPolicy::Auto`]) uses two of them: the
//! first ten thousand stacks of a process are deep slots of 14.25 MiB, one in each 16 MiB of the
//! sparse region; a goroutine that starts when all of these are in use gets one of 256 KiB. A
//! deep slot fills its group except for the end, where the next slot's guard is:
//!
//! ```text
//! | group                                               | group
//! | deep slot, 14.25 MiB           top | unused | guard | deep slot ...
//! ```
//!
//! Each deep slot costs a page of page table, while eight shallow ones share one:
//! 3.6 KiB a goroutine up to ten thousand, 37 bytes on average at a million.
//!
//! Designs tried: ten thousand stacks, each used at its top, Linux 6.18, 2 CPUs,
//! CPU time in the middle of three runs, guards one by one:
//!
//! | design                                     | page tables | mappings | to open | first touch |
//! |--------------------------------------------|-------------|----------|---------|-------------|
//! | guard of 64 KiB below, in the slot itself  | 8,255 B     | 1        | 1.8 µs  | 2.0 µs      |
//! | **the same, beside the next lower top**    | 4,160 B     | 1        | 1.7 µs  | 1.4 µs      |
//! | the same, 256 KiB                          | 4,160 B     | 1        | 2.9 µs  | 1.4 µs      |
//! | a protected range as guard                 | 4,160 B     | 20,000   | 2.2 µs  | 2.5 µs      |
//! | 256 KiB at first, the rest when its guard is met | 4,160 B | 20,000 | 1.9 µs  | 2.6 µs      |
//!
//! The last one takes 8.6 µs once when a stack grows, and is not sound for all
//! programs: a system call with a buffer in an area that is not yet taken over
//! fails with EFAULT (a buffer on a frame of C), and a thread that has blocked
//! SIGSEGV is killed. It also needs a table from slot to header, because
//! arithmetic cannot tell how far a stack has grown: one more cache line from
//! memory at each switch. Here a deep slot takes *less* arithmetic than others,
//! because its size is a constant: a yield takes 309 instructions in place of
//! some 323.
//!
//! Not tried: slots of 256 KiB in the unused part of a group, six to a page of page
//! table with the deep one. They would save 32 of the 37 bytes at a million, and
//! cost five instructions in each [`header_of`], over the budget of a yield.
//!
//! # Invariants
//!
//! 1. A slot that was handed out once keeps its [`Class`] for ever; its memory
//!    is never unmapped nor used for anything else.
//! 2. All pages of a slot from its limit to its top are readable and writable; the
//!    page below the limit is a guard. Frames of Rust touch each of their pages
//!    and so fault in it; a frame of C may skip it if it is larger than the guard:
//!    64 KiB, but 4 KiB in slots of 64.
//! 3. A slot is in use by one owner, or in one cache or free list.
//! 4. The header of a slot in use is initialised. The header of a free slot may
//!    have been freed with its page.
//!
//! # The life of a stack
//!
//! 1. [`arena`] opens a batch of slots and puts guards below their limits.
//! 2. [`pool`] hands a slot to a goroutine at its first run, mostly the one
//!    that another has just left; the kernel adds pages as they are touched.
//! 3. [`sweep`] visits goroutines that have been parked for long. It trims their
//!    stacks ([`trim`]) or moves them to cells ([`compact`]). If all stacks of a
//!    chunk have moved, it gives back the chunk's page tables ([`seal`]).
//! 4. A touch of the guard ends the process with a report ([`overflow`]).
//! 5. When the goroutine ends the slot goes back to the cache; pages of slots
//!    that are in free lists for long are freed.

mod arena;
mod cells;
mod claimed;
mod class;
pub(crate) mod compact;
mod error;
pub(crate) mod fiber;
mod free_list;
mod guard;
mod header;
mod limits;
pub(crate) mod overflow;
#[cfg(test)]
mod parked_tests;
pub(crate) mod pool;
mod seal;
mod slots;
pub(crate) mod sweep;
mod transition;
pub(crate) mod trim;

pub(crate) use claimed::Claimed;
pub(crate) use class::Class;
pub use class::StackPolicy;
pub use compact::{CompactionError, CompactionStats, stats as compaction_stats};
pub use error::StackError;
pub(crate) use header::{Stack, StackHeader, WaitObject, header_of};
pub use trim::{StackUsage, stack_usage};

/// Reserves the address space for all stacks of the process, unless that was done.
pub(crate) fn reserve() -> Result<(), StackError> {
    arena::Arena::global().map(|_| ())
}

/// Makes compaction possible in this process; it compacts no goroutine yet.
pub(crate) fn enable_compaction() -> Result<(), CompactionError> {
    overflow::install_handler().map_err(CompactionError::Io)?;
    compact::enable()
}
