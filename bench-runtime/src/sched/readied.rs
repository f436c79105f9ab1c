//! The end of a wait, of whatever kind it is that waits: a goroutine, a thread, a
//! future.

use std::ptr;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::locate::shared_of;
use super::pending::{self, Pending};
use super::processor::ThisP;
use super::shared::Shared;
use super::this_m::ThisM;
use super::thread::ThreadRecord;
use super::{newproc, ready as goroutines};
use crate::goroutine::{
    Goroutine, JOIN_DETACHED, JOIN_DONE, JOIN_LOST, JOIN_OPEN, Kind, Parkable, Status,
};
use crate::stack::StackError;

/// Ends the wait of a parkable: exactly one ready for each park.
#[inline(always)]
pub(crate) fn ready(who: Parkable) {
    match who.head().kind {
        Kind::Goroutine => goroutines::ready_goroutine(Goroutine::of(who)),
        Kind::Thread | Kind::Future => ready_other(who),
    }
}

/// [`ready`] of what is no goroutine.
#[inline(never)]
pub(super) fn ready_other(who: Parkable) {
    match who.head().kind {
        Kind::Future => Pending::of(who).ready(),
        _ => ThreadRecord::of(who).ready(),
    }
}

/// As [`ready`], for a caller that is inside and holds P.
#[inline(always)]
pub(crate) fn ready_inside(m: ThisM, p: ThisP, who: Parkable) {
    match who.head().kind {
        Kind::Thread | Kind::Future => ready_other(who),
        Kind::Goroutine => goroutines::ready_on(m, p, Goroutine::of(who)),
    }
}

/// Readies all, and then wakes their tasks: such a task may wait again at once where `all`
/// come from. Only for a caller that holds no lock.
pub(crate) fn ready_all(all: impl IntoIterator<Item = Parkable>) {
    let mut wakers = Vec::new();
    for who in all {
        ready_later(who, &mut wakers);
    }
    wakers.into_iter().for_each(pending::wake);
}

/// [`ready`], of one of several: what wakes a task goes to `wakers`, for
/// the caller to [`wake`](super::pending::wake) when all are readied.
pub(crate) fn ready_later(who: Parkable, wakers: &mut Vec<Waker>) {
    match who.head().kind {
        Kind::Future => wakers.extend(Pending::of(who).complete()),
        _ => ready(who),
    }
}

/// Ends a goroutine that never ran, and its joiner's wait.
pub(super) fn abandon(
    shared: &'static Shared,
    g: &'static Goroutine,
    error: Option<Box<StackError>>,
) {
    if let Some(who) = newproc::abandon(shared, g, error) {
        ready(who);
    }
}

/// True of a thread, and of a goroutine of another runtime.
pub(super) fn is_outside(who: Parkable, shared: &'static Shared) -> bool {
    match who.head().kind {
        Kind::Goroutine => !ptr::eq(shared_of(Goroutine::of(who)), shared),
        kind => kind == Kind::Thread,
    }
}

/// Ends the wait of callers outside this runtime that join a goroutine that
/// will not end, and leaves `instead` in its `join`; with [`JOIN_LOST`]
/// also where a handle may yet wait.
pub(super) fn release_joiners(shared: &'static Shared, instead: usize) {
    shared.slab().for_each(|g| {
        if matches!(g.status(), Status::Idle | Status::Dead) {
            return;
        }
        // SeqCst: after the run state; see `spawn::wait_for`.
        let join = g.join.load(Ordering::SeqCst);
        let who = match join {
            JOIN_DETACHED | JOIN_DONE | JOIN_LOST => return,
            JOIN_OPEN => None,
            address => ptr::NonNull::new(address as *mut _)
                // SAFETY: by the table of `join` it is a parkable's head.
                .map(|head| unsafe { Parkable::from_head(head) }),
        };
        let outside = who.is_some_and(|who| match who.head().kind {
            // It is polled where its waker leads, and goes on waiting while
            // goroutines are only stuck.
            Kind::Future => instead == JOIN_LOST,
            _ => is_outside(who, shared),
        });
        if !outside && instead != JOIN_LOST {
            return;
        }
        let changed = g
            .join
            .compare_exchange(join, instead, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        // Those inside do not go on either.
        if let Some(who) = who
            && changed
            && outside
        {
            ready(who);
        }
    });
}
