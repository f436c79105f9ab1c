//! Making goroutines runnable: which queue they go to, and which M is woken.
//!
//! # Where a readied goroutine goes
//!
//! | which                                 | where                              |
//! |---------------------------------------|------------------------------------|
//! | locked to an M                        | that M, which queues for a P       |
//! | not of the normal class               | its list in the global queue       |
//! | found by its own M's poll, of timers too | behind what is in the list or queue |
//! | started, in a pinned runtime          | its M's own `run_next` or inbox    |
//! | any other, from inside the runtime    | the P's `run_next`                 |
//! | any other, from outside               | the global queue                   |
//!
//! # When an M is woken for `run_next`
//!
//! Not at once: mostly the goroutine that readied it parks soon, and a wake costs more
//! than the wait. If sysmon finds the same goroutine there in two rounds, it moves it to
//! the global queue and makes the runtime *eager* for a while: then
//! readied goroutines go to the end of the queue, where idle Ps steal them at
//! once. (Waking for each was measured by others at a fifth of throughput, and
//! never waking at 20 times the latency, for different programs: tokio's
//! issues 8065 and 4941.)

use super::locate::header_of_started;
use super::locate::machine_of_started;
use super::locate::shared_of;
use super::this_m::ThisM;
use super::wake;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use super::current;
use super::global_queue::{GlobalClass, Priority};
use super::processor::Processor;
use super::shared::Shared;
use super::trace::recorder::ANY;
use crate::goroutine::{
    CLAIMED_BIT, FLAG_COMPACTED, FLAG_LOCKED, FRESH, Goroutine, List, RUNNING_BIT, Status,
};
use crate::stack::header_of;
use crate::sys::fork;

/// Flags that keep a goroutine off the fast path.
const SPECIAL: u8 = FLAG_LOCKED | (0b11 << crate::goroutine::FLAG_PRIORITY_SHIFT);

/// Ends the wait of a goroutine.
#[inline]
pub(crate) fn ready_goroutine(g: &'static Goroutine) {
    g.set_status(Status::Runnable);
    if let Some(header) = current::header() {
        let m = current::machine_of(header);
        let (p, was_inside) = m.enter();
        match p {
            Some(p) if ptr::eq(m.shared(), shared_of(g)) => {
                if p.watches(ANY) {
                    p.note_ready(g);
                }
                make_runnable(m, p, g);
            }
            _ => submit(shared_of(g), g),
        }
        m.leave(was_inside);
        return;
    }
    ready_from_thread(g);
}

/// The caller is no goroutine: a plain thread, or an M on g0, which is inside.
#[cold]
fn ready_from_thread(g: &'static Goroutine) {
    match current::thread_machine() {
        Some(m) if ptr::eq(m.shared(), shared_of(g)) => match m.held() {
            Some(p) => {
                p.note_ready(g);
                make_runnable(m, p, g);
            }
            None => submit(m.shared(), g),
        },
        _ => submit(shared_of(g), g),
    }
}

/// Puts a goroutine where it will run next on this P, or where it belongs.
#[inline(always)]
pub(crate) fn make_runnable(m: ThisM, p: &'static Processor, g: &'static Goroutine) {
    if m.shared().pinned {
        return make_pinned_runnable(m, p, g);
    }
    if g.has_flag(SPECIAL) {
        return make_special_runnable(m, p, g);
    }
    if m.shared().eager.load(Ordering::Relaxed) != 0 {
        return push_back(m, p, g);
    }
    let old = p.run_next.load(Ordering::Relaxed);
    p.run_next
        .store(ptr::from_ref(g).cast_mut(), Ordering::Release);
    if !old.is_null() {
        // SAFETY: records are type-stable.
        push_back(m, p, unsafe { &*old });
    }
}

/// [`make_special_runnable`] for one that has started on this M, in a pinned
/// runtime. A function of its own that calls no other, so it saves no register.
#[inline(never)]
fn make_pinned_runnable(m: ThisM, p: &'static Processor, g: &'static Goroutine) {
    // Acquire: as in `header_of_started`.
    let context = g.context.load(Ordering::Acquire);
    if context == FRESH || g.has_flag(FLAG_LOCKED | FLAG_COMPACTED) {
        return make_special_runnable(m, p, g);
    }
    match header_of(context & !(RUNNING_BIT | CLAIMED_BIT)) {
        // SAFETY: slots are never unmapped.
        Some(header) if ptr::eq(unsafe { header.as_ref() }.machine.get().cast(), m.machine()) => {
            set_run_next(m, g);
        }
        _ => make_special_runnable(m, p, g),
    }
}

/// In a pinned runtime: has a goroutine of this M run next. Not by an exchange:
/// only this M touches it.
#[inline(always)]
fn set_run_next(m: ThisM, g: &'static Goroutine) {
    let old = m.run_next.load(Ordering::Relaxed);
    m.run_next
        .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
    if !old.is_null() {
        // SAFETY: our own M; records are type-stable.
        unsafe { m.push_pinned(&*old) };
    }
}

#[cold]
#[inline(never)]
fn make_special_runnable(m: ThisM, p: &'static Processor, g: &'static Goroutine) {
    let shared = m.shared();
    if g.has_flag(FLAG_LOCKED) {
        return submit(shared, g);
    }
    if shared.pinned
        && let Some(target) = machine_of_started(g)
    {
        if !ptr::eq(target, m.machine()) {
            target.deliver(g);
            wake::notify_machine(shared, target);
            return;
        }
        set_run_next(m, g);
        return;
    }
    if Priority::of(g) != Priority::Normal {
        return submit(shared, g);
    }
    push_back(m, p, g);
}

/// As [`make_runnable`], but behind the others that wait here, and without waking an
/// M: for a caller that readies several in order.
pub(crate) fn make_runnable_in_turn(m: ThisM, p: &'static Processor, g: &'static Goroutine) {
    if g.has_flag(SPECIAL) {
        return make_special_runnable(m, p, g);
    }
    if !m.shared().pinned {
        return push_back_quietly(m, p, g);
    }
    match machine_of_started(g) {
        Some(own) if ptr::eq(own, m.machine()) => m.push_pinned(g),
        _ => make_special_runnable(m, p, g),
    }
}

/// Puts a goroutine at the end of the P's queue, and wakes an M for it if one
/// should be.
#[inline(always)]
pub(crate) fn push_back(m: ThisM, p: &'static Processor, g: &'static Goroutine) {
    push_back_quietly(m, p, g);
    wake::wake_one(m.shared());
}

/// The same without waking an M: for a caller that calls `wake_one` afterwards.
#[inline(always)]
pub(crate) fn push_back_quietly(m: ThisM, p: &'static Processor, g: &'static Goroutine) {
    if p.queue.push(NonNull::from(g)).is_err() {
        overflow(m.shared(), p, g);
    }
}

/// Puts a goroutine that yields behind the others.
#[inline(always)]
pub(crate) fn push_yielded(m: ThisM, p: &'static Processor, g: &'static Goroutine) {
    if m.shared().pinned {
        return m.push_pinned(g);
    }
    if g.has_flag(SPECIAL) {
        return push_yielded_special(m, g);
    }
    push_back(m, p, g);
}

#[cold]
#[inline(never)]
fn push_yielded_special(m: ThisM, g: &'static Goroutine) {
    if Priority::of(g) != Priority::Normal {
        return submit(m.shared(), g);
    }
    m.push_pinned(g);
}

/// Moves half of a full queue, and one more, to the global queue.
#[cold]
#[inline(never)]
fn overflow(shared: &'static Shared, p: &'static Processor, g: &'static Goroutine) {
    let mut batch = List::new();
    // SAFETY: entries are records, which are type-stable.
    p.queue.take_half(|g| batch.push(unsafe { g.as_ref() }));
    batch.push(g);
    shared.global.push_normal(&mut batch);
}

/// Puts a goroutine back that cannot run at this moment.
pub(crate) fn requeue(shared: &'static Shared, m: ThisM, g: &'static Goroutine) {
    if shared.pinned && header_of_started(g).is_some() {
        // Only its own M dequeues a started goroutine.
        m.deliver(g);
    } else {
        push_global(shared, g);
    }
}

/// Appends to the global queue.
pub(crate) fn push_global(shared: &'static Shared, g: &'static Goroutine) {
    let class = GlobalClass::from(Priority::of(g));
    if class == GlobalClass::High {
        shared.attention.add();
    }
    shared.global.push(class, g);
}

/// Makes a goroutine runnable from outside: from a thread without a P.
#[cold]
pub(crate) fn submit(shared: &'static Shared, g: &'static Goroutine) {
    if fork::is_child() {
        // It is the parent's.
        return;
    }
    // Once it is in a queue it may run and end, and the runtime with it.
    let _user = shared.user();
    shared.note_ready_outside(g);
    if g.has_flag(FLAG_LOCKED)
        && let Some(m) = machine_of_started(g)
    {
        m.locked_ready.store(true, Ordering::Release);
        return wake::notify_machine(shared, m);
    }
    if shared.pinned
        && let Some(m) = machine_of_started(g)
    {
        m.deliver(g);
        return wake::notify_machine(shared, m);
    }
    push_global(shared, g);
    wake::wake_one(shared);
}

/// Queues one of the normal class whose P was retaken, which happens in a
/// migrating runtime only.
pub(super) fn submit_preempted(shared: &'static Shared, g: &'static Goroutine) {
    // As in `submit`.
    let _user = shared.user();
    shared.note_ready_outside(g);
    shared.global.push(GlobalClass::Preempted, g);
    wake::wake_one(shared);
}
