//! Pending futures, which wait in queues without parking.
//!
//! The thread that readies a record wakes the task that polled its future last. A record serves
//! one wait at a time. Records are never freed, because a shutdown may read the kind of a record
//! whose address has just been taken out of a goroutine's `join`.
//!
//! | `state`    | meaning                                               | next            |
//! |------------|-------------------------------------------------------|-----------------|
//! | `Waiting`  | may be in a queue; the waker is the last poll's       | `Ready`; on the free list if its future ends the wait |
//! | `Unpolled` | in a queue and no longer polled; the thread that readies it frees a value | on the free list |
//! | `Ready`    | was readied; the future takes the result              | on the free list |

use std::mem;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::task::{Poll, Waker};

use super::{Head, Kind, Parkable};
use crate::util::lock::Lock;

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Pending {
    head: Head,
    state: Lock<State>,
}

#[derive(Debug)]
enum State {
    Ready,
    Waiting(Waker),
    Unpolled(Unpolled),
}

#[derive(Debug)]
struct Unpolled {
    data: *mut (),
    free: unsafe fn(*mut ()),
}

// SAFETY: by the promise of `Pending::leave` any thread may free it.
unsafe impl Send for Unpolled {}

static FREE: Lock<Vec<&'static Pending>> = Lock::new(Vec::new());

impl Pending {
    fn take(state: State) -> &'static Self {
        let spare = FREE.lock().pop();
        let Some(pending) = spare else {
            return Box::leak(Box::new(Self {
                head: Head {
                    status: AtomicU8::new(0),
                    kind: Kind::Future,
                    reason: AtomicU8::new(0),
                    flags: AtomicU8::new(0),
                    ticket: AtomicU32::new(0),
                },
                state: Lock::new(state),
            }));
        };
        *pending.state.lock() = state;
        pending
    }

    pub(crate) fn new(waker: &Waker) -> &'static Self {
        Self::take(State::Waiting(waker.clone()))
    }

    /// A record that no future polls. The thread that readies it calls `free` with `data`.
    ///
    /// # Safety
    ///
    /// Any thread may make that call, once.
    pub(crate) unsafe fn leave(data: *mut (), free: unsafe fn(*mut ())) -> &'static Self {
        Self::take(State::Unpolled(Unpolled { data, free }))
    }

    /// Puts the record on the free list. It must be in no queue, and no thread may be about to
    /// ready it.
    pub(crate) fn give_back(&'static self) {
        // Dropped outside the lock, because a waker's destructor is foreign code.
        let _waker = mem::replace(&mut *self.state.lock(), State::Ready);
        FREE.lock().push(self);
    }

    pub(crate) fn of(parkable: Parkable) -> &'static Self {
        debug_assert_eq!(parkable.head().kind, Kind::Future);
        // SAFETY: the head is the first field of a record that is never freed.
        unsafe { &*parkable.as_ptr().cast() }
    }

    pub(crate) fn parkable(&'static self) -> Parkable {
        // SAFETY: records are never freed, and begin with their head. Made from the whole record,
        // so that `of` may reach all of it.
        unsafe { Parkable::from_head(NonNull::from(self).cast()) }
    }

    /// True if the record was readied. Else the thread that readies it will wake `waker`.
    pub(crate) fn is_ready(&self, waker: &Waker) -> bool {
        match &*self.state.lock() {
            State::Waiting(known) if known.will_wake(waker) => return false,
            State::Waiting(_) => {}
            _ => return true,
        }
        // Cloned and dropped outside the lock, because a waker's functions are foreign code.
        let mut other = waker.clone();
        match &mut *self.state.lock() {
            State::Waiting(known) => mem::swap(known, &mut other),
            _ => return true,
        }
        false
    }

    /// Polls the wait in `slot`. `Ready(true)` if the wait has ended: `slot` is then empty.
    /// `Ready(false)` if `slot` was empty before.
    pub(crate) fn poll(slot: &mut Option<&'static Self>, waker: &Waker) -> Poll<bool> {
        let Some(pending) = *slot else {
            return Poll::Ready(false);
        };
        if !pending.is_ready(waker) {
            return Poll::Pending;
        }
        pending.give_back();
        *slot = None;
        Poll::Ready(true)
    }

    /// Blocks the thread until the record is readied. Another thread has dequeued it, and readies
    /// it a few instructions later.
    pub(crate) fn wait_ready(&self) {
        while !matches!(&*self.state.lock(), State::Ready) {
            std::thread::yield_now();
        }
    }

    /// Readies the record. The caller must wake the returned waker.
    pub(crate) fn complete(&'static self) -> Option<Waker> {
        let was = mem::replace(&mut *self.state.lock(), State::Ready);
        match was {
            State::Waiting(waker) => Some(waker),
            State::Unpolled(unpolled) => {
                // SAFETY: by the promise of `leave`; a record is readied once.
                unsafe { (unpolled.free)(unpolled.data) };
                self.give_back();
                None
            }
            State::Ready => None,
        }
    }
}
