//! A queue of [`Waiter`]s.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use super::parkable::{Kind, Parkable, Waiter};
use super::wait_reason::WaitReason;
use super::{FLAG_COMPACTED, FLAG_RUNTIME_STOPPED, FRESH, Goroutine, RUNNING_BIT};

/// First in, first out. The caller holds the lock of the primitive to which the queue belongs.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    head: *mut Waiter,
    tail: *mut Waiter,
}

// SAFETY: the queue is used only under its primitive's lock, and the waiters in it do not move
// until they are dequeued.
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    pub(crate) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// # Safety
    ///
    /// The waiter does not move, and is in no other queue, until it has been dequeued or removed.
    #[inline]
    pub(crate) unsafe fn enqueue(&mut self, waiter: *mut Waiter) {
        // SAFETY: the caller gives a live waiter; the tail is in the queue and so alive by the same
        // promise.
        unsafe {
            (*waiter).next.set(ptr::null_mut());
            (*waiter).prev.set(self.tail);
            match NonNull::new(self.tail) {
                Some(tail) => tail.as_ref().next.set(waiter),
                None => self.head = waiter,
            }
        }
        self.tail = waiter;
    }

    /// For a waiter that has lost a mutex to a newcomer, or the sender of a value that was put back
    /// into its channel.
    ///
    /// # Safety
    ///
    /// As for [`Self::enqueue`].
    pub(crate) unsafe fn enqueue_front(&mut self, waiter: *mut Waiter) {
        // SAFETY: as in `enqueue`.
        unsafe {
            (*waiter).prev.set(ptr::null_mut());
            (*waiter).next.set(self.head);
            match NonNull::new(self.head) {
                Some(head) => head.as_ref().prev.set(waiter),
                None => self.tail = waiter,
            }
        }
        self.head = waiter;
    }

    /// Takes the first waiter whose wait is not over; the caller must ready its owner, once. Drops
    /// waiters whose ticket another thread has claimed. Also drops waiters of goroutines whose
    /// runtime has stopped, because these goroutines would never unlock a lock. Does not drop such
    /// a waiter if it waits for a channel.
    #[inline]
    pub(crate) fn dequeue(&mut self) -> Option<NonNull<Waiter>> {
        while let Some(first) = NonNull::new(self.head) {
            // SAFETY: it is in the queue, and so alive.
            unsafe { self.remove(first.as_ptr()) };
            // SAFETY: unlinked under the lock. Its owner does not end the wait before it was
            // readied or has taken this lock to remove the waiter.
            let waiter = unsafe { first.as_ref() };
            if waiter.claim_if_multi() && prepare_to_ready(waiter.owner) {
                return Some(first);
            }
        }
        None
    }

    pub(crate) fn first(&self) -> Option<NonNull<Waiter>> {
        NonNull::new(self.head)
    }

    /// Returns whether the waiter was still in the queue.
    ///
    /// # Safety
    ///
    /// The waiter is alive and is in this queue or in none.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, waiter: *mut Waiter) -> bool {
        // SAFETY: the caller gives a live waiter; its neighbours are in the queue and so alive.
        unsafe {
            let next = (*waiter).next.get();
            let prev = (*waiter).prev.get();
            if prev.is_null() && self.head != waiter {
                return false;
            }
            match NonNull::new(prev) {
                Some(prev) => prev.as_ref().next.set(next),
                None => self.head = next,
            }
            match NonNull::new(next) {
                Some(next) => next.as_ref().prev.set(prev),
                None => self.tail = prev,
            }
            (*waiter).next.set(ptr::null_mut());
            (*waiter).prev.set(ptr::null_mut());
        }
        true
    }
}

pub(crate) fn has_runtime_stopped(owner: Parkable) -> bool {
    owner.head().flags.load(Ordering::Relaxed) & FLAG_RUNTIME_STOPPED != 0
}

/// False for a goroutine whose runtime has stopped, unless it waits for a channel. Else restores
/// the stack if it is compacted: the caller usually writes to it next, and a page fault would cost
/// three times as much.
#[inline(always)]
fn prepare_to_ready(owner: Parkable) -> bool {
    owner.head().flags.load(Ordering::Relaxed) & (FLAG_COMPACTED | FLAG_RUNTIME_STOPPED) == 0
        || prepare_to_ready_slow(owner)
}

#[cold]
#[inline(never)]
fn prepare_to_ready_slow(owner: Parkable) -> bool {
    if owner.head().kind != Kind::Goroutine {
        return true;
    }
    let g = Goroutine::of(owner);
    // A channel still takes the value of a sender whose runtime has stopped, and gives such a
    // receiver a value.
    let by_channel = matches!(
        WaitReason::from_u8(owner.head().reason.load(Ordering::Relaxed)),
        WaitReason::ChanSend | WaitReason::ChanRecv | WaitReason::Select
    );
    if has_runtime_stopped(owner) && !by_channel {
        return false;
    }
    let context = g.context.load(Ordering::Acquire);
    if g.has_flag(FLAG_COMPACTED) && context != FRESH && context & RUNNING_BIT == 0 {
        crate::stack::compact::restore(context);
    }
    true
}
