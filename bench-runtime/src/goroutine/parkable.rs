//! Parkables, and [`Waiter`]s: the entries of parkables in queues.
//!
//! A [`Parkable`] is a goroutine, a plain OS thread or a pending future. Primitives
//! treat all of them alike; a pending future waits in the queues of channels and joins
//! without parking (`goroutine::pending`). The steps of a wait, in every primitive:
//!
//! 1. `let me = sched::prepare_park(reason, object)`; from here on a thread may ready `me`.
//! 2. Enqueue one [`Waiter`] in each queue, under that queue's lock; unlock.
//! 3. `sched::park(me)` (or `park_until`); it returns once `me` was readied. Each wait has exactly
//!    one call of `ready`.
//!
//! If several threads may end a wait (select, a time-out, a cancel), its waiters are
//! [`Waiter::multi`], with the ticket that was read before step 2. A thread that takes such a
//! waiter must first [`Parkable::claim`] the ticket. Only the thread that claims it may write into
//! the waiter's element, and it must then ready the owner. Dequeuing a single waiter claims it.
//! The states of the ticket are in [`super::ticket`].

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The first eight bytes of a parkable.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Head {
    /// A goroutine's status; unused for a thread.
    pub(crate) status: AtomicU8,
    /// The kind of parkable to which it belongs.
    pub(crate) kind: Kind,
    /// A [`super::WaitReason`].
    pub(crate) reason: AtomicU8,
    /// A goroutine's flags; unused for a thread.
    pub(crate) flags: AtomicU8,
    /// See [`super::ticket`].
    pub(crate) ticket: AtomicU32,
}

/// The kind of parkable that a [`Head`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Goroutine,
    Thread,
    /// A future that waits in a queue without parking: see `goroutine::pending`.
    Future,
}

/// A goroutine, a plain OS thread or a pending future. The memory behind it is never returned to
/// the allocator or used for another type, so reading a head through a stale `Parkable` is
/// harmless, though meaningless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Parkable(NonNull<Head>);

// SAFETY: a `Parkable` only gives access to the atomics of its head; everything
// else behind it is reached only by unsafe code with rules of its own.
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

    /// The address of the head.
    #[inline]
    pub(crate) fn as_ptr(self) -> *mut Head {
        self.0.as_ptr()
    }

    #[inline]
    pub(crate) fn head(&self) -> &Head {
        // SAFETY: type-stable memory, and all fields are atomics or constant.
        unsafe { self.0.as_ref() }
    }

    /// The ticket of the next wait. Only the goroutine, thread or task that will wait calls it.
    #[inline]
    pub(crate) fn ticket(self) -> u32 {
        self.head().ticket.load(Ordering::Relaxed)
    }

    /// Takes the right to end the wait with this ticket. False: another thread
    /// has it, or the wait is over.
    #[inline]
    pub(crate) fn claim(self, ticket: u32) -> bool {
        super::ticket::claim(&self.head().ticket, ticket)
    }
}

/// One entry in a wait queue. A wait on one queue without a time limit uses the waiter in the
/// record (see `sched::own_waiter`). Other waiters are on the parked stack, in a future or in a
/// box.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Waiter {
    pub(super) next: Cell<*mut Waiter>,
    pub(super) prev: Cell<*mut Waiter>,
    /// The parkable that waits.
    pub(crate) owner: Parkable,
    /// A word of the primitive, such as the address of the value to hand over.
    pub(crate) elem: Cell<*mut ()>,
    /// The ticket, for a multi waiter.
    pub(crate) ticket: u32,
    /// The primitive's own tag, such as how the wait ended. The bit [`MULTI`] belongs to this file.
    pub(crate) tag: Cell<u32>,
}

/// In [`Waiter::tag`]: taking this waiter needs a claim.
pub(crate) const MULTI: u32 = 1 << 31;

impl Waiter {
    /// A waiter that is claimed by being dequeued.
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

    /// A waiter whose ticket must be claimed.
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

    pub(super) fn take(&self) -> bool {
        self.tag.get() & MULTI == 0 || self.owner.claim(self.ticket)
    }
}
