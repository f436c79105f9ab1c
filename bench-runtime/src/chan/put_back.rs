//! Values that were handed to a future, which was dropped before a poll returned them.
//!
//! The send of such a value has returned success, so the value must not be lost. It goes to a
//! receiver that waits, else to the front of the buffer. If the buffer is full, its last value
//! becomes the first entry in the queue of senders, so the order of values does not change. Without
//! a buffer, the value itself becomes that entry. The owner of the entry is not a sender, but a
//! [`Pending`] made for it; the receive of the value frees it. A close does not remove the entry. A
//! channel for ticks drops the value if its buffer holds a newer one, a channel for signals if its
//! buffer holds an equal one ([`KeepRule`]).

use std::mem::{ManuallyDrop, MaybeUninit};
use std::task::Waker;

use super::core::{KeepRule, RETURNED, pass};
use super::typed::Chan;
use crate::goroutine::Waiter;
use crate::goroutine::pending::Pending;
use crate::sched::readied;
use crate::sched::wakers;

struct Returned<T> {
    waiter: MaybeUninit<Waiter>,
    value: MaybeUninit<T>,
}

/// # Safety
///
/// `returned` is a boxed `Returned<T>` that no other code uses.
unsafe fn free<T>(returned: *mut ()) {
    // SAFETY: by the caller's promise.
    drop(unsafe { Box::from_raw(returned.cast::<Returned<T>>()) });
}

enum Destination {
    /// To a waiter; the caller readies its owner.
    Passed(Vec<Waker>),
    Kept,
    Queued,
    /// Nowhere: by the channel's [`KeepRule`] the caller drops it.
    Refused,
}

#[cold]
pub(super) fn put_back<T>(chan: Chan<T>, value: T) {
    let mut value = ManuallyDrop::new(value);
    // Allocated before the lock is taken, although it is rarely needed.
    let returned = Box::into_raw(Box::new(Returned::<T> {
        waiter: MaybeUninit::uninit(),
        value: MaybeUninit::uninit(),
    }));
    // SAFETY: the thread that readies the record has moved the value out of the box, and frees the
    // box. If the record is never queued, it is never readied, and the box is freed below.
    let record = unsafe { Pending::leave(returned.cast(), free::<T>) };
    let destination = put_in_front(chan, &raw const *value, returned, record);
    if matches!(destination, Destination::Queued) {
        return;
    }
    record.give_back();
    // SAFETY: the box was not queued, so no other code has its address.
    unsafe { free::<T>(returned.cast()) };
    match destination {
        Destination::Passed(wakers) => wakers.into_iter().for_each(wakers::wake),
        // SAFETY: the value was not moved, and is not used again.
        Destination::Refused => unsafe { ManuallyDrop::drop(&mut value) },
        Destination::Kept | Destination::Queued => {}
    }
}

/// Moves the value, unless the result is `Destination::Refused`. After `Destination::Queued` the
/// box `returned` is in the queue of senders.
fn put_in_front<T>(
    chan: Chan<T>,
    value: *const T,
    returned: *mut Returned<T>,
    record: &'static Pending,
) -> Destination {
    let core = chan.core();
    core.lock();
    // SAFETY: we hold the lock, and each branch releases it after its last use of the state. The
    // value is moved once; for the receiver's place see `attempt_send`. The place before the head
    // is free. In a full ring it is that of the last value, which moves to the box. The box lives
    // until its value is received.
    unsafe {
        let state = core.state();
        if let Some(receiver) = state.receivers.dequeue() {
            core.unlock();
            let place = receiver.as_ref().elem.get().cast::<T>();
            place.copy_from_nonoverlapping(value, 1);
            let mut wakers = Vec::new();
            readied::ready_later(pass(receiver), &mut wakers);
            return Destination::Passed(wakers);
        }
        let refused = match core.keep_rule {
            KeepRule::All => false,
            KeepRule::One => state.len != 0,
            KeepRule::EachOnce(same) => core.holds(state, value.cast(), same),
        };
        if refused {
            core.unlock();
            return Destination::Refused;
        }
        let is_full = state.len == core.cap;
        let last = (&raw mut (*returned).value).cast::<T>();
        if core.cap == 0 {
            last.copy_from_nonoverlapping(value, 1);
        } else {
            state.head = state.head.checked_sub(1).unwrap_or(core.cap - 1);
            let first = core.place(state.head, 0, size_of::<T>()).cast::<T>();
            if is_full {
                last.copy_from_nonoverlapping(first, 1);
            } else {
                state.len += 1;
            }
            first.copy_from_nonoverlapping(value, 1);
        }
        if is_full {
            let waiter = (&raw mut (*returned).waiter).cast::<Waiter>();
            waiter.write(Waiter::single(record.parkable(), last.cast(), RETURNED));
            state.senders.enqueue_front(waiter);
        }
        core.unlock();
        if is_full {
            Destination::Queued
        } else {
            Destination::Kept
        }
    }
}
