//! Shared by the micro-benchmarks.
#![allow(dead_code, reason = "each target uses its own part")]

use std::time::Duration;

use bench_runtime::Runtime;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};

/// All targets together take about 100 s. With Criterion's default of 100,000 resamples the
/// analysis would take as long as the measurement.
pub(crate) fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
        .nresamples(20_000)
        .without_plots()
        .configure_from_args()
}

pub(crate) fn runtime(procs: usize) -> Runtime {
    // SAFETY: no benchmark parks inside a thread-local's initialiser or scope.
    unsafe { Runtime::builder().procs(procs).build() }.expect("the host lets us make a runtime")
}

/// Adds `work` on goroutines, with one P and with two. `work` gets the number of repetitions
/// and returns their time.
pub(crate) fn on_goroutines(group: &mut BenchmarkGroup<'_, WallTime>, work: fn(u64) -> Duration) {
    for procs in [1, 2] {
        let runtime = runtime(procs);
        let id = BenchmarkId::new("threadbare", format!("{procs}P"));
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|iterations| runtime.run(move || work(iterations)));
        });
    }
}

pub(crate) fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("the host lets us make a runtime")
}
