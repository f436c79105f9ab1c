//! The end of a wait of any parkable: a goroutine, a thread or a future.

use std::task::Waker;

use super::processor::ThisP;
use super::shared::Shared;
use super::this_m::ThisM;
use super::{newproc, ready as goroutines, wakers};
use crate::goroutine::pending::Pending;
use crate::goroutine::thread::ThreadRecord;
use crate::goroutine::{Goroutine, Kind, Parkable};
use crate::stack::StackError;

/// Ends a wait. Called exactly once for each park.
#[inline(always)]
pub(crate) fn ready(who: Parkable) {
    match who.head().kind {
        Kind::Goroutine => goroutines::ready_goroutine(Goroutine::of(who)),
        Kind::Thread | Kind::Future => ready_non_goroutine(who),
    }
}

/// For a parkable that is no goroutine.
#[inline(never)]
pub(super) fn ready_non_goroutine(who: Parkable) {
    match who.head().kind {
        Kind::Future => Pending::of(who)
            .complete()
            .into_iter()
            .for_each(wakers::wake),
        _ => ThreadRecord::of(who).ready(),
    }
}

/// For a caller that is inside and holds a P.
#[inline(always)]
pub(crate) fn ready_inside(m: ThisM, p: ThisP, who: Parkable) {
    match who.head().kind {
        Kind::Thread | Kind::Future => ready_non_goroutine(who),
        Kind::Goroutine => goroutines::ready_on(m, p, Goroutine::of(who)),
    }
}

/// Readies all, and then wakes the tasks among them: a task may wait again at once, in the queue
/// from which `all` come. Only for a caller that holds no lock.
pub(crate) fn ready_all(all: impl IntoIterator<Item = Parkable>) {
    let mut wakers = Vec::new();
    for who in all {
        ready_later(who, &mut wakers);
    }
    wakers.into_iter().for_each(wakers::wake);
}

/// The caller calls the `wakers` ([`wake`](super::wakers::wake)) when all are readied.
pub(crate) fn ready_later(who: Parkable, wakers: &mut Vec<Waker>) {
    match who.head().kind {
        Kind::Future => wakers.extend(Pending::of(who).complete()),
        _ => ready(who),
    }
}

/// Ends a goroutine that has never run, and the wait of its joiner.
pub(crate) fn abandon(
    shared: &'static Shared,
    g: &'static Goroutine,
    error: Option<Box<StackError>>,
) {
    if let Some(who) = newproc::abandon(shared, g, error) {
        ready(who);
    }
}
