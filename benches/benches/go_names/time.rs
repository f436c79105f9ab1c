//! Go's benchmarks of timers, which measure how late timers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::sync::WaitGroup;
use bench_runtime::time::{self, Ticker};

use super::{spin, warm_up};

#[derive(Default)]
struct Lateness {
    sum_ns: AtomicU64,
    count: AtomicU64,
}

impl Lateness {
    fn note(&self, expected: Instant) {
        let late = Instant::now().saturating_duration_since(expected);
        self.sum_ns
            .fetch_add(late.as_nanos() as u64, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The time of `operations` operations if each had taken the mean delay.
    fn mean_times(&self, operations: u64) -> Duration {
        let mean =
            self.sum_ns.load(Ordering::Relaxed) as f64 / self.count.load(Ordering::Relaxed) as f64;
        Duration::from_nanos((mean * operations as f64) as u64)
    }
}

/// How late timers fire that are due at the same time. Each P has one timer, except the P of the
/// goroutine that starts them: that goroutine never parks.
pub(crate) fn parallel_timer_latency(operations: u64, procs: u64) -> Duration {
    const DELAY: Duration = Duration::from_millis(1);
    let timers = procs - 1;
    let lateness = Arc::new(Lateness::default());
    warm_up(procs);
    spin(Duration::from_millis(30));
    for _ in 0..operations {
        let group = WaitGroup::new();
        let fired = Arc::new(AtomicU64::new(0));
        for _ in 0..timers {
            group.add(1);
            let (group, fired, lateness) = (group.clone(), fired.clone(), lateness.clone());
            let expected = Instant::now() + DELAY;
            time::after_func(DELAY, move || {
                lateness.note(expected);
                fired.fetch_add(1, Ordering::AcqRel);
                while fired.load(Ordering::Acquire) < timers {
                    std::hint::spin_loop();
                }
                group.done();
            });
        }
        while fired.load(Ordering::Acquire) < timers {
            std::hint::spin_loop();
        }
        group.wait();
        spin(Duration::from_millis(1));
    }
    lateness.mean_times(operations)
}

/// A ticker for each P, with ticks spread over the period. After each tick the receiver works for a
/// tenth of the period.
pub(crate) fn staggered_ticker_latency(operations: u64, procs: u64) -> Duration {
    const PERIOD: Duration = Duration::from_millis(3);
    const WORK: Duration = Duration::from_micros(300);
    let lateness = Arc::new(Lateness::default());
    warm_up(procs);
    let group = WaitGroup::new();
    for _ in 0..procs {
        spin(PERIOD / procs as u32);
        let first = Instant::now() + PERIOD;
        let ticker = Ticker::new(PERIOD);
        let lateness = lateness.clone();
        group.go(move || {
            let mut expected = first;
            for _ in 0..operations {
                ticker.receiver().recv();
                lateness.note(expected);
                expected += PERIOD;
                spin(WORK);
            }
        });
    }
    group.wait();
    lateness.mean_times(operations)
}
