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
//!   before it, which ends after [`STREAK_NS`].
//! - Goroutines whose P was retaken wait in a list of their own, in the global queue or,
//!   pinned, of their M. They run if nothing else is runnable, and once in
//!   [`LONG_TURN_NS`]. While there are hogs, the low class gets some of those turns.
//! - An M that queues for a P waits as long as its own last turn took
//!   ([`fair_wait_ns`](super::machine::Machine::fair_wait_ns)): not at all if it has rested or got mail since.

use super::poll;
use super::this_m::ThisM;
use std::ptr;
use std::sync::atomic::Ordering;

use super::global_queue::GlobalClass;
use super::processor::{Own, Processor};
use super::shared::Shared;
use crate::goroutine::{FRESH, Goroutine};
use crate::sys::clock;

/// Picks between two checks of the global queue: Go's and tokio's figure, a prime so
/// that it does not coincide with a period of the program.
pub(super) const SCHED_TICKS: u32 = 61;

/// Picks of `run_next` between two readings of the clock: they share one time slice,
/// and a reading at each pick would cost too much.
const STREAK_CHECK: u32 = 16;

/// How long such a chain may run before the queue has its turn, in nanoseconds. A time
/// and not a count: by count a pair with much work gets nearly all of the time beside a
/// pair with little. Short for the goroutines in the queue, but long enough that the
/// change from one chain to the next costs nothing beside it.
const STREAK_NS: u64 = 50_000;

/// The same by count, where the order is seeded and must not depend on time.
const SEEDED_STREAK: u32 = 128;

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
    pick_local(m, p)
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
    let (run_next, others) = match m.shared().pinned {
        true => (&m.run_next, m.has_mail() || m.pinned_len() != 0),
        false => (&p.run_next, m.shared().order.is_some()),
    };
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    if others
        || !ptr::eq(run_next.load(Ordering::Relaxed), joiner)
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

/// Step 5.
#[inline(always)]
fn pick_local(m: ThisM, p: &'static Processor) -> Option<&'static Goroutine> {
    if m.shared().pinned {
        return pick_pinned(m, p);
    }
    if m.shared().order.is_some() {
        shuffle(m, p);
    }
    let next = p.run_next.load(Ordering::Relaxed);
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    if !next.is_null() {
        p.run_next.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: records are type-stable.
        let next: &'static Goroutine = unsafe { &*next };
        own.streak = own.streak.wrapping_add(1);
        if own.streak % STREAK_CHECK != 0 || p.queue.is_empty() || !streak_ends(m, own) {
            return Some(next);
        }
        // The chain has had its slice: it goes behind the others.
        super::ready::push_back(m, p, next);
    }
    own.streak = 0;
    begin_slice(p);
    // SAFETY: entries are records, which are type-stable.
    p.queue.pop().map(|g| unsafe { g.as_ref() })
}

/// True if a chain through `run_next` has used up its slice; asked once in
/// [`STREAK_CHECK`] picks.
#[inline(never)]
fn streak_ends(m: ThisM, own: &mut Own) -> bool {
    if m.shared().order.is_some() {
        return own.streak >= SEEDED_STREAK;
    }
    let now = clock::now_ns();
    if own.streak == STREAK_CHECK {
        own.streak_began_ns = now;
        return false;
    }
    now - own.streak_began_ns >= STREAK_NS
}

/// With a seeded order: turns the queue by a random number of places, and may
/// put `run_next` into it.
#[cold]
#[inline(never)]
fn shuffle(m: ThisM, p: &'static Processor) {
    let Some(order) = &m.shared().order else {
        return;
    };
    let mut rng = order.lock();
    let next = p.run_next.load(Ordering::Relaxed);
    if !next.is_null() && rng.below(2) == 0 {
        p.run_next.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: records are type-stable.
        super::ready::push_back(m, p, unsafe { &*next });
    }
    if p.queue.len() < 2 {
        return;
    }
    for _ in 0..rng.below(p.queue.len().min(16)) {
        if let Some(g) = p.queue.pop() {
            // There is room: one was just taken out.
            let _ = p.queue.push(g);
        }
    }
}

/// In a pinned runtime. The most frequent picks are inlined and call no function: no
/// mail, and `run_next` within its slice, or only goroutines that have started here.
#[inline(always)]
fn pick_pinned(m: ThisM, p: &'static Processor) -> Option<&'static Goroutine> {
    if m.has_mail() || m.shared().order.is_some() {
        return pick_pinned_slow(m, p);
    }
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    let next = m.run_next.load(Ordering::Relaxed);
    if next.is_null() {
        if !p.queue.is_empty() {
            return pick_by_turns(m, p);
        }
        own.streak = 0;
        own.mail_had_turn = false;
        begin_slice(p);
        return m.pop_pinned();
    }
    let streak = own.streak.wrapping_add(1);
    if streak % STREAK_CHECK == 0 {
        return pick_pinned_slow(m, p);
    }
    own.streak = streak;
    own.mail_had_turn = false;
    m.run_next.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: records are type-stable.
    Some(unsafe { &*next })
}

/// [`pick_pinned`], whatever waits.
#[inline(never)]
fn pick_pinned_slow(m: ThisM, p: &'static Processor) -> Option<&'static Goroutine> {
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    let pop = || m.pop_pinned();
    let push = |g| m.push_pinned(g);
    if let Some(order) = &m.shared().order
        // An M that only looks draws no number.
        && m.pinned_len() > 1
    {
        let mut rng = order.lock();
        for _ in 0..rng.below(m.pinned_len().min(16) as u32) {
            if let Some(g) = pop() {
                push(g);
            }
        }
    }
    // Mail has every other pick: its sender may wait for the answer on
    // another M, which rests meanwhile. It uses up no slice, and
    // `run_next` stays where it is.
    if m.has_mail() && !own.mail_had_turn {
        own.mail_had_turn = true;
        begin_slice(p);
        return m.pop_mail();
    }
    let next = m.run_next.load(Ordering::Relaxed);
    if !next.is_null() {
        m.run_next.store(ptr::null_mut(), Ordering::Relaxed);
        own.mail_had_turn = false;
        // SAFETY: records are type-stable.
        let next: &'static Goroutine = unsafe { &*next };
        own.streak = own.streak.wrapping_add(1);
        if own.streak % STREAK_CHECK != 0 || !streak_ends(m, own) {
            return Some(next);
        }
        push(next);
    }
    pick_by_turns(m, p)
}

/// After `run_next`, in a pinned runtime: goroutines that have started and others.
#[inline(never)]
fn pick_by_turns(m: ThisM, p: &'static Processor) -> Option<&'static Goroutine> {
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    let pop = || m.pop_pinned();
    own.streak = 0;
    begin_slice(p);
    // Those that have not started come from the P's queue; every other pick
    // begins there, so that neither side starves the other. But while another
    // M can take them they are for that one: what starts here stays here, with
    // those that it talks to or not.
    let others_take = || {
        let idle = &m.shared().idle;
        idle.processors_count() != 0 || idle.spinning_count.load(Ordering::Relaxed) != 0
    };
    let fresh_first = own.fresh_first && !others_take();
    // SAFETY: entries are records, which are type-stable.
    let fresh = || p.queue.pop().map(|g| unsafe { g.as_ref() });
    let found = match fresh_first {
        true => fresh().or_else(pop),
        false => pop().or_else(fresh),
    };
    own.fresh_first ^= found.is_some();
    own.mail_had_turn = false;
    if found.is_none() && m.has_mail() {
        own.mail_had_turn = true;
        return m.pop_mail();
    }
    found
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

#[inline(always)]
pub(super) fn count_pick(p: &Processor) {
    p.picks.store(
        p.picks.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

#[inline(always)]
pub(super) fn begin_slice(p: &Processor) {
    p.slices.store(
        p.slices.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
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
    if let Some(g) = pick_local(m, p) {
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
        .or_else(|| pick_local(m, p))
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
