//! Making goroutines runnable, from wherever. In which queue, and whether an M is woken, is
//! the scheduler's to say: see the tables of [`super::migrating`] and [`super::pinned`].

use super::locate::shared_of;
use super::scheduler;
use std::ptr::{self};

use super::current;
use super::shared::Shared;
use super::trace::recorder::ANY;
use crate::goroutine::{Goroutine, Status};
use crate::sys::fork;

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
                scheduler::ready(m, p, g);
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
                scheduler::ready(m, p, g);
            }
            None => submit(m.shared(), g),
        },
        _ => submit(shared_of(g), g),
    }
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
    scheduler::submit(shared, g);
}
