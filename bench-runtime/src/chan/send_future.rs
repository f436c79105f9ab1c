//! A send as a future: the counterpart of [`super::future`], with the same protocol.
//!
//! The value stays in the pinned future until the thread that dequeued the waiter moves it out.

use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::SendError;
use super::core::{Outcome, PASSED, Side};
use super::future::leave_queue;
use super::typed::Chan;
use crate::goroutine::Waiter;
use crate::goroutine::pending::Pending;

/// A send that async code waits for: see [`Sender::send_async`](crate::Sender::send_async).
///
/// Any thread and any executor may poll it. The first poll sends the value, or puts the future into
/// the queue of senders. A future that is dropped leaves the queue, and drops a value that was not
/// received. A received value counts as sent, even without another poll.
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// let (tx, rx) = chan(0);
/// let mut send = pin!(tx.send_async(5));
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(send.as_mut().poll(&mut cx).is_pending());
/// // It waits, so a receive finds a value.
/// assert_eq!(rx.try_recv(), Ok(5));
/// assert_eq!(send.poll(&mut cx), Poll::Ready(Ok(())));
/// # use std::future::Future;
/// ```
#[must_use = "nothing is sent before it is awaited"]
pub struct Sending<'a, T> {
    chan: Option<Chan<T>>,
    _sender: PhantomData<&'a T>,
    /// Present while the waiter may be in the queue.
    pending: Option<&'static Pending>,
    /// Whether `value` is initialised; not updated during a wait.
    is_full: bool,
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    value: UnsafeCell<MaybeUninit<T>>,
    /// The queue points to the waiter, the waiter to the value.
    _pinned: PhantomPinned,
}

// SAFETY: its cells are accessed under the channel's lock, or by the thread that dequeued the
// waiter. The value that it holds is `Send`.
unsafe impl<T: Send> Send for Sending<'_, T> {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl<T: Send> Sync for Sending<'_, T> {}

impl<T> Sending<'_, T> {
    pub(super) fn new(chan: Option<Chan<T>>, value: T) -> Self {
        Self {
            chan,
            _sender: PhantomData,
            pending: None,
            is_full: true,
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            value: UnsafeCell::new(MaybeUninit::new(value)),
            _pinned: PhantomPinned,
        }
    }

    /// Whether the value was received.
    ///
    /// # Safety
    ///
    /// The send was readied.
    unsafe fn was_passed(&self) -> bool {
        // SAFETY: the waiter was written before it was enqueued, and is ours again.
        unsafe { (*self.waiter.get()).assume_init_ref().tag.get() & PASSED != 0 }
    }

    fn end(&mut self, outcome: Outcome) -> Poll<Result<(), SendError<T>>> {
        self.is_full = false;
        Poll::Ready(match outcome {
            Outcome::Passed => Ok(()),
            // SAFETY: the value was here, and `is_full` was cleared.
            _ => Err(SendError(unsafe {
                self.value.get_mut().assume_init_read()
            })),
        })
    }
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    /// # Panics
    ///
    /// If it has returned `Ready` before.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: only the value is moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(chan) = this.chan else {
            return Poll::Pending;
        };
        if ready!(Pending::poll(&mut this.pending, cx.waker())) {
            // SAFETY: just readied.
            return this.end(match unsafe { this.was_passed() } {
                true => Outcome::Passed,
                false => Outcome::Closed,
            });
        }
        assert!(this.is_full, "a send was polled after its end");
        let value = this.value.get().cast::<T>();
        // SAFETY: the value is here; `end` records the result.
        if let Some(outcome) = unsafe { chan.send_or_queue_up(value, None) } {
            return this.end(outcome);
        }
        let pending = Pending::new(cx.waker());
        let waiter = Waiter::single(pending.parkable(), value.cast(), 0);
        // SAFETY: the waiter is in no queue, because `pending` is `None`. It is pinned, and removed
        // before it is dropped.
        let sent = unsafe {
            let at = this.waiter.get().cast::<Waiter>();
            at.write(waiter);
            chan.send_or_queue_up(value, Some(at))
        };
        match sent {
            None => {
                this.pending = Some(pending);
                Poll::Pending
            }
            Some(outcome) => {
                pending.give_back();
                this.end(outcome)
            }
        }
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take()
            && let Some(chan) = self.chan
        {
            let waiter = self.waiter.get().cast();
            // SAFETY: `pending` was present, so the waiter is in the queue or was dequeued.
            self.is_full = unsafe {
                leave_queue(chan.core(), Side::Send, waiter, pending) || !self.was_passed()
            };
        }
        if self.is_full {
            // SAFETY: the value is here, and this is its last use.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chan {
            Some(chan) => write!(f, "Sending({:p})", chan.core_ptr()),
            None => f.write_str("Sending(never)"),
        }
    }
}
