//! Sleeping and timers, for goroutines and for plain threads.
//!
//! Nothing here fires early: a wait ends at or after its time. All times are of the clock that
//! [`Instant`] shows, and in a bubble of [`synctest`](crate::synctest) of the bubble's, which
//! [`now`] reads; a length that would overflow it means for ever. The timers of a goroutine belong
//! to the processor that it runs on; those of plain threads belong to one thread that all of them
//! share. It starts with the first such timer.
//!
//! ```
//! use bench_runtime::time::{self, Timer};
//! use std::time::{Duration, Instant};
//!
//! let start = Instant::now();
//! time::sleep(Duration::from_millis(2));
//! assert!(start.elapsed() >= Duration::from_millis(2));
//!
//! let timer = Timer::new(Duration::from_secs(3600));
//! assert!(timer.stop(), "it had not fired");
//! ```

mod after;
pub(crate) mod armed;
mod outside;
mod sleep;
mod ticker;
mod timeout;
mod timer;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) use after::after_func_in_any_case;
pub use after::{AfterFunc, after, after_func};
pub use sleep::{sleep, sleep_until};
pub use ticker::Ticker;
pub use timeout::{Elapsed, timeout};
pub use timer::Timer;

use crate::runtime::fake_time;
use crate::sched;

/// The last time but one: the last means never.
const LATEST: u64 = u64::MAX - 1;

/// The time, of [`sched::now_ns`], after this duration.
pub(crate) fn after_ns(duration: Duration) -> u64 {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(LATEST);
    sched::now_ns().saturating_add(ns).min(LATEST)
}

/// The present time, of the clock of sleeps, timers and deadlines: in a bubble of
/// [`synctest`](crate::synctest) the bubble's, else [`Instant::now`].
///
/// Code that is tested in a bubble calls this instead of `Instant::now`. The instants that this
/// crate returns there, such as [`Context::deadline`] and ticks, and those that are passed to it
/// are of that clock too.
///
/// [`Context::deadline`]: crate::context::Context::deadline
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, synctest, time};
/// use std::time::Duration;
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let bubble = unsafe { Runtime::builder().fake_time().build() }?;
/// synctest::run(bubble, || {
///     let begun = time::now();
///     time::sleep_until(begun + DAY);
///     assert_eq!(time::now() - begun, DAY);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn now() -> Instant {
    match fake_time::passed_ns() {
        Some(ns) => bubble_begin() + Duration::from_nanos(ns),
        None => Instant::now(),
    }
}

/// The instant at which the clock of each bubble begins.
fn bubble_begin() -> Instant {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    *BEGIN.get_or_init(Instant::now)
}

/// An instant in the terms of [`sched::now_ns`], rounded up.
pub(crate) fn ns_of(instant: Instant) -> u64 {
    if let Some(begin_ns) = fake_time::begin_ns() {
        let passed = instant.saturating_duration_since(bubble_begin());
        let ns = u64::try_from(passed.as_nanos()).unwrap_or(LATEST);
        return begin_ns.saturating_add(ns).min(LATEST);
    }
    // The instant first: what passes in between makes it later, never early.
    let left = instant.saturating_duration_since(Instant::now());
    after_ns(left)
}

/// The instant at a time of the clock, in nanoseconds.
fn instant_of(ns: u64) -> Instant {
    if let Some(begin_ns) = fake_time::begin_ns() {
        return bubble_begin() + Duration::from_nanos(ns.saturating_sub(begin_ns));
    }
    let passed = Duration::from_nanos(sched::now_ns().saturating_sub(ns));
    let now = Instant::now();
    now.checked_sub(passed).unwrap_or(now)
}
