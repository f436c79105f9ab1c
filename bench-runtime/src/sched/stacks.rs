//! Where the sweep over stacks meets the scheduler: how a parked goroutine is
//! kept from being resumed while its stack is trimmed or compacted.
//!
//! The claim is made in `context`, by the table in [`crate::goroutine`]: it
//! turns from the saved context into the stack header with the bit that says
//! "on some M now", and one more. So a thread that dequeues the goroutine meanwhile
//! waits, or lets others go first, as if it were still leaving its stack; no
//! path of the scheduler knows of claims.
//!
//! # Why a claim must be confirmed
//!
//! A thread that resumes a goroutine reads `context` and then stores to it, without a
//! locked instruction, so a claim may come between the two:
//!
//! | resume                                | claim                              |
//! |---------------------------------------|------------------------------------|
//! | R1 status is Runnable (by the ready)  | C1 `context`: saved to claimed     |
//! | R2 read `context`: odd: wait          | C2 heavy barrier                   |
//! | R3 saved: store "on this M", resume   | C3 status Waiting, then `context` claimed: it holds |
//! |                                       | C4 else give up: if still claimed, back to saved |
//!
//! If R2 read the saved context, it came before C1, and R1 before it; by C2,
//! and the light barrier ahead of R2, even a store that was still in R1's CPU
//! is seen by C3. C3 reads the status before `context`: of a goroutine that was
//! resumed and is about to park again the status says Waiting too, but then R3
//! shows in `context`. In C4 the compare-exchange fails if R3 was done, because
//! R3 stores another value. The steps are in [`super::claim`].
//!
//! Not claimed are goroutines that are locked to an M, which waits for them,
//! those that are readied already, and those that an inspection reads
//! ([`super::inspect`]), which does not delay them.

use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::claim;
use super::machine::TIME_SLICE_NS;
use super::shared::Shared;
use crate::goroutine::slab::Slab;
use crate::goroutine::{
    CLAIMED_BIT, FLAG_COMPACTED, FLAG_LOCKED, FRESH, Goroutine, RUNNING_BIT, Status, WATCHED_BIT,
};
use crate::recorder::event::Kind;
use crate::stack::Claimed;
use crate::stack::sweep::{self, Hooks, Policy, Progress, Shrink};
use crate::stack::{Stack, header_of};
use crate::sys::memory;

/// Passes over all stacks in the time after which one is due: each look costs a
/// stack some 30 ns, and this many come before it is compacted. Chosen, not measured.
const PASSES: u32 = 4;
/// But a pass begins no more often than this, in milliseconds, so that a program
/// with few goroutines is not looked over all the time. Chosen, not measured.
const PASS_MS: u32 = 20;

/// Without a running P sysmon has time: so many steps in one round. Chosen, not measured.
const IDLE_STEPS: u32 = 64;

/// Tells the sweep how goroutines are claimed.
pub(crate) fn install() {
    sweep::set_hooks(Hooks {
        parked,
        claim,
        confirm,
        release,
    });
}

/// The goroutine a header names, and its saved context, if it is parked there.
fn parked_on(g: *mut (), stack: Stack) -> Option<(&'static Goroutine, usize)> {
    // SAFETY: headers name records, which are type-stable, or nothing.
    let g = unsafe { g.cast::<Goroutine>().as_ref() }?;
    // Acquire: pairs with the store of the context by `switch`.
    let context = g.context.load(Ordering::Acquire);
    // One that is watched is left for the next pass.
    let suspended = context != FRESH && context & (RUNNING_BIT | WATCHED_BIT) == 0;
    let here = suspended && header_of(context) == Some(stack.as_ptr());
    (here && g.status() == Status::Waiting && !g.has_flag(FLAG_LOCKED)).then_some((g, context))
}

fn parked(g: *mut (), stack: Stack) -> Option<Shrink> {
    let (g, _) = parked_on(g, stack)?;
    Some(match Slab::compacts(g) {
        true => Shrink::Compact,
        false => Shrink::Trim,
    })
}

fn claim(g: *mut (), stack: Stack) -> Option<usize> {
    let (g, context) = parked_on(g, stack)?;
    claim::claim(&g.context, context, claimed_context(stack)).then_some(context) // C1
}

/// What `context` holds while a goroutine is claimed.
fn claimed_context(stack: Stack) -> usize {
    stack.as_ptr().as_ptr() as usize | RUNNING_BIT | CLAIMED_BIT
}

/// The record of a claimed goroutine.
fn goroutine_of(claimed: &Claimed) -> &'static Goroutine {
    // SAFETY: it was claimed, so it is a record; records are type-stable.
    unsafe { &*claimed.g.cast::<Goroutine>() }
}

fn confirm(claimed: &[Claimed], each: &mut dyn FnMut(usize)) {
    claim::confirm(); // C2
    for (place, claimed) in claimed.iter().enumerate() {
        let g = goroutine_of(claimed);
        let (mark, waiting) = (claimed_context(claimed.stack), Status::Waiting as u8);
        if claim::holds(&g.context, mark, &g.head.status, waiting) {
            each(place); // C3
        }
    }
}

fn release(claimed: &Claimed, compacted: bool) {
    let g = goroutine_of(claimed);
    if compacted {
        g.set_flag(FLAG_COMPACTED);
    }
    // C4, and the end of a claim that held; the flag is seen with it.
    claim::release(&g.context, claimed_context(claimed.stack), claimed.sp);
}

/// Whether the sweep has claimed it now.
pub(super) fn is_claimed(g: &Goroutine) -> bool {
    let claimed = RUNNING_BIT | CLAIMED_BIT;
    g.context.load(Ordering::Relaxed) & claimed == claimed
}

/// Brings the stack of a goroutine that the caller is about to resume back.
#[cold]
pub(super) fn restore(g: &Goroutine, context: usize) {
    g.clear_flag(FLAG_COMPACTED);
    crate::stack::compact::restore(context);
}

/// The machine in the header of a suspended goroutine's stack. Only for the caller that
/// has readied it.
#[cold]
pub(super) fn machine_of_compacted(context: usize) -> Option<ptr::NonNull<()>> {
    ptr::NonNull::new(crate::stack::compact::machine_of_compacted(context)?)
}

/// Sysmon's part in it.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// When the current pass began, and whether it is over.
    began_ms: u32,
    over: bool,
    /// From its beginning to that of the next one.
    pause_ms: u32,
    pending: bool,
    /// A P has picked a goroutine since the pass began, which may be parked now.
    ran: bool,
    /// Stacks that were ever compacted, when the pass began.
    compacted_count: u64,
    /// The process holds so much that compacting comes first.
    pressed: bool,
}

fn compacted_count() -> u64 {
    crate::stack::compaction_stats().compacted_count
}

/// Above this share of the machine's memory, one in so many, a runtime that
/// compacts gives it as much of sysmon's time as it takes: the rest must last
/// for what the pass does not reach in time. Chosen, not measured.
const PRESSURE_SHARE: u64 = 4;

impl Rounds {
    /// Whether any P may have picked a goroutine since the last call.
    pub(super) fn saw(&mut self, picked: bool) {
        self.ran |= picked;
    }

    /// How long sysmon may sleep before there is more to do, while no P runs;
    /// `None`: for ever.
    pub(super) fn next_pass(&self) -> Option<Duration> {
        (self.pending || self.ran).then(|| match self.over {
            true => Duration::from_millis(self.pause_ms.into()),
            false => Duration::from_millis(1),
        })
    }
}

/// Goes on with the sweep: a little if goroutines run, more if none does.
pub(super) fn sweep_stacks(shared: &'static Shared, rounds: &mut Rounds, running: bool) {
    let now_ms = (crate::sys::clock::now_ns() / 1_000_000) as u32;
    if rounds.over {
        if now_ms.wrapping_sub(rounds.began_ms) < rounds.pause_ms {
            return;
        }
        rounds.over = false;
        rounds.began_ms = now_ms;
        rounds.ran = false;
        rounds.compacted_count = compacted_count();
        rounds.pressed = shared.shrink_options.compact && is_pressed(shared);
        let pause = sweep_policy(shared, rounds).after / PASSES;
        rounds.pause_ms = u32::try_from(pause.as_millis())
            .unwrap_or(u32::MAX)
            .max(PASS_MS);
    }
    let policy = sweep_policy(shared, rounds);
    let steps = match running && !rounds.pressed {
        true => 1,
        false => IDLE_STEPS,
    };
    for _ in 0..steps {
        (rounds.over, rounds.pending) = match sweep::step(now_ms, policy) {
            Progress::More => (false, true),
            Progress::Done { pending } => {
                let count = compacted_count() - rounds.compacted_count;
                if count != 0 {
                    shared.record(Kind::Compact, count, 0);
                }
                (true, pending)
            }
            // That thread may have passed some of ours already.
            Progress::Busy => (true, true),
            Progress::Nothing => (true, false),
        };
        if rounds.over {
            break;
        }
    }
}

fn sweep_policy(shared: &Shared, rounds: &Rounds) -> Policy {
    let after = shared.shrink_options.after;
    Policy {
        after: match rounds.pressed {
            true => after.min(Duration::from_nanos(TIME_SLICE_NS)),
            false => after,
        },
    }
}

fn is_pressed(shared: &Shared) -> bool {
    shared.reads_files()
        && memory::resident_bytes()
            .zip(memory::total_bytes())
            .is_some_and(|(resident, total)| resident > total / PRESSURE_SHARE)
}
