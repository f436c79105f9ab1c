//! Sleeping and timers, for goroutines and for plain threads.
//!
//! No wait ends early. The clock is that of [`Instant`]; in a bubble of
//! [`synctest`](crate::synctest) it is the bubble's clock. [`now`] reads it. A duration that would
//! overflow the clock never ends.
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

/// The last time of the clock: `u64::MAX` means never.
const LATEST: u64 = u64::MAX - 1;

/// The time `duration` from now, on the clock of [`sched::now_ns`].
pub(crate) fn after_ns(duration: Duration) -> u64 {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(LATEST);
    sched::now_ns().saturating_add(ns).min(LATEST)
}

/// The present time, on the clock of sleeps, timers and deadlines: in a bubble of
/// [`synctest`](crate::synctest) the bubble's clock, else that of [`Instant::now`].
///
/// Code that is tested in a bubble must call this instead of `Instant::now`. Instants of this
/// crate, such as [`Context::deadline`] and ticks, are on the bubble's clock there.
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

fn bubble_begin() -> Instant {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    *BEGIN.get_or_init(Instant::now)
}

/// Converts an instant to the clock of [`sched::now_ns`]. The result is never earlier than the
/// instant, and may be a little later.
pub(crate) fn ns_of(instant: Instant) -> u64 {
    if let Some(begin_ns) = fake_time::begin_ns() {
        let passed = instant.saturating_duration_since(bubble_begin());
        let ns = u64::try_from(passed.as_nanos()).unwrap_or(LATEST);
        return begin_ns.saturating_add(ns).min(LATEST);
    }
    // Read first: time that passes before the second reading makes the result later.
    let left = instant.saturating_duration_since(Instant::now());
    after_ns(left)
}

fn instant_of(ns: u64) -> Instant {
    if let Some(begin_ns) = fake_time::begin_ns() {
        return bubble_begin() + Duration::from_nanos(ns.saturating_sub(begin_ns));
    }
    let passed = Duration::from_nanos(sched::now_ns().saturating_sub(ns));
    let now = Instant::now();
    now.checked_sub(passed).unwrap_or(now)
}
