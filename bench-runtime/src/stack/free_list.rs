//! A last-in, first-out list of free pieces of memory; each piece holds the link to the next. Any
//! thread pushes, also in a signal handler. One thread at a time pops, so there is no ABA problem:
//! the head stays on the list until that thread takes it.
//!
//! The loom model `tests/loom/free_list.rs` runs this source.

use std::ptr::{self, NonNull};

use crate::shim::fixed::{AtomicPtr, UnsafeCell};
use crate::shim::{Ordering, const_fn};

#[derive(Debug)]
pub(crate) struct Link {
    next: UnsafeCell<*mut Link>,
}

#[derive(Debug)]
pub(crate) struct FreeList {
    head: AtomicPtr<Link>,
}

impl FreeList {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                head: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }

    /// # Safety
    ///
    /// No other thread pops meanwhile.
    pub(crate) unsafe fn pop(&self) -> Option<NonNull<Link>> {
        // Acquire, here and below: pairs with the Release in `push`, which follows the writing of
        // the link.
        let mut head = self.head.load(Ordering::Acquire);
        while let Some(first) = NonNull::new(head) {
            // SAFETY: only the caller pops, so this piece is still on the list, and its link is
            // written.
            let next = unsafe { (*first.as_ptr()).next.with(|next| *next) };
            match self
                .head
                .compare_exchange_weak(head, next, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return Some(first),
                Err(now) => head = now,
            }
        }
        None
    }

    /// # Safety
    ///
    /// The piece is the caller's, writable, aligned and large enough for a [`Link`], until it is
    /// popped or the list is forgotten.
    pub(crate) unsafe fn push(&self, piece: NonNull<Link>) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let link = Link {
                next: UnsafeCell::new(head),
            };
            // SAFETY: the piece is the caller's until it is on the list.
            unsafe { piece.write(link) };
            // Release: pairs with the Acquire in `pop`.
            match self.head.compare_exchange_weak(
                head,
                piece.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Forgets the pieces on the list. Only for the thread that pops, while no thread pushes.
    pub(crate) fn forget_all(&self) {
        self.head.store(ptr::null_mut(), Ordering::Relaxed);
    }
}
