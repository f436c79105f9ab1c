//! The sweep visits the slots in use, and trims or compacts the stacks of goroutines that have been
//! parked for long.
//!
//! A stack is trimmed or compacted if two visits, at least [`Policy::after`] apart, found its
//! goroutine in the same park. The first visit leaves a mark in the stack's header, which the
//! goroutine's next park erases.
//!
//! The sweep reaches goroutines, which are on a higher floor, through [`Hooks`]. It *claims* a
//! goroutine before it works on its stack; a claimed goroutine is not resumed until it is released.
//! A claim holds only once it is *confirmed*, and no stack is written before that. Confirming takes
//! a heavy barrier, so many claims are confirmed together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::arena::Arena;
use super::arena::is_chunk;
use super::claimed::Claimed;
use super::class::ALL_REGIONS;
use super::compact::{self, LONGEST_RUN};
use super::slots::{State, Word};
use super::{Stack, trim};
use crate::util::lock::Lock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shrink {
    Trim,
    Compact,
}

/// The scheduler's functions for the goroutine that a header names. The header may be out of date,
/// so `parked` and `claim` return `None` unless that goroutine is now parked on this very stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    /// Returns how the goroutine's stack may shrink.
    pub(crate) parked: fn(g: *mut (), stack: Stack) -> Option<Shrink>,
    /// Claims the goroutine; returns the address of its saved context.
    pub(crate) claim: fn(g: *mut (), stack: Stack) -> Option<usize>,
    /// Confirms claims. Calls `each` with the index of every claim that holds. A claim does not
    /// hold if an M has resumed the goroutine in spite of it.
    pub(crate) confirm: fn(claimed: &[Claimed], each: &mut dyn FnMut(usize)),
    /// Releases the goroutine. If `compacted`, [`compact::restore`] must be called before the
    /// goroutine runs again.
    pub(crate) release: fn(claimed: &Claimed, compacted: bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    /// All slots have been visited. If `pending`, some stacks may be due when [`Policy::after`] has
    /// passed again.
    Done {
        pending: bool,
    },
    /// Another thread is sweeping.
    Busy,
    /// No stack has ever been made.
    Nothing,
}

/// The slots that a step visits. A visit costs some 100 ns if the goroutine's record is not in the
/// cache.
const STEP: usize = 1024;

/// A run of fewer slots is compacted only if a stack in it has been parked for
/// [`SHORT_RUN_WAITS`] times [`Policy::after`]: each run takes three `mprotect` calls with their
/// TLB shootdowns.
const SHORTEST_RUN: usize = 16;
const SHORT_RUN_WAITS: u32 = 8;

static HOOKS: OnceLock<Hooks> = OnceLock::new();
static SWEEPER: Lock<Sweeper> = Lock::new(Sweeper::new());

/// Only the first call has an effect.
pub(crate) fn set_hooks(hooks: Hooks) {
    HOOKS.get_or_init(|| hooks);
}

/// Visits a bounded number of slots, beginning where the last step stopped. The caller holds no P.
/// `now_ms` is a monotonic clock, which may wrap around.
pub(crate) fn step(now_ms: u32, policy: Policy) -> Progress {
    let (Some(hooks), Some(arena)) = (HOOKS.get(), Arena::existing()) else {
        return Progress::Nothing;
    };
    match SWEEPER.try_lock() {
        Some(mut sweeper) => sweeper.step(arena, hooks, now_ms, policy),
        None => Progress::Busy,
    }
}

/// How long ago the sweep first saw the goroutine in its present park; zero if the sweep has not
/// seen it there, or if the stack is compacted.
pub(crate) fn parked_for(stack: Stack, is_marked: bool, now_ms: u32) -> Duration {
    let word = Arena::existing().and_then(|arena| arena.word_of(stack.as_ptr().as_ptr() as usize));
    let now = word.map(|word| Word(word.load(Ordering::Acquire)));
    match now {
        Some(now) if is_marked && now.state() == State::Live && now.since_ms() != 0 => {
            Duration::from_millis(now_ms.wrapping_sub(now.since_ms()).into())
        }
        _ => Duration::ZERO,
    }
}

#[derive(Debug)]
struct Sweeper {
    region: usize,
    number: usize,
    pending: bool,
    run: Vec<Claimed>,
    /// Stacks to trim; `trim_numbers` are the numbers of their slots.
    trims: Vec<Claimed>,
    trim_numbers: Vec<usize>,
    /// Whether a stack of the run has been parked so long that the run may be short.
    overdue: bool,
    compacted_in_chunk: usize,
}

// SAFETY: between steps the run is empty; only the hooks use the pointers in it, on the thread that
// does the step.
unsafe impl Send for Sweeper {}

struct Due {
    stack: Stack,
    shrink: Shrink,
    age_ms: u32,
}

impl Sweeper {
    const fn new() -> Self {
        Self {
            region: 0,
            number: 0,
            pending: false,
            run: Vec::new(),
            trims: Vec::new(),
            trim_numbers: Vec::new(),
            overdue: false,
            compacted_in_chunk: 0,
        }
    }

    fn step(&mut self, arena: &Arena, hooks: &Hooks, now_ms: u32, policy: Policy) -> Progress {
        let after_ms = u32::try_from(policy.after.as_millis()).unwrap_or(u32::MAX);
        let mut budget = STEP;
        while self.region < ALL_REGIONS {
            let opened = arena.opened(self.region);
            let sealing = compact::slots_to_seal(self.region);
            while self.number < opened && budget > 0 {
                budget -= 1;
                let number = self.number;
                self.number += 1;
                match self.look(arena, hooks, number, now_ms, after_ms) {
                    Some(due) => self.claim_due(arena, hooks, number, &due, after_ms),
                    None => self.flush(arena, hooks, number),
                }
                if let Some(slots) = sealing {
                    self.seal(arena, hooks, number, slots);
                }
            }
            // Nothing stays claimed between steps.
            self.flush(arena, hooks, self.number);
            self.trim_all(arena, hooks);
            if budget == 0 && self.number < opened {
                return Progress::More;
            }
            self.region += 1;
            self.number = 0;
        }
        self.region = 0;
        compact::give_back_cells();
        self.pending |= trim::in_free_lists(arena);
        Progress::Done {
            pending: std::mem::take(&mut self.pending),
        }
    }

    /// Returns the stack of a slot if it is due. At the first visit during a park, marks the stack
    /// and stores the time in the slot's word.
    fn look(
        &mut self,
        arena: &Arena,
        hooks: &Hooks,
        number: usize,
        now_ms: u32,
        after_ms: u32,
    ) -> Option<Due> {
        let word = arena.slots.word(self.region, number);
        // Acquire: pairs with the Release of the thread that made the slot live; its header is
        // written.
        let now = Word(word.load(Ordering::Acquire));
        if now.state() != State::Live {
            return None;
        }
        let (since, age_ms) = (now.since_ms(), now_ms.wrapping_sub(now.since_ms()));
        if since != 0 && age_ms < after_ms {
            // Whether the goroutine has run meanwhile is checked only when the stack is due: a
            // check reads three cache lines from memory.
            self.pending = true;
            return None;
        }
        let base = arena.geometry().slot_base(self.region, number);
        let stack = Stack::from_header(arena.geometry().header_of(base)?);
        let header = stack.header();
        let shrink = (hooks.parked)(header.g.look(), stack)?;
        if !header.wait_object.is_marked() {
            // The goroutine has run since the last visit, or this is the first visit.
            header.wait_object.mark();
            self.note(word, now, now_ms);
            return None;
        }
        if since == 0 {
            // The stack was restored from a cell since the last visit.
            self.note(word, now, now_ms);
            return None;
        }
        let done = now.trimmed() && (shrink == Shrink::Trim || !compact::enabled());
        (!done).then_some(Due {
            stack,
            shrink,
            age_ms,
        })
    }

    /// Counts a slot if it is compacted. At the end of a chunk, ends the run, and seals the chunk
    /// if all its slots were compacted before this pass.
    fn seal(&mut self, arena: &Arena, hooks: &Hooks, number: usize, slots: usize) {
        if number.is_multiple_of(slots) {
            self.compacted_in_chunk = 0;
        }
        if (number + 1).is_multiple_of(slots) {
            self.flush(arena, hooks, number + 1);
        }
        let word = arena.slots.word(self.region, number);
        if Word(word.load(Ordering::Relaxed)).state() == State::Compacted {
            self.compacted_in_chunk += 1;
            if self.compacted_in_chunk == slots {
                compact::seal(self.region, number + 1 - slots);
            }
        }
    }

    fn note(&mut self, word: &AtomicU64, now: Word, now_ms: u32) {
        let noted = Word::live(now.class(), now_ms.max(1), false);
        // If this fails, another thread has changed the word, and the next pass writes it.
        let _ = word.compare_exchange(now.0, noted.0, Ordering::Relaxed, Ordering::Relaxed);
        self.pending = true;
    }

    fn claim_due(&mut self, arena: &Arena, hooks: &Hooks, number: usize, due: &Due, after_ms: u32) {
        let claimed = claim(hooks, due.stack).filter(|claimed| {
            let still_parked = due.stack.header().wait_object.is_marked();
            if !still_parked {
                (hooks.release)(claimed, false);
            }
            still_parked
        });
        let Some(claimed) = claimed else {
            return self.flush(arena, hooks, number);
        };
        if due.shrink == Shrink::Compact && compact::enabled() && claimed.fits_in_cell() {
            self.overdue |= due.age_ms / SHORT_RUN_WAITS >= after_ms.max(1);
            self.run.push(claimed);
            if self.run.len() == LONGEST_RUN {
                self.flush(arena, hooks, number + 1);
            }
            return;
        }
        self.flush(arena, hooks, number);
        self.trims.push(claimed);
        self.trim_numbers.push(number);
        if self.trims.len() == LONGEST_RUN {
            self.trim_all(arena, hooks);
        }
    }

    fn trim_all(&mut self, arena: &Arena, hooks: &Hooks) {
        if self.trims.is_empty() {
            return;
        }
        let (region, numbers) = (self.region, &self.trim_numbers);
        let trims = &self.trims;
        (hooks.confirm)(trims, &mut |place| {
            trim::parked(arena, region, numbers[place], &trims[place]);
        });
        for claimed in self.trims.drain(..) {
            (hooks.release)(&claimed, false);
        }
        self.trim_numbers.clear();
    }

    /// Compacts the run, which ends before slot `end`, if it is long enough; then releases it.
    fn flush(&mut self, arena: &Arena, hooks: &Hooks, end: usize) {
        let overdue = std::mem::take(&mut self.overdue);
        if self.run.is_empty() {
            return;
        }
        let first = end - self.run.len();
        debug_assert_eq!(
            arena
                .geometry()
                .locate(self.run[0].stack.as_ptr().as_ptr() as usize),
            Some((self.region, first))
        );
        let long_enough = self.run.len() >= SHORTEST_RUN
            || overdue
            || is_chunk(self.region, first, self.run.len());
        let mut confirmed = 0;
        if long_enough {
            (hooks.confirm)(&self.run, &mut |_| confirmed += 1);
        }
        // If a goroutine was resumed in spite of its claim, no stack of the run is compacted.
        let compacted = long_enough
            && confirmed == self.run.len()
            && compact::compact(self.region, first, &self.run).is_ok();
        // The next pass may compact the run, or seal its chunk.
        self.pending = true;
        for claimed in self.run.drain(..) {
            (hooks.release)(&claimed, compacted);
        }
    }
}

fn claim(hooks: &Hooks, stack: Stack) -> Option<Claimed> {
    let g = stack.header().g.look();
    let sp = (hooks.claim)(g, stack)?;
    Some(Claimed { stack, g, sp })
}
