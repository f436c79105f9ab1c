//! Goroutines that wait for futures, and async code that waits for goroutines.
//!
//! | what waits         | for what               | by                                     |
//! |--------------------|------------------------|----------------------------------------|
//! | a goroutine        | any future             | [`block_on`], [`block_on_with`]        |
//! | async code         | a goroutine's result   | [`JoinHandle::join_async`](crate::JoinHandle::join_async) |
//! | async code         | a channel's next value | [`Receiver::recv_async`](crate::Receiver::recv_async) |
//! | async code         | room for a value in a channel | [`Sender::send_async`](crate::Sender::send_async) |
//! | async code         | a time                 | [`time::after(d)`](crate::time::after())`.recv_async().await` |
//! | async code         | a descriptor           | `readable`, `writable`: [`Readiness`](crate::net::Readiness) |
//! | a goroutine        | the first of several of these, and of channels | a `future` case of [`select!`](crate::select) |
//!
//! A receiver has no `IntoFuture`, because it receives many times, by reference.
//!
//! In a goroutine, none of these starts a thread. On plain threads, timers, signals and descriptors
//! have one thread each. Any thread may wake a goroutine in `block_on`.
//!
//! # Wakers
//!
//! A waker may panic (the panic is caught and dropped), wait, or call this crate. The thread that
//! readies the task calls the task's waker, with two exceptions:
//!
//! - The scheduler starts a goroutine for each wake.
//! - For timers of plain threads, and for signals, one further thread of the process calls the
//!   wakers, one after the other. If that thread cannot be started, the thread of the timers or
//!   signals calls them.
//!
//! A waker that waits on such a thread, or on the thread for descriptors, delays the wakers that
//! the thread calls next, so it must not wait for their tasks.
//!
//! # With tokio
//!
//! Spawn tokio's futures on tokio's threads, and wait for the task by `block_on`:
//!
//! ```ignore (needs tokio)
//! use bench_runtime::{Runtime, future};
//!
//! let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//! let handle = tokio.handle().clone();
//! // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! let answer = unsafe { Runtime::builder().build() }?.run(move || {
//!     let task = handle.spawn(async {
//!         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
//!         42
//!     });
//!     future::block_on(task).unwrap()
//! });
//! assert_eq!(answer, 42);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Such programs are tested with tokio-postgres, hyper's client, streams of `tokio::sync::mpsc` and
//! tokio's timers.
//!
//! A future of tokio's sockets or timers that a goroutine polls itself must be *made* inside
//! tokio's context, `Handle::enter`. Tokio's channels need no context.
//!
//! # What may not be held across a park
//!
//! - **`Handle::enter`'s guard.** It sets a thread-local and restores it, as the scopes of rule 2
//!   of [`Builder::build`](crate::Builder::build) do. If it is held over a park, another
//!   goroutine of the thread runs in that context. Guards may then be dropped in the wrong order
//!   or, in a migrating runtime, on another thread; tokio panics in both cases. So enter, make
//!   the future, drop the guard, and only then `block_on`. An `async` block creates its values
//!   when it is polled: spawn it on tokio, or enter in each poll (`async-compat`'s `Compat`
//!   does).
//! - **`tokio::runtime::Runtime::block_on`**, and `LocalSet`: their futures are polled inside such
//!   a scope, and the thread is blocked. Put [`blocking`](crate::blocking) around a call of
//!   `Runtime::block_on`.
//! - **Inside a poll**: a call that blocks the goroutine (`recv`, `lock`, `sleep` of this crate)
//!   parks the goroutine that polls, which is fine with [`block_on`]. On another executor it blocks
//!   the thread.
//! - Guards of `std::sync::Mutex` over an `.await`, as over any other park.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use crate::context::{Context, ContextError};
use crate::sched;
use crate::sync::signal::Signal;

pub use crate::chan::{Recv, Sending};
pub use crate::runtime::join::Join;

/// Waits for a future, and returns its output. Blocks the goroutine, or a plain thread.
///
/// The future need be neither `Send` nor `'static`. If it wakes itself while it is polled, other
/// goroutines run before the next poll. A waker may outlive the runtime. If a poll panics, the
/// future is dropped, and the panic continues. No tokio context is made: see [the module](self).
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, future, go};
/// use std::cell::Cell;
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let (tx, rx) = chan(0);
///     go!(tx.send("from a goroutine"));
///     // It borrows, and what it borrows is not `Sync`.
///     let count = Cell::new(0);
///     let text = future::block_on(async {
///         count.set(count.get() + 1);
///         rx.recv_async().await
///     });
///     assert_eq!((text, count.get()), (Some("from a goroutine"), 1));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let signal = Arc::new(Signal::new());
    let waker = Waker::from(signal.clone());
    let mut cx = task::Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            sched::give_way();
            return output;
        }
        signal.wait();
    }
}

/// As [`block_on`], but ends when the context ends, and then drops the future. A task of tokio runs
/// on when its handle is dropped: to abort it, use `tokio_util`'s `AbortOnDropHandle`.
///
/// # Errors
///
/// How the context ended, if that was first: by a cancel or at its deadline ([`Context::cause`] has
/// the cause of a cancel). If the future is ready at that moment, its output is returned. If the
/// context had ended before the call, the future is not polled.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::{Context, ContextError};
/// use bench_runtime::future;
/// use std::time::Duration;
///
/// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(1));
/// let late = future::block_on_with(&ctx, std::future::pending::<()>());
/// assert_eq!(late, Err(ContextError::DeadlineExceeded));
/// ```
pub fn block_on_with<F: IntoFuture>(ctx: &Context, future: F) -> Result<F::Output, ContextError> {
    if let Some(error) = ctx.err() {
        return Err(error);
    }
    let mut future = pin!(future.into_future());
    let mut end = pin!(ctx.done().recv_async());
    block_on(poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let ended = end.as_mut().poll(cx);
        ended.map(|_| Err(ctx.err().unwrap_or(ContextError::Cancelled)))
    }))
}
