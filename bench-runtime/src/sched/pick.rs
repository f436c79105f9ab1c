//! The picks of an M that does not check other Ps: steps 3 to 6 of [`super::find_runnable`].
//!
//! # Fairness
//!
//! Goroutines that ready each other must not starve goroutines that compute, nor the reverse.
//! Fairness counts time, not picks: a hog runs for a whole time slice after one pick.
//!
//! - A *time slice*, as in Go, begins with each pick, except a pick from `run_next`: the goroutines
//!   of a chain share a time slice of [`STREAK_NS`](super::queues::STREAK_NS).
//! - Hogs wait in a list of their own. They run if nothing else is runnable, and for one time
//!   slice in two ([`TIME_SLICE_NS`]). While there are hogs, the low class gets every fourth of
//!   those turns.
//! - The first M that queues for a P waits as long as it held its last P, a time slice at most: see
//!   [`fair_wait_ns`](super::machine::Machine::fair_wait_ns).

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::global_queue::GlobalClass;
use super::machine::TIME_SLICE_NS;
use super::processor::{Processor, ThisP};
use super::queues::begin_slice;
use super::shared::Shared;
use super::this_m::ThisM;
use super::{poll, run_queue, scheduler};
use crate::goroutine::{FRESH, Goroutine};
use crate::sys::clock;

/// Picks between two checks of the global queue: Go's and tokio's figure, a prime, which should
/// not coincide with a period of the program.
pub(super) const SCHED_TICKS: u32 = 61;

/// Step 5, called by the goroutine that parks. `None`: the caller must switch to g0, which picks.
#[inline(always)]
pub(crate) fn pick_fast(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    let tick = p.own().sched_tick.get() + 1;
    p.own().sched_tick.set(tick);
    Processor::count(&p.picks, 1);
    match must_switch_to_g0(m, p, tick) {
        true => None,
        false => scheduler::next(m, p),
    }
}

#[inline(always)]
fn must_switch_to_g0(m: ThisM, p: ThisP, tick: u32) -> bool {
    tick >= SCHED_TICKS || p.notice.load(Ordering::Relaxed) || m.shared().attention.get() != 0
}

/// Called when a goroutine has ended and readied `joiner`. Returns the next fresh goroutine, to run
/// before the joiner; `None` if it would also run before other goroutines that wait.
#[inline(always)]
pub(super) fn pick_ahead(
    m: ThisM,
    p: ThisP,
    joiner: *const Goroutine,
) -> Option<&'static Goroutine> {
    // SAFETY: entries are records, which are type-stable.
    let first = unsafe { p.queue.first()?.as_ref() };
    let own = p.own();
    let tick = own.sched_tick.get() + 1;
    if !scheduler::joiner_may_wait(m, p, joiner)
        || must_switch_to_g0(m, p, tick)
        || first.context.load(Ordering::Relaxed) != FRESH
    {
        return None;
    }
    own.sched_tick.set(tick);
    own.streak.set(0);
    Processor::count(&p.picks, 1);
    begin_slice(&p);
    p.pop()
}

/// After [`pick_fast`] has found nothing: true if a goroutine that yields may continue without a
/// switch to g0.
pub(crate) fn can_skip_g0(m: ThisM, p: ThisP) -> bool {
    !must_switch_to_g0(m, p, p.own().sched_tick.get())
        && m.shared().global.is_empty()
        && p.overflow.is_empty()
}

/// The next turn of the hogs begins a time slice from now at the earliest. Called by the holder of
/// a P that was retaken from a hog. Otherwise, if the host had kept the hog off the CPU, the next
/// turn would begin at once.
pub(super) fn delay_hog_turn(p: ThisP) {
    let since_ns = clock::now_ns() - TIME_SLICE_NS;
    let last_ns = &p.own().hog_turn_began_ns;
    last_ns.set(last_ns.get().max(since_ns));
}

/// Steps 3 to 6; step 3 only if `tick_due`.
pub(super) fn pick_on_g0(
    shared: &'static Shared,
    m: ThisM,
    p: ThisP,
    tick_due: bool,
) -> Option<&'static Goroutine> {
    if tick_due && let Some(g) = pick_global_first(shared, m, p) {
        return Some(g);
    }
    if let Some(g) = shared.global.pop_one(GlobalClass::High) {
        shared.attention.sub();
        begin_slice(&p);
        return Some(g);
    }
    if let Some(g) = scheduler::next(m, p) {
        return Some(g);
    }
    refill(shared, p).or_else(|| pop_hog(shared, m))
}

/// The P's queue is empty. Fills it from the P's overflow or from the global queue, by turns, and
/// returns the first goroutine.
fn refill(shared: &'static Shared, p: ThisP) -> Option<&'static Goroutine> {
    let put = |g| {
        if p.queue.push(NonNull::from(g)).is_err() {
            crate::fatal::fatal!("a queue that was empty has no room for half as many goroutines");
        }
    };
    let from_overflow = || {
        let mut first = None;
        p.overflow.take_newest(|g| match first {
            None => first = Some(g),
            Some(_) => put(g),
        });
        first
    };
    let from_global = || {
        let share = shared.global.len(GlobalClass::Normal) / shared.procs() + 1;
        let share = share.min(run_queue::CAPACITY as usize / 2);
        shared.global.pop(GlobalClass::Normal, share, put)
    };
    let global_first = &p.own().global_first;
    let found = match global_first.get() {
        true => from_global().or_else(from_overflow),
        false => from_overflow().or_else(from_global),
    };
    // Not if it found none: a seeded order must not depend on how often an idle M has searched.
    global_first.set(global_first.get() ^ found.is_some());
    found
}

/// Step 3.
#[inline(never)]
fn pick_global_first(shared: &'static Shared, m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    let own = p.own();
    own.sched_tick.set(0);
    own.p_given_at_tick.set(false);
    let global_checks = own.global_checks.get().wrapping_add(1);
    own.global_checks.set(global_checks);
    begin_slice(&p);
    if global_checks.is_multiple_of(4) {
        p.recorder.time_next();
        poll::poll_net(shared, m, p);
    }
    if global_checks.is_multiple_of(2)
        && !shared.has_recent_hog.load(Ordering::Relaxed)
        && let Some(g) = shared.global.pop_one(GlobalClass::Low)
    {
        return Some(g);
    }
    let from_global = || shared.global.pop_one(GlobalClass::Normal);
    let from_overflow = || p.overflow.pop_oldest();
    // By turns of two checks, because the low class may get every other check.
    let found = match global_checks & 2 == 0 {
        true => from_global().or_else(from_overflow),
        false => from_overflow().or_else(from_global),
    };
    found.or_else(|| scheduler::next(m, p))
}

/// In step 1: returns a hog, if it is the hogs' turn. The low class may have hogs too, and gets
/// every fourth turn. The global queue is checked only if `tick_due`.
pub(super) fn pick_in_hog_turn(
    shared: &'static Shared,
    m: ThisM,
    p: ThisP,
    tick_due: bool,
) -> Option<&'static Goroutine> {
    let waits = |class| tick_due && shared.global.len(class) != 0;
    let hogs = m.queues().has_hogs() || waits(GlobalClass::Hog);
    let low = shared.has_recent_hog.load(Ordering::Relaxed) && waits(GlobalClass::Low);
    if !(hogs || low) || shared.attention.get() != 0 {
        return None;
    }
    let own = p.own();
    let now = clock::now_ns();
    // A turn lasts a time slice, so hogs get half of the time.
    if now - own.hog_turn_began_ns.get() < 2 * TIME_SLICE_NS {
        return None;
    }
    own.hog_turn_began_ns.set(now);
    own.hog_turns.set(own.hog_turns.get().wrapping_add(1));
    begin_slice(&p);
    match low && (!hogs || own.hog_turns.get().is_multiple_of(4)) {
        true => shared
            .global
            .pop_one(GlobalClass::Low)
            .or_else(|| pop_hog(shared, m)),
        false => pop_hog(shared, m),
    }
}

fn pop_hog(shared: &'static Shared, m: ThisM) -> Option<&'static Goroutine> {
    m.queues()
        .hogs
        .pop()
        .or_else(|| shared.global.pop_one(GlobalClass::Hog))
}
