//! Parking and readying, for goroutines and plain threads alike.
//!
//! The protocol is in [`crate::goroutine::waiter`].

use crate::goroutine::{Kind, Parkable, WaitReason, Waiter};
use crate::sched::thread::ThreadRecord;
use crate::sys::clock;

/// Who runs this code.
#[inline]
pub(crate) fn current() -> Parkable {
    ThreadRecord::current().parkable()
}

/// The clock that waits are measured by, in nanoseconds; fake where the
/// runtime's time is fake.
#[inline]
pub(crate) fn now_ns() -> u64 {
    clock::now_ns()
}

/// Step 1 of a wait: from here on a ready counts. `object` is what is waited
/// for, as a dump shows it.
#[inline]
pub(crate) fn prepare_park(reason: WaitReason, object: *const ()) -> Parkable {
    let _ = object;
    let me = current();
    me.head()
        .reason
        .store(reason as u8, std::sync::atomic::Ordering::Relaxed);
    me
}

/// Takes step 1 back; only where nothing was enqueued, or where all that was
/// has been removed again without a claim by others.
#[inline]
pub(crate) fn cancel_park(me: Parkable) {
    me.head()
        .reason
        .store(0, std::sync::atomic::Ordering::Relaxed);
}

/// The waiter that lives in the parkable's own record: one at a time, for a
/// wait on a single queue. Memory to write a [`Waiter`] into.
#[inline]
pub(crate) fn own_waiter(me: Parkable) -> *mut Waiter {
    ThreadRecord::of(me).waiter()
}

/// Blocks the caller until exactly one [`ready`].
#[inline]
pub(crate) fn park(me: Parkable) {
    ThreadRecord::of(me).park();
    cancel_park(me);
}

/// Blocks the caller until a [`ready`] or until `deadline_ns` has passed, in
/// which case the ticket was claimed for the caller and nobody else will touch
/// its waiters, which it must still remove from their queues. All waiters of
/// such a wait are multi.
pub(crate) fn park_until(me: Parkable, ticket: u32, deadline_ns: u64) {
    ThreadRecord::of(me).park_until(ticket, deadline_ns);
    cancel_park(me);
}

/// Ends the wait of a parkable: exactly one ready for each park.
#[inline]
pub(crate) fn ready(who: Parkable) {
    match who.head().kind {
        Kind::Thread => ThreadRecord::of(who).ready(),
        Kind::Goroutine => unreachable!("no goroutine exists yet"),
    }
}

/// Lets others run.
pub(crate) fn yield_now() {
    std::thread::yield_now();
}
