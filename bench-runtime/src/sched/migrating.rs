//! The scheduler whose goroutines move from M to M, as in Go. Any M with a P runs any goroutine.
//!
//! | a goroutine that is        | goes to                                       |
//! |----------------------------|-----------------------------------------------|
//! | readied on a P, or spawned by `go` | the P's `run_next`; the one that was there, to the queue |
//! | the same, while the runtime is *eager* | the end of the P's queue          |
//! | found by an M's poll, or yields | the end of the P's queue                 |
//! | of the high or the low class | its list in the global queue                |
//! | locked to an M             | that M, which queues for a P                  |
//! | readied from outside, or spawned otherwise | the global queue              |
//! | a hog of the normal class, at its next call | the list of hogs in the global queue |
//!
//! *Spawned otherwise* is by `GoBuilder::go`, in a scope, by a `Handle` or by a timer. A timer of
//! a channel sends within the poll: the goroutine that receives is readied on the P of the M that
//! polls. Goroutines that sysmon's polls find are readied from outside.
//!
//! # Eager
//!
//! A goroutine in `run_next` wakes no M: mostly the goroutine that readied it parks soon. If
//! sysmon finds the same goroutine there in two rounds, without a pick between them, and a P is
//! idle, sysmon moves that goroutine to the global queue and makes the runtime *eager* for a
//! while: then readied goroutines go to the end of the queue, where idle Ps steal them at once.

use std::sync::atomic::Ordering;

use super::current::machine_of_started;
use super::processor::ThisP;
use super::queues::{
    STREAK_CHECK, begin_slice, push_back, push_back_quietly, streak_ends, submit_global,
};
use super::shared::Shared;
use super::this_m::ThisM;
use super::wake;
use crate::goroutine::header::goroutine_of;
use crate::goroutine::{FLAG_LOCKED, Goroutine};
use crate::stack::StackHeader;
use crate::threads::{set_bound, starter};

/// Flags that keep a goroutine off the fast path.
const SPECIAL: u8 = FLAG_LOCKED | (0b11 << crate::goroutine::FLAG_PRIORITY_SHIFT);

#[inline(always)]
pub(super) fn ready(m: ThisM, p: ThisP, g: &'static Goroutine) {
    if g.has_flag(SPECIAL) {
        return submit(m.shared(), g);
    }
    if m.shared().eager.load(Ordering::Relaxed) {
        return push_back(m, p, g);
    }
    let old = p.run_next.load(Ordering::Relaxed);
    p.run_next.store(Some(g), Ordering::Release);
    if let Some(old) = old {
        push_back(m, p, old);
    }
}

/// As [`ready`], but behind the goroutines that wait already. Only a goroutine with a flag of
/// [`SPECIAL`] wakes an M.
pub(super) fn ready_in_turn(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match g.has_flag(SPECIAL) {
        true => submit(m.shared(), g),
        false => push_back_quietly(p, g),
    }
}

#[inline(always)]
pub(super) fn yielded(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match g.has_flag(SPECIAL) {
        true => submit(m.shared(), g),
        false => push_back(m, p, g),
    }
}

/// For a goroutine without a P, or with a flag of [`SPECIAL`].
#[cold]
#[inline(never)]
pub(super) fn submit(shared: &'static Shared, g: &'static Goroutine) {
    if g.has_flag(FLAG_LOCKED)
        && let Some(m) = machine_of_started(g)
    {
        m.locked_ready.store(true, Ordering::Release);
        return wake::notify_machine(shared, m);
    }
    submit_global(shared, g);
}

/// The chain through `run_next` while its time slice lasts, then the queue.
#[inline(always)]
pub(super) fn next(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    if m.shared().order.is_some() {
        shuffle(m, p);
    }
    let own = p.own();
    if let Some(next) = p.run_next.load(Ordering::Relaxed) {
        p.run_next.store(None, Ordering::Relaxed);
        let streak = own.streak.get().wrapping_add(1);
        own.streak.set(streak);
        if !streak.is_multiple_of(STREAK_CHECK) || p.queue.is_empty() || !streak_ends(m, own) {
            return Some(next);
        }
        // The chain has used up its time slice.
        push_back(m, p, next);
    }
    own.streak.set(0);
    begin_slice(&p);
    p.pop()
}

/// With a seeded order: rotates the queue by a random number of places, and may put `run_next` into
/// it.
#[cold]
#[inline(never)]
fn shuffle(m: ThisM, p: ThisP) {
    let Some(order) = &m.shared().order else {
        return;
    };
    let mut rng = order.lock();
    if let Some(next) = p.run_next.load(Ordering::Relaxed)
        && rng.below(2) == 0
    {
        p.run_next.store(None, Ordering::Relaxed);
        push_back(m, p, next);
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

#[inline(always)]
pub(super) fn joiner_may_wait(m: ThisM, p: ThisP, joiner: *const Goroutine) -> bool {
    p.run_next.is(joiner, Ordering::Relaxed) && m.shared().order.is_none()
}

pub(super) fn lock_os_thread(header: &StackHeader) {
    // While this thread's state is still unchanged.
    starter();
    goroutine_of(header).set_flag(FLAG_LOCKED);
    set_bound(true);
}

pub(super) fn unlock_os_thread(header: &StackHeader) {
    set_bound(false);
    goroutine_of(header).clear_flag(FLAG_LOCKED);
}

/// The goroutine keeps its thread, because std counts panics by thread.
pub(super) fn prepare_unwinding_park(header: &StackHeader) {
    goroutine_of(header).set_flag(FLAG_LOCKED);
}

pub(super) fn blocks_on_helper(header: &StackHeader, has_room: bool) -> bool {
    !has_room && header.pins.get() == 0 && !std::thread::panicking()
}

pub(super) fn waits_for_p(g: &Goroutine) -> bool {
    g.has_flag(FLAG_LOCKED) || std::thread::panicking()
}
