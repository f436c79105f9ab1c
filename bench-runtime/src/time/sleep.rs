//! Waiting for a time to come.

use std::ptr;
use std::time::{Duration, Instant};

use crate::goroutine::WaitReason;
use crate::sched;
use crate::time::{after_ns, now, ns_of};

/// Pauses the goroutine, or the plain thread, for at least this duration. For a duration of zero it
/// returns at once, unless the goroutine's time slice has ended.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// bench_runtime::time::sleep(Duration::from_millis(1));
/// assert!(start.elapsed() >= Duration::from_millis(1));
/// ```
pub fn sleep(duration: Duration) {
    match duration.is_zero() {
        true => sched::give_way(),
        false => sleep_until_ns(after_ns(duration)),
    }
}

/// Pauses the goroutine, or the plain thread, until an instant has come. An instant that has come
/// already is as a duration of zero for [`sleep`].
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let then = Instant::now() + Duration::from_millis(1);
/// bench_runtime::time::sleep_until(then);
/// assert!(Instant::now() >= then);
/// ```
pub fn sleep_until(instant: Instant) {
    match instant > now() {
        true => sleep_until_ns(ns_of(instant)),
        false => sched::give_way(),
    }
}

fn sleep_until_ns(when_ns: u64) {
    let me = sched::prepare_park(WaitReason::Sleep, ptr::null());
    // No other thread has the ticket: only the deadline ends this wait.
    sched::park_until(me, me.ticket(), when_ns);
}
