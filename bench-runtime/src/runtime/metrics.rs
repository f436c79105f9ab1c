//! The counts of a runtime.

use std::sync::atomic::Ordering;

use crate::recorder::latency::RunLatency;
use crate::sched::shared::Shared;

/// A reading of a runtime's counters.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().procs(2).build() }?;
/// runtime.run(|| (0..100).for_each(|_| go(|| ()).join().unwrap()));
/// let metrics = runtime.metrics();
/// assert_eq!((metrics.procs_count, metrics.goroutines_count), (2, 0));
/// println!("{} wake-ups, {} steals", metrics.wakes_count, metrics.steals_count);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// GOMAXPROCS.
    pub procs_count: usize,
    /// OS threads that run goroutines or blocking calls, including idle threads.
    pub threads_count: usize,
    /// Goroutines that have not ended.
    pub goroutines_count: usize,
    /// Wake-ups of a thread to search for work.
    pub wakes_count: u64,
    /// Goroutines that run, or block, on a thread whose P was retaken. From half of
    /// [`Builder::max_threads`](crate::Builder::max_threads) on, no P is retaken from a goroutine
    /// that runs.
    pub hogs_count: usize,
    /// Ps retaken from goroutines that ran or blocked too long.
    pub retakes_count: u64,
    /// Ps retaken from goroutines that computed too long.
    pub hog_retakes_count: u64,
    /// Goroutines that waited too long in a P's `run_next`, and were moved by sysmon.
    pub rescues_count: u64,
    /// Goroutines taken from another P's queue.
    pub steals_count: u64,
    /// How often an idle P took goroutines from another's queue.
    pub thefts_count: u64,
    /// Goroutines that were in those queues, including the taken goroutines.
    pub thefts_found_count: u64,
    /// How long goroutines waited to run.
    pub run_latency: RunLatency,
}

pub(crate) fn read(shared: &'static Shared) -> Metrics {
    let (mut steals_count, mut thefts_count, mut thefts_found_count) = (0, 0, 0);
    let mut run_latency = RunLatency::default();
    for p in shared.processors() {
        run_latency.add(&p.recorder.latencies);
        steals_count += p.stolen_count.load(Ordering::Relaxed);
        thefts_count += p.thefts_count.load(Ordering::Relaxed);
        thefts_found_count += p.thefts_found_count.load(Ordering::Relaxed);
    }
    Metrics {
        procs_count: shared.procs(),
        threads_count: shared.threads.count(),
        goroutines_count: shared.goroutines_count(),
        wakes_count: shared.metrics.wakes_count.load(Ordering::Relaxed),
        hogs_count: shared.retaken_count.get() as usize,
        retakes_count: shared.metrics.retakes_count.load(Ordering::Relaxed),
        hog_retakes_count: shared.metrics.hog_retakes_count.load(Ordering::Relaxed),
        rescues_count: shared.metrics.rescues_count.load(Ordering::Relaxed),
        steals_count,
        thefts_count,
        thefts_found_count,
        run_latency,
    }
}
