//! Making goroutines runnable, from any thread. [`super::migrating`] and [`super::pinned`] choose
//! the queue, and whether an M is woken.

use std::ptr;

use super::current::{self, shared_of};
use super::processor::ThisP;
use super::scheduler;
use super::shared::Shared;
use super::this_m::ThisM;
use crate::goroutine::{Goroutine, Status};
use crate::recorder::ANY;
use crate::sys::fork;

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

/// For a plain thread, or an M on g0, which is inside.
#[cold]
fn ready_from_thread(g: &'static Goroutine) {
    let machine = current::thread_machine();
    match machine.and_then(|m| Some((m, m.held()?))) {
        Some((m, p)) => ready_on(m, p, g),
        None => ready_outside(g),
    }
}

/// For a caller that is inside and holds a P.
#[inline(always)]
pub(super) fn ready_on(m: ThisM, p: ThisP, g: &'static Goroutine) {
    if begin_ready(m, p, g) {
        scheduler::ready(m, p, g);
    }
}

/// Marks a goroutine as runnable. True if the caller is to queue it; false if it belongs to
/// another runtime, where it is queued already.
#[inline(always)]
pub(super) fn begin_ready(m: ThisM, p: ThisP, g: &'static Goroutine) -> bool {
    g.set_status(Status::Runnable);
    if !ptr::eq(shared_of(g), m.shared()) {
        submit(shared_of(g), g);
        return false;
    }
    if p.recorder.watches(ANY) {
        p.recorder.note_ready(g);
    }
    true
}

/// From a thread without a P.
#[cold]
pub(crate) fn submit(shared: &'static Shared, g: &'static Goroutine) {
    if fork::is_child() {
        // The goroutine is the parent's: this process has none of the runtime's threads.
        return;
    }
    // Keeps the runtime's core: once in a queue, the goroutine may run and end, and the runtime
    // with it.
    let _user = shared.user();
    shared.recorder.note_ready(g);
    scheduler::submit(shared, g);
}
