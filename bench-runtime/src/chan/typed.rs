//! The part of a channel that depends on its element type: how values move.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use super::core::{Core, KeepRule, Outcome, Side, complete};
use crate::goroutine::Waiter;
use crate::sched;

/// A pointer to a live channel. Its owner also owns, or borrows, a counted handle. Invariant in
/// `T`, because both ends have the same type.
pub(super) struct Chan<T> {
    core: NonNull<Core>,
    element: PhantomData<*mut T>,
}

impl<T> Clone for Chan<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Chan<T> {}

impl<T> PartialEq for Chan<T> {
    fn eq(&self, other: &Self) -> bool {
        self.core == other.core
    }
}

/// The last handle of the receiving side: its drop first empties the buffer.
struct LastReceiver<T> {
    chan: Chan<T>,
    /// All handles of the other side are dropped as well.
    alone: bool,
}

impl<T> LastReceiver<T> {
    fn drop_values(&self) {
        // SAFETY: if `alone`, this is the last handle, so no other thread holds the lock.
        while !(self.alone && unsafe { self.chan.core().state() }.is_drained()) {
            match self.chan.try_recv() {
                Received::Value(value) => drop(value),
                Received::Empty | Received::Closed => break,
            }
        }
    }
}

impl<T> Drop for LastReceiver<T> {
    fn drop(&mut self) {
        self.drop_values();
        // SAFETY: the last handle of this side; the channel is closed, or has
        // no sender, so the buffer stays empty.
        unsafe { Core::abandon(self.chan.core, Side::Recv, Layout::new::<T>()) };
    }
}

/// The outcome of an attempt. After `Blocked` the channel is still locked.
enum Attempt<R> {
    Done(R),
    Closed,
    Blocked,
}

pub(super) enum Sent<T> {
    Done,
    Full(T),
    Closed(T),
}

pub(super) enum Received<T> {
    Value(T),
    Empty,
    Closed,
}

/// A [`Same`](super::core::Same).
///
/// # Safety
///
/// Both pointers are to values of type `T`.
pub(super) unsafe fn same<T: Eq>(one: *const u8, other: *const u8) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { *one.cast::<T>() == *other.cast::<T>() }
}

impl<T> Chan<T> {
    pub(super) fn allocate(cap: u32, keep_rule: KeepRule) -> Self {
        Self {
            core: Core::allocate(Layout::new::<T>(), cap, keep_rule),
            element: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn core(&self) -> &Core {
        // SAFETY: alive, by the type's promise.
        unsafe { self.core.as_ref() }
    }

    pub(super) fn core_ptr(self) -> NonNull<Core> {
        self.core
    }

    /// The last handle closes the channel.
    pub(super) fn release_sender(self) {
        if self.core().release(Side::Send) {
            if !self.core().is_alone(Side::Send) {
                self.core().close();
            }
            // SAFETY: the last handle of this side; the other side empties the
            // buffer before its last handle is dropped.
            unsafe { Core::abandon(self.core, Side::Send, Layout::new::<T>()) };
        }
    }

    /// The last handle closes the channel, and drops the values in the buffer.
    pub(super) fn release_receiver(self) {
        if self.core().release(Side::Recv) {
            let alone = self.core().is_alone(Side::Recv);
            if !alone {
                self.core().close();
            }
            // If the destructor of a value panics, the drop of `last_receiver` drops the other
            // values.
            let last_receiver = LastReceiver { chan: self, alone };
            last_receiver.drop_values();
        }
    }

    /// Moves the value out of `value` to a receiver or into the buffer.
    ///
    /// # Safety
    ///
    /// `value` is initialised. If this returns `Done`, the caller does not use the value again.
    #[inline(always)]
    unsafe fn attempt_send(&self, value: *const T) -> Attempt<()> {
        self.core().lock();
        // SAFETY: locked; the value is as promised.
        unsafe { self.attempt_send_locked(value) }
    }

    /// As [`Self::attempt_send`], on a channel that the caller has locked.
    ///
    /// # Safety
    ///
    /// As for [`Self::attempt_send`]; and the caller holds the lock, and no longer uses the state.
    #[inline(always)]
    unsafe fn attempt_send_locked(&self, value: *const T) -> Attempt<()> {
        let core = self.core();
        // SAFETY: we hold the lock; each branch except the last unlocks it
        // after its last use of the state. A dequeued waiter at the receiving
        // side has a place for a `T` as its element, and its owner is parked
        // until we complete it. The tail is free: `len < cap`.
        unsafe {
            let state = core.state();
            if state.closed {
                core.unlock();
                return Attempt::Closed;
            }
            if let Some(receiver) = state.receivers.dequeue() {
                core.unlock();
                let place = receiver.as_ref().elem.get().cast::<T>();
                place.copy_from_nonoverlapping(value, 1);
                complete(receiver);
                return Attempt::Done(());
            }
            if state.len < core.cap {
                let tail = core.place(state.head, state.len, size_of::<T>());
                tail.cast::<T>().copy_from_nonoverlapping(value, 1);
                state.len += 1;
                core.unlock();
                return Attempt::Done(());
            }
        }
        Attempt::Blocked
    }

    /// Takes a value out of the buffer or from a waiting sender.
    #[inline(always)]
    fn attempt_recv(&self) -> Attempt<T> {
        let core = self.core();
        core.lock();
        // SAFETY: we hold the lock; each branch except the last unlocks it
        // after its last use of the state. The head is initialised: `len` is
        // not 0. A dequeued waiter at the sending side has a `T` as its
        // element, and its owner is parked until we complete it.
        unsafe {
            let state = core.state();
            if state.len != 0 {
                let head = core.place(state.head, 0, size_of::<T>()).cast::<T>();
                let value = head.read();
                state.head = if state.head + 1 == core.cap {
                    0
                } else {
                    state.head + 1
                };
                match state.senders.dequeue() {
                    // The buffer is full: the sender's value goes to the place of the head.
                    Some(sender) => {
                        let sent_value = sender.as_ref().elem.get().cast::<T>();
                        head.copy_from_nonoverlapping(sent_value, 1);
                        core.unlock();
                        complete(sender);
                    }
                    None => {
                        state.len -= 1;
                        core.unlock();
                    }
                }
                return Attempt::Done(value);
            }
            if let Some(sender) = state.senders.dequeue() {
                core.unlock();
                let value = sender.as_ref().elem.get().cast::<T>().read();
                complete(sender);
                return Attempt::Done(value);
            }
            if state.closed {
                core.unlock();
                return Attempt::Closed;
            }
        }
        Attempt::Blocked
    }

    /// Blocks the goroutine.
    // Inlined, like `recv` and the methods of the handles: an operation that does not wait is
    // short, and after a wait the CPU mispredicts each return from a call.
    #[inline(always)]
    pub(super) fn send(&self, value: T) -> Result<(), T> {
        let value = ManuallyDrop::new(value);
        // SAFETY: initialised, and not used again after `Done`.
        match unsafe { self.attempt_send(&*value) } {
            Attempt::Done(()) => {
                sched::give_way();
                return Ok(());
            }
            Attempt::Closed => {}
            // SAFETY: the attempt left the channel locked.
            Attempt::Blocked => return unsafe { self.wait_to_send(value) },
        }
        Err(ManuallyDrop::into_inner(value))
    }

    /// A separate function, so a send that does not wait need not save registers.
    ///
    /// # Safety
    ///
    /// The caller holds the channel's lock, which this releases.
    #[inline(never)]
    unsafe fn wait_to_send(&self, mut value: ManuallyDrop<T>) -> Result<(), T> {
        let elem = (&raw mut value).cast();
        // SAFETY: locked; the element is the value, which lives here until the wait is over.
        match unsafe { self.core().wait(Side::Send, elem) } {
            Outcome::Passed => Ok(()),
            _ => Err(ManuallyDrop::into_inner(value)),
        }
    }

    pub(super) fn send_until(&self, value: T, deadline_ns: u64) -> Sent<T> {
        let mut value = ManuallyDrop::new(value);
        // SAFETY: as in `send`.
        let outcome = match unsafe { self.attempt_send(&*value) } {
            Attempt::Done(()) => {
                sched::give_way();
                Outcome::Passed
            }
            Attempt::Closed => Outcome::Closed,
            Attempt::Blocked => {
                let elem = (&raw mut value).cast();
                // SAFETY: as in `send`.
                unsafe { self.core().wait_until(Side::Send, elem, deadline_ns) }
            }
        };
        match outcome {
            Outcome::Passed => Sent::Done,
            Outcome::TimedOut => Sent::Full(ManuallyDrop::into_inner(value)),
            Outcome::Closed => Sent::Closed(ManuallyDrop::into_inner(value)),
        }
    }

    #[inline]
    pub(super) fn try_send(&self, value: T) -> Sent<T> {
        let value = ManuallyDrop::new(value);
        // SAFETY: as in `send`.
        match unsafe { self.attempt_send(&*value) } {
            Attempt::Done(()) => Sent::Done,
            Attempt::Closed => Sent::Closed(ManuallyDrop::into_inner(value)),
            Attempt::Blocked => {
                // SAFETY: the attempt left the channel locked.
                unsafe { self.core().unlock() };
                Sent::Full(ManuallyDrop::into_inner(value))
            }
        }
    }

    /// Sends the value at `value`. If that would block, enqueues the waiter, if there is one, and
    /// returns `None`.
    ///
    /// # Safety
    ///
    /// The value is initialised; if this returns `Passed`, the caller does not use it again. The
    /// waiter is in no queue, has the value as its element, and does not move until its owner is
    /// readied or the waiter is removed.
    pub(super) unsafe fn send_or_queue_up(
        &self,
        value: *const T,
        waiter: Option<*mut Waiter>,
    ) -> Option<Outcome> {
        // SAFETY: by the caller's promise.
        match unsafe { self.attempt_send(value) } {
            Attempt::Done(()) => Some(Outcome::Passed),
            Attempt::Closed => Some(Outcome::Closed),
            Attempt::Blocked => {
                // SAFETY: the attempt left the channel locked; the waiter is as
                // promised.
                unsafe {
                    if let Some(waiter) = waiter {
                        self.core().state().senders.enqueue(waiter);
                    }
                    self.core().unlock();
                }
                None
            }
        }
    }

    /// Sends if that would not block, unless the buffer holds an equal value.
    pub(super) fn try_send_once(&self, value: T)
    where
        T: Copy + Eq,
    {
        let core = self.core();
        core.lock();
        // SAFETY: we hold the lock. It is released once: here, or by an attempt that does not
        // block. A copy of the value remains valid.
        unsafe {
            if core.holds(core.state(), (&raw const value).cast(), same::<T>)
                || matches!(self.attempt_send_locked(&raw const value), Attempt::Blocked)
            {
                core.unlock();
            }
        }
    }

    /// `None` once closed and drained. Blocks the goroutine.
    #[inline(always)]
    pub(super) fn recv(&self) -> Option<T> {
        match self.attempt_recv() {
            Attempt::Done(value) => {
                sched::give_way();
                Some(value)
            }
            Attempt::Closed => None,
            // SAFETY: the attempt left the channel locked.
            Attempt::Blocked => unsafe { self.wait_to_recv() },
        }
    }

    /// See [`Self::wait_to_send`].
    ///
    /// # Safety
    ///
    /// As for [`Self::wait_to_send`].
    #[inline(never)]
    unsafe fn wait_to_recv(&self) -> Option<T> {
        let mut place = MaybeUninit::<T>::uninit();
        let elem = place.as_mut_ptr().cast();
        // SAFETY: locked; the place lives here until the wait is over, and is filled on `Passed`.
        unsafe {
            match self.core().wait(Side::Recv, elem) {
                Outcome::Passed => Some(place.assume_init()),
                _ => None,
            }
        }
    }

    pub(super) fn recv_until(&self, deadline_ns: u64) -> Received<T> {
        match self.attempt_recv() {
            Attempt::Done(value) => {
                sched::give_way();
                Received::Value(value)
            }
            Attempt::Closed => Received::Closed,
            Attempt::Blocked => {
                let mut place = MaybeUninit::<T>::uninit();
                let elem = place.as_mut_ptr().cast();
                // SAFETY: as in `recv`.
                unsafe {
                    match self.core().wait_until(Side::Recv, elem, deadline_ns) {
                        Outcome::Passed => Received::Value(place.assume_init()),
                        Outcome::Closed => Received::Closed,
                        Outcome::TimedOut => Received::Empty,
                    }
                }
            }
        }
    }

    /// Receives a value. If that would block, enqueues the waiter and returns `Empty`.
    ///
    /// # Safety
    ///
    /// The waiter is in no queue, has a place for a `T` as its element, and does not move until its
    /// owner is readied or the waiter is removed.
    pub(super) unsafe fn recv_or_queue_up(&self, waiter: *mut Waiter) -> Received<T> {
        match self.attempt_recv() {
            Attempt::Done(value) => Received::Value(value),
            Attempt::Closed => Received::Closed,
            Attempt::Blocked => {
                // SAFETY: the attempt left the channel locked; the waiter is as
                // promised.
                unsafe {
                    self.core().state().receivers.enqueue(waiter);
                    self.core().unlock();
                }
                Received::Empty
            }
        }
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Received<T> {
        match self.attempt_recv() {
            Attempt::Done(value) => Received::Value(value),
            Attempt::Closed => Received::Closed,
            Attempt::Blocked => {
                // SAFETY: the attempt left the channel locked.
                unsafe { self.core().unlock() };
                Received::Empty
            }
        }
    }
}
