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

/// Picks of `run_next` between two readings of the clock: they share one time slice,
/// and a reading at each pick would cost too much. Chosen, not measured.
pub(super) const STREAK_CHECK: u32 = 16;

/// How long such a chain may run before those in the queue, in nanoseconds. A time and not a count:
/// by count a pair with much work gets nearly all of the time beside a pair with little. As long as
/// it takes to wake another thread for those in the queue: the change from one chain to the next
/// costs little beside that.
const STREAK_NS: u64 = SLEEP_COST_NS;

/// Puts a goroutine at the end of the P's queue, and wakes an M for it if one
/// should be.
#[inline(always)]
pub(super) fn push_back(m: ThisM, p: ThisP, g: &'static Goroutine) {
    push_back_quietly(m, p, g);
    wake::wake_one(m.shared());
}

/// As [`push_back`], but wakes no M.
#[inline(always)]
pub(super) fn push_back_quietly(m: ThisM, p: ThisP, g: &'static Goroutine) {
    if p.queue.push(NonNull::from(g)).is_err() {
        overflow(m.shared(), p, g);
    }
}

/// Moves half of a full queue, and one more, to the global queue.
#[cold]
#[inline(never)]
pub(super) fn overflow(shared: &'static Shared, p: ThisP, g: &'static Goroutine) {
    let mut batch = List::new();
    // SAFETY: entries are records, which are type-stable.
    p.queue.take_half(|g| batch.push(unsafe { g.as_ref() }));
    batch.push(g);
    shared.global.push_normal(&mut batch);
}

/// Appends to the global queue.
pub(super) fn push_global(shared: &'static Shared, g: &'static Goroutine) {
    let class = GlobalClass::from(Priority::of(g));
    if class == GlobalClass::High {
        shared.attention.add();
    }
    shared.global.push(class, g);
}

/// True if a chain through `run_next` has used up its time slice; checked once in
/// [`STREAK_CHECK`] picks.
#[inline(never)]
pub(super) fn streak_ends(m: ThisM, own: &Own) -> bool {
    if m.shared().order.is_some() {
        // By count: the order must not depend on time.
        return own.streak.get() >= 8 * STREAK_CHECK;
    }
    let now = clock::now_ns();
    if own.streak.get() == STREAK_CHECK {
        own.streak_began_ns.set(now);
        return false;
    }
    now - own.streak_began_ns.get() >= STREAK_NS
}

/// Begins a new time slice.
#[inline(always)]
pub(super) fn begin_slice(p: &Processor) {
    Processor::count(&p.slices, 1);
}

/// Appends to the global queue, and wakes an M for it if one should be.
pub(super) fn submit_global(shared: &'static Shared, g: &'static Goroutine) {
    push_global(shared, g);
    wake::wake_one(shared);
}
