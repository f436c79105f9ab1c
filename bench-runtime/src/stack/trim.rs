//! Trimming gives back pages that a stack no longer needs, and measures the stack.
//!
//! Three kinds of stacks are trimmed:
//! - stacks of parked goroutines, below their saved context ([`parked`], for the sweep);
//! - stacks in a P's cache, below their first page ([`in_cache`]);
//! - stacks in the arena's free lists, which lose all pages ([`in_free_lists`]). Each call trims
//!   the older half of them: the memory of a burst is soon freed, and a steady load still finds
//!   stacks with pages.

use std::sync::atomic::Ordering;

use super::arena::{Arena, FreeSlot};
use super::claimed::Claimed;
use super::class::{Class, slot_top};
use super::limits::IN_HAND;
use super::slots::{State, Word};
use super::{Stack, header_of};
use crate::arch;
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, PAGE};

/// Sizes of a goroutine's stack, present and past.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, stack_usage};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let usage = unsafe { Runtime::builder().build() }?.run(stack_usage).unwrap();
/// println!("{} of {} bytes are in memory", usage.committed_bytes, usage.limit_bytes);
/// assert!(usage.peak_bytes <= usage.limit_bytes);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackUsage {
    /// Bytes that are not given back while the goroutine lives, unless the runtime compacts stacks.
    pub initial_bytes: usize,
    /// Bytes to which the stack may grow, including the runtime's part at its top.
    pub limit_bytes: usize,
    /// Bytes in memory now: whole pages.
    pub committed_bytes: usize,
    /// The most bytes, from the top of the stack down, that the runtime has seen in use.
    pub peak_bytes: usize,
    /// Pages that the runtime has seen the stack add after its first page.
    pub growth_count: usize,
}

const FREE_LIST_BATCH: usize = 4096;

/// Sizes of the calling goroutine's stack; `None` on a plain thread. Makes system calls.
///
/// # Examples
///
/// ```
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let usage = unsafe { bench_runtime::Runtime::builder().build() }?.run(bench_runtime::stack_usage);
/// assert!(usage.unwrap().committed_bytes < 64 << 10);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stack_usage() -> Option<StackUsage> {
    let header = header_of(arch::stack_pointer())?;
    Some(measure(Stack::from_header(header)))
}

/// The caller owns the stack or has claimed it.
pub(crate) fn measure(stack: Stack) -> StackUsage {
    let seen = Residency::of(stack);
    seen.note(stack);
    let header = stack.header();
    StackUsage {
        initial_bytes: stack.initial(),
        limit_bytes: stack.usable(),
        committed_bytes: seen.pages * PAGE,
        peak_bytes: header.peak.get() as usize,
        growth_count: header.growth.get() as usize,
    }
}

/// The pages that one system call reports, from the top down. A call that finds no page in memory
/// ends the measurement. Pages further down are there only if a frame of C was larger than the
/// whole window; they stay in memory until the stack is free.
const WINDOW: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Residency {
    /// The lowest address in memory; the top of the slot if none.
    lowest: usize,
    pages: usize,
}

impl Residency {
    fn of(stack: Stack) -> Self {
        let (limit, mut at) = (stack.limit(), stack.slot_top());
        let mut seen = Self {
            lowest: at,
            pages: 0,
        };
        let mut pages = [0u8; WINDOW];
        while at > limit {
            let count = WINDOW.min((at - limit) / PAGE);
            let pages = &mut pages[..count];
            at -= count * PAGE;
            // The range is always mapped, so the call cannot fail.
            if map::resident(at, pages).is_err() {
                break;
            }
            let Some(first) = pages.iter().position(|&page| page != 0) else {
                break;
            };
            seen.lowest = at + first * PAGE;
            seen.pages += pages.iter().filter(|&&page| page != 0).count();
        }
        seen
    }

    fn note(self, stack: Stack) {
        let header = stack.header();
        header.measured.set(true);
        let committed = (self.pages * PAGE) as u32;
        let before = header.committed.get().max(PAGE as u32);
        let grown = committed.saturating_sub(before) / PAGE as u32;
        header.growth.set(header.growth.get() + grown);
        header.committed.set(committed);
        let reach = (stack.slot_top() - self.lowest) as u32;
        header.peak.set(header.peak.get().max(reach));
    }
}

/// The pages below `from`, without those that the stack keeps.
fn below(stack: Stack, from: usize) -> Option<PageRange> {
    let keep = stack.slot_top() - stack.initial().next_multiple_of(PAGE).max(PAGE);
    let end = keep.min(from & !(PAGE - 1));
    let start = stack.limit();
    (end > start).then(|| PageRange {
        start,
        bytes: end - start,
    })
}

pub(super) fn parked(arena: &Arena, region: usize, number: usize, claimed: &Claimed) {
    let stack = claimed.stack;
    let seen = Residency::of(stack);
    seen.note(stack);
    if let Some(range) = below(stack, claimed.sp)
        && seen.lowest < range.start + range.bytes
    {
        // SAFETY: the goroutine is claimed, and no byte below its saved context is live. A failure
        // only costs memory.
        let _ = unsafe { madvise::advise(range, Advice::DontNeed) };
        let left = Residency::of(stack);
        stack.header().committed.set((left.pages * PAGE) as u32);
    }
    let word = arena.slots.word(region, number);
    let now = Word(word.load(Ordering::Relaxed));
    if now.state() == State::Live {
        let trimmed = Word::live(now.class(), now.since_ms(), true);
        // If this fails, another thread has changed the state.
        let _ = word.compare_exchange(now.0, trimmed.0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Frees the pages of the caller's free stacks, except their first pages.
pub(super) fn in_cache(stacks: &[Stack]) {
    let deep: Vec<PageRange> = stacks
        .iter()
        .filter_map(|&stack| {
            let range = below(stack, stack.top() as usize)?;
            // Most stacks used only their first page. To see that is cheaper than `madvise`, which
            // walks the page tables.
            let seen = Residency::of(stack);
            (seen.lowest < range.start + range.bytes).then_some(range)
        })
        .collect();
    // SAFETY: these stacks are not in use, and their headers are in the page that stays. A failure
    // only costs memory.
    let _ = unsafe { madvise::advise_all(&deep, Advice::DontNeed) };
}

/// Frees the pages of the older half of the warm slots. True if warm slots are left.
pub(super) fn in_free_lists(arena: &Arena) -> bool {
    let mut left = false;
    for class in Class::all() {
        let mut count = {
            let free = arena.free(class).lock();
            let count = free.warm.len().div_ceil(2).min(FREE_LIST_BATCH);
            left |= free.warm.len() > count;
            count
        };
        while count > 0 {
            let old: Vec<FreeSlot> = {
                let mut free = arena.free(class).lock();
                let batch = count.min(IN_HAND).min(free.warm.len());
                free.warm.drain(..batch).collect()
            };
            if old.is_empty() {
                break;
            }
            count -= old.len();
            release(arena, class, &old);
            arena.put_back(class, |free| free.cold.extend(old));
        }
    }
    left
}

/// Gives back all pages of free slots, which the caller has taken off the free list and then adds
/// to the cold slots.
pub(super) fn release(arena: &Arena, class: Class, slots: &[FreeSlot]) {
    let info = class.info();
    let ranges: Vec<PageRange> = slots
        .iter()
        .map(|slot| {
            let address = slot.0.as_ptr() as usize;
            if let Some(word) = arena.word_of(address) {
                // Relaxed: the slot is ours until it is on a list again, and a sweep that still
                // reads its header finds no goroutine there.
                word.store(Word::plain(State::Free, class).0, Ordering::Relaxed);
            }
            PageRange {
                start: slot_top(address) - info.usable,
                bytes: info.usable,
            }
        })
        .collect();
    // SAFETY: the slots are the caller's, and the content of a free stack is not needed. A failure
    // only costs memory.
    let _ = unsafe { madvise::advise_all(&ranges, Advice::DontNeed) };
}
