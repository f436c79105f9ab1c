//! Waiting for a result for a limited time.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crate::chan::{RecvTimeoutError, chan};
use crate::seam::Spawner;

/// The function was not done in time.
///
/// # Examples
///
/// ```
/// use bench_runtime::time::{self, Elapsed, timeout};
/// use std::time::Duration;
///
/// let slow = || time::sleep(Duration::from_millis(100));
/// let late: Result<(), Elapsed> = timeout(Duration::from_millis(1), slow);
/// println!("{}", late.unwrap_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the function was not done in time; it goes on without its caller")]
#[non_exhaustive]
pub struct Elapsed;

/// Runs a function in a new goroutine (from a plain thread, in a new thread) and waits for its
/// result, for the duration at most. Blocks the goroutine.
///
/// A function that is late continues, and its result is dropped. To make it stop, pass it a
/// `Context`.
///
/// # Errors
///
/// [`Elapsed`] if the function was not done in time.
///
/// # Panics
///
/// With the function's panic; and if its goroutine does not run, because there is no stack for it
/// or its runtime stops.
///
/// # Examples
///
/// ```
/// use bench_runtime::time::{sleep, timeout};
/// use std::time::Duration;
///
/// assert_eq!(timeout(Duration::from_secs(60), || 6 * 7), Ok(42));
///
/// let late = timeout(Duration::from_millis(1), || sleep(Duration::from_millis(200)));
/// assert!(late.is_err());
/// ```
pub fn timeout<T, F>(duration: Duration, f: F) -> Result<T, Elapsed>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = chan(1);
    Spawner::current().spawn(move || {
        // It fails if the caller no longer waits; the result is then dropped.
        let _ = sender.send(panic::catch_unwind(AssertUnwindSafe(f)));
    });
    match receiver.recv_timeout(duration) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(panicked)) => panic::resume_unwind(panicked),
        Err(RecvTimeoutError::Timeout) => Err(Elapsed),
        Err(_) => panic!(
            "timeout: the function did not run: there was no stack for it, or its runtime stopped"
        ),
    }
}
