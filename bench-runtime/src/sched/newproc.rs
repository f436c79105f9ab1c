//! New goroutines: Go's `newproc`.

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::processor::{Processor, ThisP};
use super::ready;
use super::shared::{Admission, RunState, Shared};
use crate::goroutine::{
    Details, FRESH, Goroutine, JOIN_DETACHED, JOIN_DONE, JOIN_LOST, JOIN_OPEN, Parkable, Status,
    body,
};
use crate::stack::StackError;
use crate::sys::fork;
use crate::threads::waker;
use crate::util::panic::without_panic;

#[inline(always)]
pub(crate) fn new_record(
    shared: &'static Shared,
    p: ThisP,
    site: &'static Location<'static>,
    join: usize,
) -> &'static Goroutine {
    let own = p.own();
    let g = p.take_record(shared.slab());
    if own.next_id == own.end_id {
        // Go's figure.
        let count = 16;
        let first = shared.next_id.fetch_add(count, Ordering::Relaxed);
        own.next_id.set(first);
        own.end_id.set(first + count);
    }
    let id = own.next_id.get();
    own.next_id.set(id + 1);
    Processor::count(&p.spawned_count, 1);
    begin(g, id, site, join);
    g.set_status(Status::Runnable);
    g
}

#[inline(always)]
pub(super) fn begin(g: &Goroutine, id: u64, site: &'static Location<'static>, join: usize) {
    g.set_site(site);
    // Release: a dump that reads the number sees this site, not the last goroutine's.
    g.id.store(id, Ordering::Release);
    g.head.flags.store(0, Ordering::Relaxed);
    g.head.reason.store(0, Ordering::Relaxed);
    g.context.store(FRESH, Ordering::Relaxed);
    g.join.store(join, Ordering::Relaxed);
}

/// Spawns a detached goroutine from a timer's call. No code of the program runs on the caller's
/// stack, not even the destructor of `f`.
pub(crate) fn by_timer(shared: &'static Shared, f: impl FnOnce() + Send + 'static) {
    // SAFETY: as in `go`.
    let put = |g| unsafe { body::put_detached(g, f) };
    let g = record_outside(shared, Location::caller(), JOIN_DETACHED, None, put);
    if admit(shared, g) {
        return;
    }
    let user = shared.user();
    let abandon_apart = Box::new(move || {
        // Detached: there is no joiner.
        abandon(user.shared(), g, None);
    });
    if let Err((error, _)) = waker::run(abandon_apart) {
        crate::fatal::fatal!("{error}; a timer is to drop a function");
    }
}

/// A record for [`admit`], with the closure that `put` stores in it.
#[track_caller]
pub(crate) fn record_outside(
    shared: &'static Shared,
    site: &'static Location<'static>,
    join: usize,
    settings: Option<(Box<Details>, u8)>,
    put: impl FnOnce(&'static Goroutine),
) -> &'static Goroutine {
    assert!(
        !fork::is_child(),
        "this is the child of a fork, which has none of the runtime's threads: fork before the \
         runtime is built"
    );
    let g = shared.take_record_outside();
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    begin(g, id, site, join);
    if let Some((details, flags)) = settings {
        g.head.flags.store(flags, Ordering::Relaxed);
        g.set_details(details);
    }
    put(g);
    shared.recorder.note_spawn(g);
    g
}

/// Makes a goroutine of [`record_outside`] runnable. False if the runtime stops: then the caller
/// must abandon the goroutine.
pub(crate) fn admit(shared: &'static Shared, g: &'static Goroutine) -> bool {
    let Some(_admission) = Admission::begin(shared) else {
        return false;
    };
    if shared.run_state() == RunState::Stuck {
        shared.change_run_state(RunState::Stuck, RunState::Running);
    }
    // Not earlier: a shutdown drops all goroutines that are runnable and fresh, once there is no
    // admission.
    g.set_status(Status::Runnable);
    ready::submit(shared, g);
    true
}

/// Ends a goroutine that has never run. The caller readies the joiner that this returns.
pub(super) fn abandon(
    shared: &'static Shared,
    g: &'static Goroutine,
    error: Option<Box<StackError>>,
) -> Option<Parkable> {
    // SAFETY: it is off every queue and never ran.
    unsafe { (g.vtable().abandon)(g, error) };
    g.set_status(Status::Dead);
    match g.join.swap(JOIN_DONE, Ordering::AcqRel) {
        JOIN_OPEN | JOIN_LOST => None,
        JOIN_DETACHED => {
            // SAFETY: it ended and no handle exists.
            without_panic(|| unsafe { (g.vtable().drop_outcome)(g) });
            shared.recycle_outside(g);
            None
        }
        // SAFETY: by the table of `join` it is a parkable's head.
        waiting => NonNull::new(waiting as *mut _).map(|head| unsafe { Parkable::from_head(head) }),
    }
}
