//! The cost of the queues of runnable goroutines: a P's own queue, its overflow, and stealing by an
//! idle P.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bench_runtime::go;
use bench_runtime::sync::WaitGroup;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

mod common;

fn drain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("run_queue/drain");
    // A P's own queue holds fewer than 2,000 goroutines.
    for (name, tasks, procs) in [("own", 200, 1), ("spilling", 2_000, 1), ("stolen", 200, 2)] {
        let runtime = common::runtime(procs);
        group.throughput(Throughput::Elements(tasks));
        group.bench_function(BenchmarkId::new(name, tasks), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.run(move || {
                    let mut elapsed = Duration::ZERO;
                    for _ in 0..iterations {
                        elapsed += fill_and_drain(tasks);
                    }
                    elapsed
                })
            });
        });
    }
    group.finish();
}

fn fill_and_drain(tasks: u64) -> Duration {
    let all = WaitGroup::new();
    let began = Instant::now();
    for value in 0..tasks {
        all.add(1);
        let all = all.clone();
        drop(go(move || {
            black_box(value);
            all.done();
        }));
    }
    all.wait();
    began.elapsed()
}

criterion_group! {
    name = benches;
    config = common::config();
    targets = drain
}
criterion_main!(benches);
