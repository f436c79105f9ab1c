//! Parkables, and [`Waiter`]s: their entries in queues.
//!
//! The steps of a wait, in every primitive:
//!
//! 1. `let me = sched::prepare_park(reason, object)`; from here on a thread may ready `me`.
//! 2. Enqueue one [`Waiter`] in each queue, under that queue's lock; unlock.
//! 3. `sched::park(me)` (or `park_until`); it returns once `me` was readied. Each wait has exactly
//!    one call of `ready`.
//!
//! A pending future waits without parking: see `goroutine::pending`.
//!
//! If several threads may end a wait (select, a time-out, a cancel), the wait's waiters are
//! [`Waiter::multi`], with the ticket that was read before step 2. A thread that takes such a
//! waiter must first [`Parkable::claim`] the ticket. Only that thread may write into the waiter's
//! element, and it must then ready the owner. Dequeuing a single waiter claims it.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Head {
    /// Used only for a goroutine.
    pub(crate) status: AtomicU8,
    pub(crate) kind: Kind,
    /// A [`super::WaitReason`].
    pub(crate) reason: AtomicU8,
    /// Used only for a goroutine.
    pub(crate) flags: AtomicU8,
    /// See [`super::ticket`].
    pub(crate) ticket: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Goroutine,
    Thread,
    Future,
}

/// A goroutine, a plain OS thread or a pending future. The memory behind it is type-stable, so a
/// stale `Parkable` may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Parkable(NonNull<Head>);

// SAFETY: a `Parkable` only gives access to the atomics of its head; everything else behind it is
// reached only by unsafe code with rules of its own.
unsafe impl Send for Parkable {}
// SAFETY: as above.
unsafe impl Sync for Parkable {}

impl Parkable {
    /// # Safety
    ///
    /// The head must be the first field of type-stable memory.
    pub(crate) unsafe fn from_head(head: NonNull<Head>) -> Self {
        Self(head)
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> *mut Head {
        self.0.as_ptr()
    }

    #[inline]
    pub(crate) fn head(&self) -> &Head {
        // SAFETY: type-stable memory, and all fields are atomics or constant.
        unsafe { self.0.as_ref() }
    }

    /// The ticket of the next wait. Only for the goroutine, thread or task that will wait.
    #[inline]
    pub(crate) fn ticket(self) -> u32 {
        self.head().ticket.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn claim(self, ticket: u32) -> bool {
        super::ticket::claim(&self.head().ticket, ticket)
    }
}

/// A wait on one queue without a time limit uses the waiter in the record (see
/// `sched::own_waiter`). Other waiters are on the parked stack, in a future or in a box.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Waiter {
    pub(super) next: Cell<*mut Waiter>,
    pub(super) prev: Cell<*mut Waiter>,
    pub(crate) owner: Parkable,
    /// For the primitive's own use: for example the address of the value to hand over.
    pub(crate) elem: Cell<*mut ()>,
    pub(crate) ticket: u32,
    /// For the primitive's own use, except for the bit [`MULTI`].
    pub(crate) tag: Cell<u32>,
}

/// In [`Waiter::tag`]: taking this waiter needs a claim.
pub(crate) const MULTI: u32 = 1 << 31;

impl Waiter {
    pub(crate) fn single(owner: Parkable, elem: *mut (), tag: u32) -> Self {
        Self {
            next: Cell::new(ptr::null_mut()),
            prev: Cell::new(ptr::null_mut()),
            owner,
            elem: Cell::new(elem),
            ticket: 0,
            tag: Cell::new(tag),
        }
    }

    pub(crate) fn multi(owner: Parkable, ticket: u32, elem: *mut (), tag: u32) -> Self {
        Self {
            next: Cell::new(ptr::null_mut()),
            prev: Cell::new(ptr::null_mut()),
            owner,
            elem: Cell::new(elem),
            ticket,
            tag: Cell::new(tag | MULTI),
        }
    }

    /// Claims the ticket of a [`Self::multi`] waiter. True too for a [`Self::single`] waiter.
    pub(super) fn claim_if_multi(&self) -> bool {
        self.tag.get() & MULTI == 0 || self.owner.claim(self.ticket)
    }
}
