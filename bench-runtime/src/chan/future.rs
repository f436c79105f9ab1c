//! A receive as a future.
//!
//! The first poll that finds no value enqueues a waiter, like a goroutine that parks. A sender then
//! dequeues the waiter, moves the value into the future, which is pinned, and readies the future.
//! Until then the waiter belongs to the sender's thread, so the future reads the waiter only after
//! it was readied ([`Pending::is_ready`]).

use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::core::{Core, PASSED, Side};
use super::put_back::put_back;
use super::typed::{Chan, Received};
use crate::goroutine::Waiter;
use crate::goroutine::pending::Pending;

/// A receive that async code waits for: see [`Receiver::recv_async`](crate::Receiver::recv_async).
///
/// Any thread and any executor may poll it. A poll that finds no value puts the future into the
/// queue of receivers; a future that is dropped leaves the queue.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, future};
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// let (tx, rx) = chan(0);
/// let mut receive = pin!(rx.recv_async());
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(receive.as_mut().poll(&mut cx).is_pending());
/// // It waits, so a send finds a receiver.
/// tx.try_send(5).unwrap();
/// assert_eq!(receive.poll(&mut cx), Poll::Ready(Some(5)));
/// # use std::future::Future;
/// ```
#[must_use = "nothing is received before it is awaited"]
pub struct Recv<'a, T> {
    chan: Option<Chan<T>>,
    _receiver: PhantomData<&'a T>,
    /// Present while the waiter may be in the queue.
    pending: Option<&'static Pending>,
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    place: UnsafeCell<MaybeUninit<T>>,
    /// The queue points to the waiter, the waiter to the place.
    _pinned: PhantomPinned,
}

// SAFETY: its cells are accessed under the channel's lock, or by the thread that dequeued the
// waiter. The value that it returns is `Send`.
unsafe impl<T: Send> Send for Recv<'_, T> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Send> Sync for Recv<'_, T> {}

impl<'a, T> Recv<'a, T> {
    pub(super) fn new(chan: Option<Chan<T>>) -> Self {
        Self {
            chan,
            _receiver: PhantomData,
            pending: None,
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            place: UnsafeCell::new(MaybeUninit::uninit()),
            _pinned: PhantomPinned,
        }
    }

    /// The value; `None` if the channel was closed instead.
    ///
    /// # Safety
    ///
    /// The receive was readied, and this is called once.
    unsafe fn take(&self) -> Option<T> {
        // SAFETY: the waiter was written before it was enqueued, and is ours again; the place is
        // filled if `PASSED` is set.
        unsafe {
            let passed = (*self.waiter.get()).assume_init_ref().tag.get() & PASSED != 0;
            passed.then(|| (*self.place.get()).assume_init_read())
        }
    }
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // SAFETY: only the received value is moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(chan) = this.chan else {
            return Poll::Pending;
        };
        if ready!(Pending::poll(&mut this.pending, cx.waker())) {
            // SAFETY: just readied.
            return Poll::Ready(unsafe { this.take() });
        }
        match chan.try_recv() {
            Received::Value(value) => return Poll::Ready(Some(value)),
            Received::Closed => return Poll::Ready(None),
            Received::Empty => {}
        }
        let pending = Pending::new(cx.waker());
        let waiter = Waiter::single(pending.parkable(), this.place.get().cast(), 0);
        // SAFETY: the waiter is in no queue, because `pending` is `None`.
        let received = unsafe {
            let at = this.waiter.get().cast::<Waiter>();
            at.write(waiter);
            // Pinned, and removed before it is dropped.
            chan.recv_or_queue_up(at)
        };
        match received {
            Received::Empty => {
                this.pending = Some(pending);
                Poll::Pending
            }
            Received::Value(value) => {
                pending.give_back();
                Poll::Ready(Some(value))
            }
            Received::Closed => {
                pending.give_back();
                Poll::Ready(None)
            }
        }
    }
}

/// Ends a wait in the queue of a side. True if this removed the waiter. Otherwise another thread
/// had dequeued it, and this blocks the thread until the other thread has readied `pending`.
///
/// # Safety
///
/// The waiter was put into that queue, is alive, and belongs to `pending`.
#[cold]
pub(super) unsafe fn leave_queue(
    core: &Core,
    side: Side,
    waiter: *mut Waiter,
    pending: &'static Pending,
) -> bool {
    core.lock();
    // SAFETY: we hold the lock; the waiter is alive. While the channel is open, the waiter is in
    // this queue or in none. Once the channel is closed, the waiter is not touched: the thread that
    // closed the channel may have it in a list without a lock, and readies its owner.
    let was_queued = unsafe {
        let state = core.state();
        let removed = !state.closed && state.queue(side).remove(waiter);
        core.unlock();
        removed
    };
    if !was_queued {
        pending.wait_ready();
    }
    pending.give_back();
    was_queued
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take()
            && let Some(chan) = self.chan
        {
            let waiter = self.waiter.get().cast();
            // SAFETY: `pending` was present, so the waiter is in the queue or was dequeued. The
            // future is not polled any more.
            unsafe {
                if !leave_queue(chan.core(), Side::Recv, waiter, pending)
                    && let Some(value) = self.take()
                {
                    put_back(chan, value);
                }
            }
        }
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chan {
            Some(chan) => write!(f, "Recv({:p})", chan.core_ptr()),
            None => f.write_str("Recv(never)"),
        }
    }
}
