//! Sealing: if all stacks of a chunk are compacted, its page tables are given back too.
//!
//! A guard marker is an entry of a page table, and a page of page table covers two MiB. So the
//! markers of a compacted slot of the default size take more memory than its cell. A sealed chunk
//! has no markers; the protection of its mapping stops each access.
//!
//! | chunk     | its mapping        | its slots                  | next state               |
//! |-----------|--------------------|----------------------------|--------------------------|
//! | `OPEN`    | readable, writable | any                        | the sweep: `SEALED`      |
//! | `SEALED`  | no access          | `COMPACTED` or `RESTORING` | a thread that restores a slot: `OPENING` |
//! | `OPENING` | no access          | `COMPACTED` or `RESTORING` | the thread that opens it: `OPEN` |
//!
//! # Steps
//!
//! 1. The sweep sets every slot from `COMPACTED` to `MOVING`, so that none is restored meanwhile.
//!    It gives up at a slot that is not compacted. If a whole chunk is compacted at once, its slots
//!    are `MOVING` already.
//! 2. The sweep replaces the chunk's mapping by an empty one, in one system call.
//! 3. The chunk becomes `SEALED`, and then the slots become `COMPACTED` again.
//! 4. A thread that restores a slot sets the slot to `RESTORING`, and then reads the state of the
//!    chunk. The first thread that finds `SEALED` prepares the mapping, puts the markers of guards
//!    and of live pages back, and allows access. Other threads wait for it.
//!
//! `SPEED.md` (*Stacks*) has the rejected designs.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use super::arena::{Arena, CHUNK, slots_per_chunk};
use super::claimed::live_pages;
use super::slots::{State, Word};
use super::transition;
use crate::fatal::fatal;
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, Access};
use crate::sys::userfault::UserFault;

/// The most ranges in one call: the array is on the alternate signal stack.
const BATCH: usize = 32;

const OPEN: u8 = 0;
const SEALED: u8 = 1;
const OPENING: u8 = 2;

#[derive(Debug)]
pub(super) struct Seals(NonNull<u8>);

// SAFETY: the bytes are used as atomics only, and are never freed.
unsafe impl Send for Seals {}
// SAFETY: as above.
unsafe impl Sync for Seals {}

impl Seals {
    pub(super) fn new(arena: &Arena) -> Self {
        let chunks = arena.geometry().bytes().div_ceil(CHUNK);
        // The zeros are the kernel's, so no memory is touched.
        Self(NonNull::from(vec![OPEN; chunks].leak()).cast())
    }

    fn chunk(&self, arena: &Arena, address: usize) -> &AtomicU8 {
        let index = (address - arena.geometry().start()) / CHUNK;
        // SAFETY: there is a byte for each chunk of the arena, and it is only reached here.
        unsafe { AtomicU8::from_ptr(self.0.as_ptr().add(index)) }
    }

    /// Steps 1 to 3, by the thread that compacts. `first` is the chunk's first slot. True if the
    /// chunk is sealed.
    pub(super) fn seal(
        &self,
        arena: &Arena,
        userfault: &UserFault,
        region: usize,
        first: usize,
    ) -> bool {
        let Some(slots) = slots_per_chunk(region) else {
            return false;
        };
        let start = arena.geometry().slot_base(region, first);
        let chunk = self.chunk(arena, start);
        if chunk.load(Ordering::Relaxed) != OPEN {
            return false;
        }
        let word = |index: usize| arena.slots.word(region, first + index);
        let take = |index: &usize| {
            let now = Word(word(*index).load(Ordering::Relaxed));
            now.state() == State::Compacted
                && transition::begin(word(*index), now.0, now.with_state(State::Moving).0)
        };
        let taken = (0..slots).take_while(take).count();
        let sealed = taken == slots && self.close(arena, userfault, region, first);
        for index in 0..taken {
            let now = Word(word(index).load(Ordering::Relaxed));
            transition::set(word(index), now.with_state(State::Compacted).0);
        }
        sealed
    }

    /// Step 2, and the chunk's part of step 3. The chunk is open, its slots are all `MOVING`, and
    /// their words name their cells. If the result is false, the chunk is open, with the markers of
    /// its slots.
    pub(super) fn close(
        &self,
        arena: &Arena,
        userfault: &UserFault,
        region: usize,
        first: usize,
    ) -> bool {
        let start = arena.geometry().slot_base(region, first);
        // SAFETY: the live bytes of the range are in cells, and a thread that accesses it waits in
        // the handler.
        let closed = unsafe { map::reserve_again(start, CHUNK) }.is_ok();
        if closed {
            // Relaxed: the slots become `COMPACTED` after this, by a Release.
            self.chunk(arena, start).store(SEALED, Ordering::Relaxed);
        } else {
            reopen(arena, Some(userfault), region, first);
        }
        closed
    }

    /// Step 4, by the thread that set the slot at `address` to `RESTORING`. Allowed in a signal
    /// handler. `userfault` is `None` in the child of a fork, where no other thread can be opening
    /// the chunk.
    pub(super) fn open(&self, arena: &Arena, userfault: Option<&UserFault>, address: usize) {
        let chunk = self.chunk(arena, address);
        loop {
            // Acquire: pairs with the Release below; before that store the mapping was opened.
            match chunk.load(Ordering::Acquire) {
                OPEN => return,
                SEALED => {
                    let began = chunk.compare_exchange(
                        SEALED,
                        OPENING,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    );
                    if began.is_ok() {
                        break;
                    }
                }
                _ if userfault.is_none() => break,
                // SAFETY: sched_yield has no precondition and is fine in a signal handler.
                _ => _ = unsafe { libc::sched_yield() },
            }
        }
        let start = address & !(CHUNK - 1);
        if let Some((region, first)) = arena.geometry().locate(start) {
            reopen(arena, userfault, region, first);
        }
        chunk.store(OPEN, Ordering::Release);
    }
}

/// Repeats the advice and the registration of a closed chunk's mapping, puts the chunk's markers
/// back and allows access. A failure ends the process.
fn reopen(arena: &Arena, userfault: Option<&UserFault>, region: usize, first: usize) {
    let Some(slots) = slots_per_chunk(region) else {
        fatal!("stacks of region {region} are never sealed");
    };
    let geometry = arena.geometry();
    let start = geometry.slot_base(region, first);
    arena.advise_chunk(start);
    if let Some(Err(error)) = userfault.map(|userfault| userfault.register(start, CHUNK)) {
        fatal!("cannot register goroutine stacks that are to come back: {error}");
    }
    let nothing = PageRange { start, bytes: 0 };
    let mut ranges = [nothing; BATCH];
    let mut count = 0;
    let install = |ranges: &[PageRange]| {
        // SAFETY: the pages of compacted slots, and guards, hold no data.
        if let Err((_, error)) = unsafe { madvise::advise_all(ranges, Advice::GuardInstall) } {
            fatal!("cannot guard goroutine stacks that are to come back: {error}");
        }
    };
    for number in first..first + slots {
        let base = geometry.slot_base(region, number);
        let now = Word(arena.slots.word(region, number).load(Ordering::Relaxed));
        let (Some((_, len)), Some(header)) = (now.cell(), geometry.header_of(base)) else {
            fatal!("a sealed stack without a cell at {base:#x}");
        };
        for range in [now.class().info().guard(base), live_pages(header, len)] {
            if count > 0 && ranges[count - 1].start + ranges[count - 1].bytes == range.start {
                ranges[count - 1].bytes += range.bytes;
                continue;
            }
            if count == BATCH {
                install(&ranges);
                count = 0;
            }
            ranges[count] = range;
            count += 1;
        }
    }
    install(&ranges[..count]);
    // SAFETY: the range is slots of the arena, which are writable unless they are closed; the
    // markers are there again.
    if let Err(error) = unsafe { map::protect(start, CHUNK, Access::ReadWrite) } {
        fatal!("cannot reopen goroutine stacks that are to come back: {error}");
    }
}
