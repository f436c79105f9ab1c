//! Stacks of goroutines: slots in one reservation of address space.
//!
//! The size of a slot's address space is a power of two, so [`header_of`] computes the address of
//! its header from any address in it, and needs no thread-local (see `sched/current.rs`).
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
//! | guard        |    an access is a SIGSEGV, which `overflow` reports
//! +--------------+
//! | unused       |    only where the limit is smaller than the slot
//! +--------------+ <- slot base
//! ```
//!
//! # Deep and shallow stacks
//!
//! The default policy ([`StackPolicy::Auto`]) uses two regions. The first ten thousand stacks of a
//! process are in deep slots of 14.25 MiB, one in each *group* of 16 MiB of the sparse region. A
//! goroutine that starts while all of these are in use gets a shallow slot of 256 KiB. The guard of
//! a deep slot is at the end of the group before:
//!
//! ```text
//! | group                                               | group
//! | deep slot, 14.25 MiB           top | unused | guard | deep slot ...
//! ```
//!
//! Each deep slot needs a page of page table of its own, while eight shallow ones share a page.
//! `SPEED.md` (*Stacks*) has the designs that were measured.
//!
//! # Invariants
//!
//! 1. A slot that was handed out once keeps its [`Class`]; its memory is never unmapped or used for
//!    anything else.
//! 2. All pages of a slot from its limit to its top are writable, unless the slot is compacted or
//!    is being compacted; the page below the limit is a guard. Rust's frames touch each of their
//!    pages, so an overflow faults there. A frame of C that is larger than the guard may skip it.
//! 3. A slot is in use by one owner, or in one cache or free list.
//! 4. The header of a slot in use is initialised. The header of a free slot may have been freed
//!    with its page.
//!
//! # The life of a stack
//!
//! 1. [`arena`] opens a batch of slots and puts guards below their limits.
//! 2. [`pool`] gives a slot to a goroutine at its first run, mostly a slot that another goroutine
//!    has just left.
//! 3. [`sweep`] trims the stacks of goroutines that have been parked for long ([`trim`]), or moves
//!    them to cells ([`compact`]). It gives back the page tables of a chunk whose stacks have all
//!    moved ([`seal`]).
//! 4. An access to the guard ends the process with a report ([`overflow`]).
//! 5. When the goroutine ends, the slot goes back to the cache. Pages of slots that stay in free
//!    lists are freed.

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

pub(crate) fn reserve() -> Result<(), StackError> {
    arena::Arena::global().map(|_| ())
}

pub(crate) fn enable_compaction() -> Result<(), CompactionError> {
    overflow::install_handler().map_err(CompactionError::Io)?;
    compact::enable()
}
