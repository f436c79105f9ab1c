//! The time that goroutines wait to run, as the metrics report it.

use std::time::{Duration, Instant};

use crate::start::Start;
use bench_runtime::{RunLatency, Runtime, chan, go, yield_now};

fn at_least(latency: &RunLatency, wait: Duration) -> u64 {
    let buckets = latency.buckets().filter(|&(from, _)| from >= wait);
    buckets.map(|(_, count)| count).sum()
}

/// Yields until the recorder times the next runnable goroutine.
fn until_timed() {
    (0..1_000).for_each(|_| yield_now());
}

#[test]
fn latency_counts_the_delay_by_a_hog_in_its_bucket() {
    const HOG: Duration = Duration::from_millis(70);
    // Buckets from here on show the hog's delay.
    const BUCKET: Duration = Duration::from_nanos(1 << 26);
    // Pinned: a goroutine that has started on the hog's thread waits for it.
    let runtime = Runtime::builder().procs(1).start().expect("it starts");
    runtime.run(|| {
        let (tx, rx) = chan::<()>(0);
        let delayed = go(move || rx.iter().count());
        for _ in 0..3 {
            until_timed();
            tx.send(()).expect("it receives");
            let begun = Instant::now();
            while begun.elapsed() < HOG {
                std::hint::spin_loop();
            }
        }
        drop(tx);
        assert_eq!(delayed.join().expect("it does not panic"), 3);
    });
    let latency = runtime.metrics().run_latency;
    assert_eq!(at_least(&latency, BUCKET), 3, "{latency:?}");
    assert!(latency.quantile(1.0) > Some(HOG));
    assert!(
        latency.count() > 3,
        "also those that waited less are counted"
    );
}

#[test]
fn latency_counts_goroutines_that_a_plain_thread_spawns() {
    let runtime = Runtime::builder().procs(2).start().expect("it starts");
    assert_eq!(runtime.metrics().run_latency, RunLatency::default());
    for n in 1..=100 {
        runtime.spawn(|| ()).join().expect("it does not panic");
        assert_eq!(runtime.metrics().run_latency.count(), n);
    }
}
