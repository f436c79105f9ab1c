//! The sweep: goes over the slots in use, and has those that have been parked
//! for long trimmed or compacted.
//!
//! Machines that found nothing to run call [`step`] before they sleep; each
//! step looks at a bounded number of slots and goes on where the last one
//! stopped. One machine at a time is at it. A goroutine must be seen in the
//! same park twice, at least [`Policy::after`] apart, so one that parks
//! briefly is never touched.
//!
//! What it needs to know of goroutines comes through [`Hooks`], because this
//! floor knows none. A goroutine is *claimed* while its stack is worked on:
//! nobody resumes it until it is released.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::arena::Arena;
use super::compact::{self, Claimed, LONGEST_RUN};
use super::header::REGIONS;
use super::slots::{State, Word};
use super::{Stack, trim};
use crate::util::lock::Lock;

/// What the scheduler answers about the goroutine that a header names. The
/// name may be stale, so each answers `None` unless that goroutine, now, is
/// parked on this very stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    /// The number of the park it is in: another one for its next park.
    pub(crate) parked: fn(g: *mut (), stack: Stack) -> Option<u16>,
    /// Claims it, if it is still in the park of this number; says where its
    /// saved context is.
    pub(crate) claim: fn(g: *mut (), stack: Stack, number: u16) -> Option<usize>,
    /// Lets go of it; `compacted` says that [`compact::restore`] must be
    /// called before it runs again. What was readied in the meantime becomes
    /// runnable now.
    pub(crate) release: fn(g: *mut (), compacted: bool),
}

/// When the sweep takes action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Parked at least this long.
    pub(crate) after: Duration,
    /// Compact, where [`compact::enable`] has succeeded; else only trim.
    pub(crate) compact: bool,
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There are more slots to look at.
    More,
    /// All have been looked at. True: some may be due when [`Policy::after`]
    /// has passed once more.
    Done { pending: bool },
    /// Another thread is at it, or there is nothing to sweep.
    Busy,
}

/// Slots a step looks at. Looking costs some 100 ns where the goroutine's
/// record is not in the cache, so that a step takes a tenth of a millisecond.
const STEP: usize = 1024;

/// Runs shorter than this cost more than they bring, unless memory is held for
/// long: the three `mprotect` calls and their TLB shoot-downs are per run.
const SHORTEST_RUN: usize = 16;
/// After this many times [`Policy::after`] a short run goes too.
const PATIENCE: u32 = 8;

static HOOKS: OnceLock<Hooks> = OnceLock::new();
static SWEEPER: Lock<Sweeper> = Lock::new(Sweeper::new());

/// Says how goroutines are claimed; the first call counts.
pub(crate) fn set_hooks(hooks: Hooks) {
    HOOKS.get_or_init(|| hooks);
}

/// Does a bounded piece of the sweep. `now_ms` is a clock that does not go
/// back. Never waits for another thread.
pub(crate) fn step(now_ms: u32, policy: Policy) -> Progress {
    let (Some(hooks), Some(arena)) = (HOOKS.get(), Arena::existing()) else {
        return Progress::Busy;
    };
    match SWEEPER.try_lock() {
        Some(mut sweeper) => sweeper.step(arena, hooks, now_ms, policy),
        None => Progress::Busy,
    }
}

/// Where the sweep stands.
#[derive(Debug)]
struct Sweeper {
    region: usize,
    number: usize,
    pending: bool,
    run: Vec<Claimed>,
}

// SAFETY: between steps the run is empty; the pointers in it are the hooks'
// business and stay on the thread that does the step.
unsafe impl Send for Sweeper {}

/// What a look at a slot found.
enum Found {
    /// Not parked, not long enough, or done already.
    Nothing,
    /// Parked for so many milliseconds, in the park of this number.
    Due {
        stack: Stack,
        number: u16,
        age_ms: u32,
    },
}

impl Sweeper {
    const fn new() -> Self {
        Self {
            region: 0,
            number: 0,
            pending: false,
            run: Vec::new(),
        }
    }

    fn step(&mut self, arena: &Arena, hooks: &Hooks, now_ms: u32, policy: Policy) -> Progress {
        let compacting = policy.compact && compact::enabled();
        let mut budget = STEP;
        while self.region < REGIONS {
            let opened = arena.opened(self.region);
            // So old that a run of any length goes.
            let mut impatient = false;
            while self.number < opened && budget > 0 {
                budget -= 1;
                let number = self.number;
                self.number += 1;
                if !self.run.is_empty() && self.run.len() == LONGEST_RUN {
                    self.flush(arena, hooks, number, impatient);
                    impatient = false;
                }
                let claimed = match self.look(arena, hooks, number, now_ms, policy, compacting) {
                    Found::Nothing => None,
                    Found::Due {
                        stack,
                        number: park,
                        age_ms,
                    } => {
                        impatient |= age_ms / PATIENCE >= after_ms(policy).max(1);
                        claim(hooks, stack, park)
                    }
                };
                match claimed {
                    Some(claimed) if !compacting => {
                        trim::parked(arena, self.region, number, &claimed);
                        (hooks.release)(claimed.g, false);
                    }
                    Some(claimed) if claimed.fits() => self.run.push(claimed),
                    other => {
                        self.flush(arena, hooks, number, impatient);
                        impatient = false;
                        if let Some(claimed) = other {
                            trim::parked(arena, self.region, number, &claimed);
                            (hooks.release)(claimed.g, false);
                        }
                    }
                }
            }
            // Nothing stays claimed between steps.
            self.flush(arena, hooks, self.number, impatient);
            if budget == 0 && self.number < opened {
                return Progress::More;
            }
            self.region += 1;
            self.number = 0;
        }
        self.region = 0;
        compact::give_back_cells();
        self.pending |= trim::cached(arena);
        Progress::Done {
            pending: std::mem::take(&mut self.pending),
        }
    }

    /// Looks at one slot, and notes what it sees there.
    fn look(
        &mut self,
        arena: &Arena,
        hooks: &Hooks,
        number: usize,
        now_ms: u32,
        policy: Policy,
        compacting: bool,
    ) -> Found {
        let word = arena.slots.word(self.region, number);
        // Acquire: pairs with the Release of who made the slot live; its
        // header is written.
        let now = Word(word.load(Ordering::Acquire));
        if now.state() != State::Live {
            return Found::Nothing;
        }
        let base = arena.geometry().slot_base(self.region, number);
        let Some(header) = arena.geometry().header_of(base) else {
            return Found::Nothing;
        };
        let stack = Stack::from_header(header);
        let Some(park) = (hooks.parked)(stack.header().g.get(), stack) else {
            return Found::Nothing;
        };
        let (seen, since) = now.seen();
        // Number 0 with time 0 is what a slot says that was never looked at.
        if seen != park || since == 0 {
            let noted = Word::live(now.class(), park, now_ms.max(1), false);
            // A restore or a trim may have been faster; then the next sweep
            // notes it.
            let _ = word.compare_exchange(now.0, noted.0, Ordering::Relaxed, Ordering::Relaxed);
            self.pending = true;
            return Found::Nothing;
        }
        let age_ms = now_ms.saturating_sub(since);
        if age_ms < after_ms(policy) {
            self.pending = true;
            return Found::Nothing;
        }
        if now.trimmed() && !compacting {
            return Found::Nothing;
        }
        Found::Due {
            stack,
            number: park,
            age_ms,
        }
    }

    /// Compacts the run that ends before slot `end`, and releases it.
    fn flush(&mut self, arena: &Arena, hooks: &Hooks, end: usize, impatient: bool) {
        if self.run.is_empty() {
            return;
        }
        // The last slot looked at may not belong to the run.
        let last = self.run[self.run.len() - 1];
        let first = match arena
            .geometry()
            .locate(last.stack.as_ptr().as_ptr() as usize)
        {
            Some((_, number)) => number + 1 - self.run.len(),
            None => end - self.run.len(),
        };
        let long_enough = self.run.len() >= SHORTEST_RUN || impatient;
        let compacted = long_enough && compact::compact(self.region, first, &self.run).is_ok();
        self.pending |= !compacted;
        for claimed in self.run.drain(..) {
            (hooks.release)(claimed.g, compacted);
        }
    }
}

fn after_ms(policy: Policy) -> u32 {
    u32::try_from(policy.after.as_millis()).unwrap_or(u32::MAX)
}

fn claim(hooks: &Hooks, stack: Stack, number: u16) -> Option<Claimed> {
    let g = stack.header().g.get();
    let sp = (hooks.claim)(g, stack, number)?;
    Some(Claimed { stack, g, sp })
}
