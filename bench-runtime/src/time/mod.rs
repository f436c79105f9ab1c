//! Sleeping and timers, for goroutines and for plain threads.
//!
//! Nothing here fires early: a wait ends at or after its time. All times are
//! of the clock that [`Instant`] shows; a length that would overflow it means
//! for ever. The timers of a goroutine belong to the processor that it runs
//! on; those of a plain thread to one thread that all such share, and that
//! only begins with the first of them.
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

use std::time::{Duration, Instant};

pub use after::{AfterFunc, after, after_func};
pub use sleep::{sleep, sleep_until};
pub use ticker::Ticker;
pub use timeout::{Elapsed, timeout};
pub use timer::Timer;

use crate::sched;

/// The last time but one: the last stands for never.
const LATEST: u64 = u64::MAX - 1;

/// The time, of [`sched::now_ns`], that comes after so long.
pub(crate) fn after_ns(duration: Duration) -> u64 {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(LATEST);
    sched::now_ns().saturating_add(ns).min(LATEST)
}

/// An instant in the terms of [`sched::now_ns`], rounded up.
pub(crate) fn ns_of(instant: Instant) -> u64 {
    // The instant first: what passes in between makes it later, never early.
    let left = instant.saturating_duration_since(Instant::now());
    after_ns(left)
}

/// The other way round.
fn instant_of(ns: u64) -> Instant {
    let passed = Duration::from_nanos(sched::now_ns().saturating_sub(ns));
    let now = Instant::now();
    now.checked_sub(passed).unwrap_or(now)
}
