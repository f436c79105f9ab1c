//! Making goroutines runnable, from wherever. In which queue, and whether an M is woken, is
//! the scheduler's to say: see the tables of [`super::migrating`] and [`super::pinned`].

use std::ptr;

use super::locate::shared_of;
use super::processor::ThisP;
use super::shared::Shared;
use super::this_m::ThisM;
use super::{current, scheduler};
use crate::goroutine::{Goroutine, Status};
use crate::recorder::ANY;
use crate::sys::fork;

/// Ends the wait of a goroutine.
#[inline]
pub(crate) fn ready_goroutine(g: &'static Goroutine) {
    let Some(header) = current::header() else {
        return ready_from_thread(g);
    };
    let m = current::machine_of(header);
    let (p, was_inside) = m.enter();
    match p {
        Some(p) => ready_on(m, p, g),
        None => ready_outside(g),
    }
    m.leave(was_inside);
}

#[cold]
fn ready_outside(g: &'static Goroutine) {
    g.set_status(Status::Runnable);
    submit(shared_of(g), g);
}

/// The caller is no goroutine: a plain thread, or an M on g0, which is inside.
#[cold]
fn ready_from_thread(g: &'static Goroutine) {
    let machine = current::thread_machine();
    match machine.and_then(|m| Some((m, m.held()?))) {
        Some((m, p)) => ready_on(m, p, g),
        None => ready_outside(g),
    }
}

/// Ends the wait of a goroutine, for a caller that is inside and holds P.
#[inline(always)]
pub(super) fn ready_on(m: ThisM, p: ThisP, g: &'static Goroutine) {
    g.set_status(Status::Runnable);
    if !ptr::eq(shared_of(g), m.shared()) {
        return submit(shared_of(g), g);
    }
    if p.recorder.watches(ANY) {
        p.recorder.note_ready(g);
    }
    scheduler::ready(m, p, g);
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
    shared.recorder.note_ready(g);
    scheduler::submit(shared, g);
}
