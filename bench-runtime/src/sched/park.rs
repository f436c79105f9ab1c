//! Parking, of goroutines and of plain threads: see [`crate::goroutine::parkable`].

use std::sync::atomic::Ordering;

use super::current::{self, machine_of};
use super::processor::ThisP;
use super::switch::{leave_for_g0, leave_stack, leave_stack_for, mcall};
use super::this_m::ThisM;
use super::{pick, preempt, wake};
use crate::debug::contention;
use crate::goroutine::header::goroutine_of;
use crate::goroutine::thread::ThreadRecord;
use crate::goroutine::{
    FLAG_LOCKED, FLAG_UNWINDING, Goroutine, Kind, Parkable, Status, WaitReason, Waiter, claim,
    unwinding,
};
use crate::stack::StackHeader;
use crate::timer::{Action, Armed};

#[cfg(test)]
pub(crate) fn current() -> Parkable {
    match current::header() {
        Some(header) => goroutine_of(header).parkable(),
        None => thread_record().parkable(),
    }
}

// Not inlined: a caller on a goroutine's stack must not keep the address of a thread-local.
#[inline(never)]
fn thread_record() -> &'static ThreadRecord {
    ThreadRecord::current()
}

/// Step 1 of [`crate::goroutine::parkable`]: from here on a ready ends the wait. `object`: shown in
/// dumps.
#[inline(always)]
pub(crate) fn prepare_park(reason: WaitReason, object: *const ()) -> Parkable {
    let Some(header) = current::header() else {
        let me = thread_record().parkable();
        me.head().reason.store(reason as u8, Ordering::Relaxed);
        return me;
    };
    let g = goroutine_of(header);
    if std::thread::panicking() {
        super::scheduler::prepare_unwinding_park(header);
    }
    header.wait_object.set(object);
    g.head.reason.store(reason as u8, Ordering::Relaxed);
    claim::park(&g.head.status, Status::Waiting as u8);
    g.parkable()
}

/// Undoes step 1. Only if no waiter was enqueued, or if all were removed again without a claim by
/// another thread.
#[inline(always)]
pub(crate) fn cancel_park(me: Parkable) {
    me.head()
        .reason
        .store(WaitReason::None as u8, Ordering::Relaxed);
    if me.head().kind == Kind::Goroutine {
        let g = Goroutine::of(me);
        g.set_status(Status::Running);
        if g.has_flag(FLAG_LOCKED | FLAG_UNWINDING)
            && let Some(header) = current::header()
        {
            unwinding::end_park(header);
        }
    }
}

/// A waiter in the parkable's own record, for a wait in one queue, which ends only when the
/// waiter is dequeued. The record's links are in the same place: once the owner is readied, only
/// element and tag of the waiter are left.
///
/// # Safety
///
/// `me` is the caller, which is about to park, and has no other such waiter.
#[inline(always)]
pub(crate) unsafe fn own_waiter(me: Parkable, elem: *mut ()) -> *mut Waiter {
    let waiter = match me.head().kind {
        Kind::Goroutine => Goroutine::of(me).waiter(),
        Kind::Thread | Kind::Future => ThreadRecord::of(me).waiter(),
    };
    // SAFETY: the record has the room, and by the caller's promise the waiter
    // in it is not in use.
    unsafe { waiter.write(Waiter::single(me, elem, 0)) };
    waiter
}

/// Blocks the caller until exactly one [`ready`](super::readied::ready).
#[inline(always)]
pub(crate) fn park(me: Parkable) {
    match contention::times_waits() {
        false => park_untimed(me),
        true => contention::timed(me, current::now_ns, || park_untimed(me)),
    }
}

#[inline(always)]
fn park_untimed(me: Parkable) {
    match me.head().kind {
        Kind::Goroutine => park_goroutine(Goroutine::of(me)),
        Kind::Thread | Kind::Future => ThreadRecord::of(me).park(),
    }
    cancel_park(me);
}

#[inline(always)]
fn park_goroutine(g: &'static Goroutine) {
    // Faster than to find the header from the stack pointer.
    // SAFETY: `g` is the running goroutine, and has arrived; headers live for ever.
    let header: &'static StackHeader =
        unsafe { &*(claim::running_on(&g.context) as *const StackHeader) };
    let m = machine_of(header);
    let (p, _) = m.enter();
    leave_stack(header, m, p, g).leave(false);
}

/// Blocks the caller until a [`ready`](super::readied::ready) or until `deadline_ns` has passed. If
/// it has passed, the ticket was claimed for the caller and no other thread will use its waiters,
/// which the caller must still remove from their queues. All waiters of such a wait are multi.
pub(crate) fn park_until(me: Parkable, ticket: u32, deadline_ns: u64) {
    match contention::times_waits() {
        false => park_until_untimed(me, ticket, deadline_ns),
        true => contention::timed(me, current::now_ns, || {
            park_until_untimed(me, ticket, deadline_ns)
        }),
    }
}

fn park_until_untimed(me: Parkable, ticket: u32, deadline_ns: u64) {
    match me.head().kind {
        Kind::Thread | Kind::Future => ThreadRecord::of(me).park_until(ticket, deadline_ns),
        Kind::Goroutine => {
            let armed = arm(deadline_ns, Action::Wake { who: me, ticket });
            park_goroutine(Goroutine::of(me));
            if let Ok(armed) = armed {
                armed.cancel();
            }
        }
    }
    cancel_park(me);
}

/// Arms a timer of the current runtime: on this P, or on the first one if this thread has none.
/// Outside every runtime the action is returned as the error.
pub(crate) fn arm(when_ns: u64, action: Action) -> Result<Armed, Action> {
    let Some(shared) = current::runtime() else {
        return Err(action);
    };
    let p = match current::header() {
        Some(header) => {
            let m = machine_of(header);
            let (p, was_inside) = m.enter();
            // Outside again: timers may be armed on a P that this M does not hold.
            m.leave(was_inside);
            p
        }
        None => current::thread_machine().and_then(ThisM::held),
    };
    let has_p = p.is_some();
    let Some(p) = p.map(ThisP::processor).or_else(|| shared.procs.get(0)) else {
        return Err(action);
    };
    let (armed, first) = p.timers.arm_here(when_ns, action);
    shared.procs.note_timer(p);
    if first {
        wake::timer_armed(shared, when_ns);
    }
    if !has_p {
        // If no M runs or polls, sysmon fires the timer.
        shared.sysmon_wait.wake();
    }
    Ok(armed)
}

/// Lets other goroutines run first: the caller goes behind those that wait on its P. On a plain
/// thread, yields the thread.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go, yield_now};
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static READY: AtomicBool = AtomicBool::new(false);
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().procs(1).build() }?.run(|| {
///     let other = go(|| READY.store(true, Ordering::Release));
///     while !READY.load(Ordering::Acquire) {
///         yield_now();
///     }
///     other.join().unwrap();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
// Inlined, though it is long: else the CPU would mispredict its return, which costs as much as the
// rest of the call.
#[inline(always)]
pub fn yield_now() {
    let Some(header) = current::header() else {
        return std::thread::yield_now();
    };
    let g = goroutine_of(header);
    let mut m = machine_of(header);
    let (p, _) = m.enter();
    match p {
        None => {
            preempt::reacquire_p(header);
            m = machine_of(header);
        }
        Some(_) if g.has_flag(FLAG_LOCKED) || std::thread::panicking() => {
            m = yield_locked(header, m, g);
        }
        Some(p) => {
            g.set_status(Status::Runnable);
            match pick::pick_fast(m, p) {
                Some(next) => {
                    super::scheduler::yielded(m, p, g);
                    m = leave_stack_for(header, m, p, g, next);
                }
                None if pick::can_skip_g0(m, p) => {}
                None => {
                    super::scheduler::yielded(m, p, g);
                    m = leave_for_g0(header, m, g, mcall::SCHEDULE);
                }
            }
            g.set_status(Status::Running);
        }
    }
    m.leave(false);
}

#[cold]
fn yield_locked(header: &'static StackHeader, m: ThisM, g: &'static Goroutine) -> ThisM {
    if !g.has_flag(FLAG_LOCKED) {
        m.leave(false);
        super::scheduler::yield_unwinding(m.shared(), yield_now);
        m.enter();
        return m;
    }
    g.set_status(Status::Runnable);
    m.locked_ready.store(true, Ordering::Release);
    let m = leave_stack(header, m, m.held(), g);
    g.set_status(Status::Running);
    m
}
