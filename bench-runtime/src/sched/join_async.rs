//! A join as a future: [`super::join`] for code that does not park.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::join::{JoinError, JoinHandle};
use super::pending::Pending;
use super::ready::shared_of;
use super::shutdown::RunState;
use crate::goroutine::{Goroutine, JOIN_LOST, JOIN_OPEN};

/// A join that async code waits for: see [`JoinHandle::join_async`].
///
/// It may be polled by any thread, by any executor, and polled again through
/// `&mut`. Dropping it lets the goroutine run on.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, future};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// let mut both = [1, 2].map(|n| runtime.spawn(move || n * 10).join_async());
/// // On a plain thread, by any executor.
/// let sum = future::block_on(async {
///     let mut sum = 0;
///     for each in &mut both {
///         sum += each.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!(sum, 30);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the goroutine runs on if it is dropped"]
pub struct Join<T> {
    /// Until it was ready. Dropped after the wait was ended.
    handle: Option<JoinHandle<T>>,
    /// While its record may be in the goroutine's `join`.
    pending: Option<&'static Pending>,
}

impl<T> Join<T> {
    pub(super) fn new(handle: JoinHandle<T>) -> Self {
        Self {
            handle: Some(handle),
            pending: None,
        }
    }
}

fn address_of(pending: &'static Pending) -> usize {
    pending.parkable().as_ptr() as usize
}

/// Puts the record where the goroutine's end finds it; false if that has come,
/// or cannot.
fn wait_with(g: &'static Goroutine, pending: &'static Pending) -> bool {
    let address = address_of(pending);
    // The orderings, and the load of the run state, are as in `join::wait_for`.
    let waits = g
        .join
        .compare_exchange(JOIN_OPEN, address, Ordering::SeqCst, Ordering::Acquire)
        .is_ok();
    if !waits || shared_of(g).run_state() != RunState::Stopped {
        return waits;
    }
    // It fails if a ready is under way.
    g.join
        .compare_exchange(address, JOIN_LOST, Ordering::AcqRel, Ordering::Relaxed)
        .is_err()
}

impl<T> Future for Join<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// After it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let g = self.handle.as_ref().expect("polled after it was ready").g;
        loop {
            if let Some(pending) = self.pending {
                if !pending.is_ready(cx.waker()) {
                    return Poll::Pending;
                }
                pending.give_back();
                self.pending = None;
            }
            // Acquire: as in `join`.
            if g.join.load(Ordering::Acquire) != JOIN_OPEN {
                break;
            }
            let pending = Pending::new(cx.waker());
            if wait_with(g, pending) {
                self.pending = Some(pending);
                return Poll::Pending;
            }
            pending.give_back();
        }
        let handle = self.handle.take().expect("it was there");
        // It does not wait: the goroutine has ended, or never will.
        Poll::Ready(handle.join())
    }
}

impl<T> Drop for Join<T> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take()
            && let Some(handle) = &self.handle
        {
            // AcqRel: as in `join::wait_for`.
            let removed = handle.g.join.compare_exchange(
                address_of(pending),
                JOIN_OPEN,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if removed.is_err() {
                pending.wait_ready();
            }
            pending.give_back();
        }
    }
}
