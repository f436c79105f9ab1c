//! Shared by the primitives: parking in a queue, and waking its waiters.
//!
//! # The protocol
//!
//! 1. The waiter takes the queue's lock, finds that it must wait, and calls
//!    [`park_in`] or [`park_in_until`], which enqueue it and unlock.
//! 2. The waker takes waiters out under the lock, sets [`WOKEN`] in
//!    their tags, unlocks, and readies them.
//! 3. A timed wait that finds no [`WOKEN`] has timed out. Its waiter is still enqueued, and must be
//!    removed.

use std::ops::DerefMut;
use std::ptr::NonNull;

use crate::goroutine::{WaitQueue, WaitReason, Waiter};
use crate::sched;

/// In a waiter's tag: the wait was ended by a dequeue.
pub(super) const WOKEN: u32 = 1;

pub(super) trait Queued {
    fn queue(&mut self) -> &mut WaitQueue;
}

impl Queued for WaitQueue {
    fn queue(&mut self) -> &mut WaitQueue {
        self
    }
}

/// Enqueues the goroutine at the end of the queue, parks until it is woken, and returns the tag.
/// The primitive defines the meaning of `elem`. Blocks the goroutine.
pub(super) fn park_in<G>(guard: G, reason: WaitReason, object: *const (), elem: *mut ()) -> u32
where
    G: DerefMut<Target: Queued>,
{
    park_at(guard, reason, object, elem, false)
}

/// As [`park_in`], at the front of the queue if `front`.
pub(super) fn park_at<G>(
    mut guard: G,
    reason: WaitReason,
    object: *const (),
    elem: *mut (),
    front: bool,
) -> u32
where
    G: DerefMut<Target: Queued>,
{
    let me = sched::prepare_park(reason, object);
    // SAFETY: the record's own waiter is free for a wait on one queue. It does not move, and we
    // stay parked until it has been dequeued.
    let waiter = unsafe {
        let waiter = sched::own_waiter(me, elem);
        let queue = guard.queue();
        if front {
            queue.enqueue_front(waiter);
        } else {
            queue.enqueue(waiter);
        }
        waiter
    };
    drop(guard);
    sched::park(me);
    // SAFETY: dequeued, so ours alone.
    unsafe { (*waiter).tag.get() }
}

/// As [`park_in`], until `deadline_ns` at the latest. Returns true if the caller was woken. After a
/// time-out, `expired` must remove the waiter under the lock.
pub(super) fn park_in_until<G>(
    mut guard: G,
    reason: WaitReason,
    object: *const (),
    elem: *mut (),
    deadline_ns: u64,
    expired: impl FnOnce(NonNull<Waiter>),
) -> bool
where
    G: DerefMut<Target: Queued>,
{
    let me = sched::prepare_park(reason, object);
    let ticket = me.ticket();
    let mut waiter = Waiter::multi(me, ticket, elem, 0);
    let waiter = &raw mut waiter;
    // SAFETY: it does not move until it has been dequeued; after a time-out `expired` removes it.
    unsafe { guard.queue().enqueue(waiter) };
    drop(guard);
    sched::park_until(me, ticket, deadline_ns);
    // SAFETY: the wait is over, so no other thread writes the tag.
    let woken = unsafe { (*waiter).tag.get() } & WOKEN != 0;
    if !woken {
        // SAFETY: the address of a live object is not null.
        expired(unsafe { NonNull::new_unchecked(waiter) });
    }
    woken
}

/// Waiters that were dequeued and must be readied once the lock is free.
#[must_use = "whoever was dequeued must be readied"]
pub(super) struct Woken(WaitQueue);

impl Woken {
    pub(super) fn none() -> Self {
        Self(WaitQueue::new())
    }

    /// All waiters of the queue, and their number. The caller holds the queue's lock.
    pub(super) fn all_of(queue: &mut WaitQueue) -> (Self, usize) {
        let (mut woken, mut count) = (Self::none(), 0);
        while let Some(waiter) = queue.dequeue() {
            // SAFETY: just dequeued.
            unsafe { woken.add(waiter, WOKEN) };
            count += 1;
        }
        (woken, count)
    }

    /// Adds a waiter, and sets the bits of `tag` in its tag.
    ///
    /// # Safety
    ///
    /// The caller dequeued and claimed it, and does not use it from now on.
    pub(super) unsafe fn add(&mut self, waiter: NonNull<Waiter>, tag: u32) {
        // SAFETY: alive until its owner is readied, which we do; it is in no queue.
        unsafe {
            let cell = &waiter.as_ref().tag;
            cell.set(cell.get() | tag);
            self.0.enqueue(waiter.as_ptr());
        }
    }

    /// Readies the waiters in the order in which they waited.
    pub(super) fn ready(self) {
        self.ready_each(|_| ());
    }

    /// As [`Self::ready`]; calls `look` with each waiter before it readies the owner.
    pub(super) fn ready_each(mut self, mut look: impl FnMut(&Waiter)) {
        while let Some(waiter) = self.0.first() {
            // SAFETY: in our list, and alive until its owner is readied.
            let owner = unsafe {
                self.0.remove(waiter.as_ptr());
                look(waiter.as_ref());
                waiter.as_ref().owner
            };
            sched::ready(owner);
        }
        sched::give_way();
    }
}
