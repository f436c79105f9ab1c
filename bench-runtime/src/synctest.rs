//! Tests of concurrent code with a fake clock, as Go's `testing/synctest`.
//!
//! A *bubble* is a runtime with [fake time](crate::Builder::fake_time). Its clock stands still
//! while any of its goroutines can run, and jumps to the next timer when all of them are *durably
//! blocked*: each waits for another goroutine of the bubble, or for a time. So a test of a time-out
//! of an hour takes no time, and always runs in the same order.
//!
//! [`run`] runs a test in a bubble. There [`wait`] returns when all other goroutines are durably
//! blocked.
//!
//! | a goroutine that waits                           | is durably blocked          |
//! |--------------------------------------------------|-----------------------------|
//! | in a channel, `select!`, a lock, a join, a sleep | yes                         |
//! | for a descriptor, or in a call of [`blocking`](crate::blocking) | no: the clock waits for it, and `wait` too |
//!
//! The clock is [`time::now`](crate::time::now). All instants that this crate returns in a bubble
//! are of that clock, and all instants that a bubble passes to this crate must be. `Instant::now`
//! is always the host's clock, so code that is tested must call `time::now` instead.
//!
//! There are two differences from Go. A goroutine that waits for a lock is durably blocked too. And
//! no thread outside the bubble, such as one of tokio's, may end a wait in it: while a goroutine
//! waits for such a thread, the clock advances to each timer, and after the last one [`run`]
//! panics.
//!
//! # Examples
//!
//! ```
//! use bench_runtime::context::Context;
//! use bench_runtime::{Runtime, synctest, time};
//! use std::time::Duration;
//!
//! // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! let bubble = unsafe { Runtime::builder().fake_time().build() }?;
//! synctest::run(bubble, || {
//!     let timeout = Duration::from_secs(3600);
//!     let (ctx, _cancel) = Context::background().with_timeout(timeout);
//!
//!     time::sleep(timeout - Duration::from_nanos(1));
//!     synctest::wait();
//!     assert!(ctx.err().is_none(), "not yet");
//!
//!     time::sleep(Duration::from_nanos(1));
//!     synctest::wait();
//!     assert!(ctx.err().is_some(), "now");
//!     assert_eq!(synctest::now(), timeout);
//! });
//! # Ok::<(), std::io::Error>(())
//! ```

use std::time::Duration;

use crate::runtime::fake_time;
use crate::{Runtime, goroutines};

/// Runs `f` as the main goroutine of a bubble, waits for all other goroutines to end, and returns
/// the result of `f`. Blocks the thread. After the end of `f` the clock stands still: a sleep then
/// never ends.
///
/// # Panics
///
/// With the panic of `f`; if all goroutines wait for each other; if goroutines are durably blocked
/// after the end of `f` (the message names them), except for a goroutine in [`wait`], which
/// returns; and if the runtime has no fake time.
///
/// **Not with the panic of another goroutine** that is not joined, such as a failed assertion: join
/// it, or start it by a [`WaitGroup`](crate::sync::WaitGroup).
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, go, synctest, time};
/// use std::time::Duration;
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let bubble = unsafe { Runtime::builder().fake_time().build() }?;
/// let order = synctest::run(bubble, || {
///     let (tx, rx) = chan(0);
///     for hours in [3, 1, 2] {
///         let tx = tx.clone();
///         go!({
///             time::sleep(Duration::from_secs(3600 * hours));
///             tx.send(hours).unwrap();
///         });
///     }
///     drop(tx);
///     rx.iter().collect::<Vec<_>>()
/// });
/// assert_eq!(order, [1, 2, 3]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn run<T, F>(bubble: Runtime, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    bubble.run(|| {
        // `now` panics outside a bubble.
        let _ = now();
        let result = f();
        fake_time::wait_until_others_block(true);
        let left: Vec<String> = goroutines()
            .iter()
            .filter(|info| Some(info.id) != crate::goroutine_id())
            .map(ToString::to_string)
            .collect();
        assert!(
            left.is_empty(),
            "the main goroutine of the bubble has ended, and others are blocked:\n{}",
            left.join("\n")
        );
        result
    })
}

/// Waits until all other goroutines of the bubble are durably blocked. Blocks the goroutine; the
/// clock stands still meanwhile.
///
/// # Panics
///
/// Outside a bubble, and if another goroutine of the bubble is in `wait` already.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go, synctest};
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// static DONE: AtomicBool = AtomicBool::new(false);
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let bubble = unsafe { Runtime::builder().fake_time().build() }?;
/// synctest::run(bubble, || {
///     go!(DONE.store(true, Ordering::Relaxed));
///     synctest::wait();
///     assert!(DONE.load(Ordering::Relaxed));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn wait() {
    fake_time::wait_until_others_block(false);
}

/// The time since the bubble was built.
///
/// # Panics
///
/// Outside a bubble.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, synctest, time};
/// use std::time::Duration;
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let bubble = unsafe { Runtime::builder().fake_time().build() }?;
/// synctest::run(bubble, || {
///     time::sleep(Duration::from_secs(86_400));
///     assert_eq!(synctest::now(), Duration::from_secs(86_400));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
#[track_caller]
pub fn now() -> Duration {
    match fake_time::passed_ns() {
        Some(ns) => Duration::from_nanos(ns),
        None => panic!("synctest::now outside a bubble: see Builder::fake_time"),
    }
}
