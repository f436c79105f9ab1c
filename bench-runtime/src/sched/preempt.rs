//! An M without its P, which sysmon has retaken, or which the goroutine gave up for
//! [`crate::runtime::blocking`]. See *Retake* in [`super`].

use std::sync::atomic::Ordering;

use super::current::{self, machine_of};
use super::global_queue::GlobalClass;
use super::processor::ThisP;
use super::shared::Shared;
use super::switch::{leave_for_g0, mcall};
use super::this_m::RETAKEN_COUNT;
use super::{ready, scheduler, wake};
use crate::goroutine::header::goroutine_of;
use crate::goroutine::{Goroutine, Priority, Status, WaitReason};
use crate::stack::StackHeader;

/// At the end of each operation that does not park: a goroutine whose P was retaken queues for one.
/// Else it would run beside the goroutines with a P, without a limit. Only for a caller that holds
/// no lock of the runtime.
#[inline(always)]
pub(crate) fn give_way() {
    if RETAKEN_COUNT.get() != 0 {
        give_way_slow();
    }
}

#[cold]
#[inline(never)]
fn give_way_slow() {
    let Some(header) = current::header() else {
        return;
    };
    // With another status it is about to park, or in a blocking call, which needs no P.
    if !machine_of(header).is_p_retaken() || goroutine_of(header).status() != Status::Running {
        return;
    }
    let (p, was_inside) = machine_of(header).enter();
    if p.is_none() && !was_inside {
        reacquire_p(header);
    }
    machine_of(header).leave(was_inside);
}

/// Acquires a P for the goroutine on this stack, which is inside without one: Go's `exitsyscall`.
/// In a pinned runtime goroutines that wait for its thread run first. It may return on another M.
/// Blocks the goroutine.
#[cold]
#[inline(never)]
pub(crate) fn reacquire_p(header: &'static StackHeader) -> ThisP {
    let shared = machine_of(header).shared();
    scheduler::reacquire_unwinding(shared, || reacquire_p_slow(header))
}

/// For a goroutine that does not unwind, or that keeps its thread.
fn reacquire_p_slow(header: &'static StackHeader) -> ThisP {
    let mut waited_as_hog = false;
    loop {
        let m = machine_of(header);
        let shared = m.shared();
        let g = goroutine_of(header);
        let held = m.held();
        if let Some(p) = held
            && !(waited_as_hog && m.has_inbox())
        {
            return p;
        }
        if m.has_pinned_work() && !shared.is_stopping() {
            g.set_status(Status::Runnable);
            match waited_as_hog || m.is_retaken_from_hog() {
                true => m.queues().hogs.push(g),
                false => m.queues().runnable.push(g),
            }
            leave_for_g0(header, m, g, mcall::SCHEDULE);
            waited_as_hog = false;
            continue;
        }
        if let Some(p) = held {
            return p;
        }
        let mut lists = shared.idle.lock();
        if shared.is_stopping() {
            drop(lists);
            // It never runs again: its stack is not freed, and the thread ends.
            g.head
                .reason
                .store(WaitReason::Suspend as u8, Ordering::Relaxed);
            g.set_status(Status::Waiting);
            leave_for_g0(header, m, g, mcall::SCHEDULE);
            continue;
        }
        if let Some(p) = shared.idle.acquire(&mut lists) {
            drop(lists);
            let p = m.acquire_p(p);
            g.set_status(Status::Running);
            return p;
        }
        if scheduler::waits_for_p(shared, g) {
            waited_as_hog = m.is_retaken_from_hog();
            shared.idle.push_p_waiter(&mut lists, m.machine());
            drop(lists);
            m.sleep();
            continue;
        }
        drop(lists);
        g.set_status(Status::Runnable);
        match m.is_retaken_from_hog() && Priority::of(g) == Priority::Normal {
            true => submit_hog(shared, g),
            false => ready::submit(shared, g),
        }
        leave_for_g0(header, m, g, mcall::SCHEDULE);
    }
}

fn submit_hog(shared: &'static Shared, g: &'static Goroutine) {
    // As in `ready::submit`.
    let _user = shared.user();
    shared.recorder.note_ready(g);
    shared.global.push(GlobalClass::Hog, g);
    wake::wake_one(shared);
}
