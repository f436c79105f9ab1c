//! What an M picks without looking at other Ps: steps 3 to 6 of
//! [`super::find_runnable`].
//!
//! # Fairness
//!
//! Goroutines that ready each other must not starve those that compute, nor the other
//! way round. Fairness counts time, never picks: a hog runs for a whole slice after one
//! pick.
//!
//! - A goroutine that is picked from `run_next` shares the time slice of the one picked
//!   before it, which ends after [`STREAK_NS`](super::queues::STREAK_NS).
//! - Goroutines whose P was retaken wait in a list of their own, in the global queue or,
//!   pinned, of their M. They run if nothing else is runnable, and once in
//!   [`LONG_TURN_NS`]. While there are hogs, the low class gets some of those turns.
//! - An M that queues for a P waits as long as its own last turn took
//!   ([`fair_wait_ns`](super::machine::Machine::fair_wait_ns)): not at all if it has rested or got mail since.

use super::poll;
use super::queues::{begin_slice, count_pick};
use super::scheduler;
use super::this_m::ThisM;
use std::ptr;
use std::sync::atomic::Ordering;

use super::global_queue::GlobalClass;
use super::processor::Processor;
use super::shared::Shared;
use crate::goroutine::{FRESH, Goroutine};
use crate::sys::clock;

/// Picks between two checks of the global queue: Go's and tokio's figure, a prime so
/// that it does not coincide with a period of the program.
pub(super) const SCHED_TICKS: u32 = 61;

/// How often hogs get a turn while others keep a P busy, in nanoseconds. A turn lasts
/// half of this, so hogs get half of the time.
const LONG_TURN_NS: u64 = 20_000_000;

/// The most that one pick takes from the global queue.
const GLOBAL_SHARE: usize = super::run_queue::CAPACITY as usize / 2;

/// Step 5, by the goroutine that parks; `None`: switch to g0 and pick there.
#[inline(always)]
pub(crate) fn pick_fast(m: ThisM, p: &'static Processor) -> Option<&'static Goroutine> {
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    own.sched_tick += 1;
    count_pick(p);
    if own.sched_tick >= SCHED_TICKS
        || p.notice.load(Ordering::Relaxed)
        || m.shared().attention.get() != 0
    {
        return None;
    }
    scheduler::next(m, p)
}

/// For a goroutine that has ended and readied `joiner`: the next fresh goroutine, to
/// run before the joiner, unless that would pass over others that wait.
#[inline(always)]
pub(super) fn pick_ahead(
    m: ThisM,
    p: &'static Processor,
    joiner: *const Goroutine,
) -> Option<&'static Goroutine> {
    // SAFETY: entries are records, which are type-stable.
    let first = unsafe { p.queue.first()?.as_ref() };
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    if !scheduler::lets_pass(m, p, joiner)
        || own.sched_tick + 1 >= SCHED_TICKS
        || p.notice.load(Ordering::Relaxed)
        || m.shared().attention.get() != 0
        || first.context.load(Ordering::Relaxed) != FRESH
    {
        return None;
    }
    own.sched_tick += 1;
    own.streak = 0;
    count_pick(p);
    begin_slice(p);
    // SAFETY: as above.
    p.queue.pop().map(|g| unsafe { g.as_ref() })
}

/// After [`pick_fast`] found nothing: true if a yield need not switch to g0 either.
pub(crate) fn nothing_elsewhere(m: ThisM, p: &'static Processor) -> bool {
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    own.sched_tick < SCHED_TICKS
        && !p.notice.load(Ordering::Relaxed)
        && m.shared().attention.get() == 0
        && m.shared().global.is_empty()
}

/// By the holder of a P that was retaken from a hog: the next turn of hogs comes
/// when others have had as long as a turn takes. Else, on a host that keeps a hog
/// off the CPU for long, its end would be the beginning of the next one's.
pub(super) fn end_long_turn(p: &'static Processor) {
    // SAFETY: the caller holds P, which no M has.
    let own = unsafe { p.own() };
    let since_ns = clock::now_ns() - LONG_TURN_NS / 2;
    own.long_turn_ns = own.long_turn_ns.max(since_ns);
}

/// Steps 3 to 6, without the netpoller.
pub(super) fn pick_on_g0(
    shared: &'static Shared,
    m: ThisM,
    p: &'static Processor,
    turn: bool,
) -> Option<&'static Goroutine> {
    if turn && let Some(g) = pick_in_turn(shared, m, p) {
        return Some(g);
    }
    if shared.global.len(GlobalClass::High) != 0
        && let Some(g) = pop_high(shared)
    {
        begin_slice(p);
        return Some(g);
    }
    if let Some(g) = scheduler::next(m, p) {
        return Some(g);
    }
    let share = (shared.global.len(GlobalClass::Normal) / shared.procs() + 1).min(GLOBAL_SHARE);
    let first = shared.global.pop(GlobalClass::Normal, share, |g| {
        if p.queue.push(ptr::NonNull::from(g)).is_err() {
            crate::fatal::fatal!(
                "a queue that was empty has no room for a share of the global queue"
            );
        }
    });
    first.or_else(|| pop_preempted(shared, m))
}

/// Step 3: once in [`SCHED_TICKS`] picks every class below the high one comes
/// first, so that none starves.
#[inline(never)]
fn pick_in_turn(
    shared: &'static Shared,
    m: ThisM,
    p: &'static Processor,
) -> Option<&'static Goroutine> {
    // SAFETY: we hold P on our own stack.
    let own = unsafe { p.own() };
    own.sched_tick = 0;
    own.given_at_tick = false;
    own.turns = own.turns.wrapping_add(1);
    let turns = own.turns;
    begin_slice(p);
    if turns % 4 == 0 {
        p.watch_next();
        poll::poll_net(shared, m, p);
    }
    if turns % 2 == 0
        && !shared.hogs_about.load(Ordering::Relaxed)
        && let Some(g) = shared.global.pop_one(GlobalClass::Low)
    {
        return Some(g);
    }
    shared
        .global
        .pop_one(GlobalClass::Normal)
        .or_else(|| scheduler::next(m, p))
}

/// Before all that: a goroutine whose P was retaken, if it is their turn. While there
/// are hogs, the low class, which may have hogs too, gets every fourth such turn.
/// `turn`: the global queue is to be checked.
pub(super) fn pick_long(
    shared: &'static Shared,
    m: ThisM,
    p: &'static Processor,
    turn: bool,
) -> Option<&'static Goroutine> {
    let waits = |class| turn && shared.global.len(class) != 0;
    let preempted = m.has_preempted() || waits(GlobalClass::Preempted);
    let low = shared.hogs_about.load(Ordering::Relaxed) && waits(GlobalClass::Low);
    if !(preempted || low) || shared.attention.get() != 0 {
        return None;
    }
    // SAFETY: we hold P on our own stack.
    let own = unsafe { p.own() };
    let now = clock::now_ns();
    if now - own.long_turn_ns < LONG_TURN_NS {
        return None;
    }
    own.long_turn_ns = now;
    own.long_turns = own.long_turns.wrapping_add(1);
    begin_slice(p);
    match low && (!preempted || own.long_turns % 4 == 0) {
        true => shared
            .global
            .pop_one(GlobalClass::Low)
            .or_else(|| pop_preempted(shared, m)),
        false => pop_preempted(shared, m),
    }
}

fn pop_preempted(shared: &'static Shared, m: ThisM) -> Option<&'static Goroutine> {
    m.pop_preempted()
        .or_else(|| shared.global.pop_one(GlobalClass::Preempted))
}

fn pop_high(shared: &'static Shared) -> Option<&'static Goroutine> {
    let g = shared.global.pop_one(GlobalClass::High);
    if g.is_some() {
        shared.attention.sub();
    }
    g
}
