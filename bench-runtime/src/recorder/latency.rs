//! How long goroutines wait between becoming runnable and running.
//!
//! Only about one goroutine in some hundreds is timed, because timing reads the clock twice. At
//! every fourth pick with step 3 (the list in `sched/find_runnable.rs`), a P decides to time the
//! next goroutine that is spawned or readied on it. Of the goroutines that become runnable from
//! outside, one at a time is timed. A goroutine that yields is not timed.
//!
//! | [`Sample::g`]  | [`FLAG_TIMED`] of it | changed next by                          |
//! |----------------|----------------------|------------------------------------------|
//! | null           | –                    | the owner of the sample, by `begin`      |
//! | a goroutine    | set                  | the M that runs it, by `end`             |
//! | a goroutine    | clear                | `end` as above; never, if its runtime stopped first |

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use crate::goroutine::{FLAG_TIMED, Goroutine};
use crate::sys::clock;

/// One bucket for each power of two of nanoseconds, up to nine minutes.
const BUCKETS: usize = 40;

#[derive(Debug, Default)]
pub(crate) struct Sample {
    g: AtomicPtr<Goroutine>,
    since_ns: AtomicU64,
}

impl Sample {
    /// Times a goroutine that becomes runnable and is in no queue yet, unless this sample times
    /// another.
    pub(crate) fn begin(&self, g: &'static Goroutine) {
        // Acquire: pairs with the Release in `end`.
        if g.has_flag(FLAG_TIMED) || !self.g.load(Ordering::Acquire).is_null() {
            return;
        }
        let mine = self.g.compare_exchange(
            ptr::null_mut(),
            ptr::from_ref(g).cast_mut(),
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if mine.is_ok() {
            self.since_ns.store(clock::now_ns(), Ordering::Relaxed);
            // The M that runs `g` sees the flag, because it gets `g` through a queue.
            g.set_flag(FLAG_TIMED);
        }
    }

    /// Ends the timing of `g`, if it is timed here; returns when `g` became runnable. Called by the
    /// M that runs `g`.
    pub(crate) fn end(&self, g: &'static Goroutine) -> Option<u64> {
        let is_here = ptr::eq(self.g.load(Ordering::Relaxed), g);
        is_here.then(|| {
            let since_ns = self.since_ns.load(Ordering::Relaxed);
            // Release: pairs with the Acquire in `begin`.
            self.g.store(ptr::null_mut(), Ordering::Release);
            since_ns
        })
    }
}

/// Only the holder of the P writes.
#[derive(Debug)]
pub(crate) struct Counts([AtomicU64; BUCKETS]);

impl Counts {
    pub(crate) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }

    pub(crate) fn count(&self, waited_ns: u64) {
        let count = &self.0[bucket_of(waited_ns)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

fn bucket_of(ns: u64) -> usize {
    (ns.max(1).ilog2() as usize).min(BUCKETS - 1)
}

/// How long goroutines waited between becoming runnable and running: a histogram of a sample, one
/// goroutine in some hundreds.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go};
/// use std::time::Duration;
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// runtime.run(|| (0..1000).for_each(|_| go(|| ()).join().unwrap()));
/// let latency = runtime.metrics().run_latency;
/// println!("half of {} ran within {:?}", latency.count(), latency.quantile(0.5).unwrap());
/// for (from, count) in latency.buckets().filter(|&(_, count)| count > 0) {
///     println!("{from:?} and up to twice that: {count}");
/// }
/// assert!(latency.quantile(0.5) <= latency.quantile(1.0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RunLatency {
    counts: [u64; BUCKETS],
}

impl fmt::Debug for RunLatency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.buckets().filter(|&(_, count)| count > 0))
            .finish()
    }
}

impl Default for RunLatency {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }
}

impl RunLatency {
    pub(crate) fn add(&mut self, counts: &Counts) {
        for (sum, count) in self.counts.iter_mut().zip(&counts.0) {
            *sum += count.load(Ordering::Relaxed);
        }
    }

    /// How many goroutines were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each bucket's lower bound, a power of two in nanoseconds, and how many goroutines waited at
    /// least that long and less than twice that. The last bucket has no upper bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let from = |bucket| Duration::from_nanos(1u64 << bucket);
        (self.counts.into_iter().enumerate()).map(move |(bucket, count)| (from(bucket), count))
    }

    /// The upper bound of the bucket that contains the quantile `share` of the waits; 18 minutes
    /// for the last bucket, which has none. `None` if no goroutine was timed.
    ///
    /// # Panics
    ///
    /// If `share` is not between 0 and 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// runtime.run(|| ());
    /// if let Some(nearly_all) = runtime.metrics().run_latency.quantile(0.99) {
    ///     println!("99% ran within {nearly_all:?}");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        assert!(
            (0.0..=1.0).contains(&share),
            "a share must be 0 to 1, not {share}"
        );
        let due = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below >= due
        })?;
        Some(Duration::from_nanos(2 << bucket))
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    fn latency(counts: &[(usize, u64)]) -> RunLatency {
        let mut latency = RunLatency::default();
        for &(bucket, count) in counts {
            latency.counts[bucket] = count;
        }
        latency
    }

    #[test]
    fn bucket_is_the_power_of_two_below() {
        assert_eq!(
            [0, 1, 2, 3, 4, 1023, 1024].map(bucket_of),
            [0, 0, 1, 1, 2, 9, 10]
        );
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantile_is_the_end_of_the_bucket_it_lies_in() {
        let latency = latency(&[(3, 90), (10, 9), (20, 1)]);
        let ends = [0.0, 0.9, 0.91, 0.99, 1.0].map(|share| latency.quantile(share));
        assert_eq!(
            ends,
            [16, 16, 2048, 2048, 2 << 20].map(|ns| Some(Duration::from_nanos(ns)))
        );
        assert_eq!(latency.count(), 100);
        assert_eq!(RunLatency::default().quantile(0.5), None);
        assert_eq!(
            format!("{latency:?}"),
            "{8ns: 90, 1.024µs: 9, 1.048576ms: 1}"
        );
    }
}
