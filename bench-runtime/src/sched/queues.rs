//! The operations of both schedulers on a P's queue and the global one.

use std::ptr::NonNull;

use super::global_queue::GlobalClass;
use super::processor::{Own, Processor, ThisP};
use super::shared::Shared;
use super::this_m::ThisM;
use super::wake;
use crate::goroutine::{Goroutine, List, Priority};
use crate::sys::clock;
use crate::threads::spin::SLEEP_COST_NS;

/// Picks of `run_next` between two readings of the clock, which cost too much for each pick.
/// Chosen, not measured.
pub(super) const STREAK_CHECK: u32 = 16;

/// How long a chain may run while goroutines wait in the queue. If picks were counted instead, a
/// pair with much work would get nearly all of the time beside a pair with little. The time is that
/// of waking another thread; a change of chains costs little beside it.
const STREAK_NS: u64 = SLEEP_COST_NS;

/// Wakes an M if a P is idle and no M spins.
#[inline(always)]
pub(super) fn push_back(m: ThisM, p: ThisP, g: &'static Goroutine) {
    push_back_quietly(p, g);
    wake::wake_one(m.shared());
}

#[inline(always)]
pub(super) fn push_back_quietly(p: ThisP, g: &'static Goroutine) {
    if p.queue.push(NonNull::from(g)).is_err() {
        overflow(p, g);
    }
}

/// Half of a full queue, and `g`, go to the P's overflow.
#[cold]
#[inline(never)]
fn overflow(p: ThisP, g: &'static Goroutine) {
    let mut batch = List::new();
    // SAFETY: entries are records, which are type-stable.
    p.queue.take_half(|g| batch.push(unsafe { g.as_ref() }));
    batch.push(g);
    p.overflow.push(batch);
}

pub(super) fn push_global(shared: &'static Shared, g: &'static Goroutine) {
    let class = GlobalClass::from(Priority::of(g));
    if class == GlobalClass::High {
        shared.attention.add();
    }
    shared.global.push(class, g);
}

/// Called once in [`STREAK_CHECK`] picks: true if the chain's time is over.
#[inline(never)]
pub(super) fn streak_ends(m: ThisM, own: &Own) -> bool {
    if m.shared().order.is_some() {
        // Counts picks: a seeded order must not depend on time.
        return own.streak.get() >= 8 * STREAK_CHECK;
    }
    let now = clock::now_ns();
    if own.streak.get() == STREAK_CHECK {
        own.streak_began_ns.set(now);
        return false;
    }
    now - own.streak_began_ns.get() >= STREAK_NS
}

#[inline(always)]
pub(super) fn begin_slice(p: &Processor) {
    Processor::count(&p.slices, 1);
}

/// Wakes an M if a P is idle and no M spins.
pub(super) fn submit_global(shared: &'static Shared, g: &'static Goroutine) {
    push_global(shared, g);
    wake::wake_one(shared);
}
