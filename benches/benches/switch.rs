//! Switching from one task to another that is ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bench_runtime::{go, yield_now};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

mod common;

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("switch/yield");
    for others in [1, 100] {
        let runtime = common::runtime(1);
        let name = format!("{} tasks", others + 1);
        group.bench_function(BenchmarkId::new("threadbare", &name), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.run(move || {
                    let done = Arc::new(AtomicBool::new(false));
                    let tasks: Vec<_> = (0..others)
                        .map(|_| {
                            let done = Arc::clone(&done);
                            go(move || {
                                while !done.load(Ordering::Relaxed) {
                                    yield_now();
                                }
                            })
                        })
                        .collect();
                    let began = Instant::now();
                    for _ in 0..iterations {
                        yield_now();
                    }
                    let elapsed = began.elapsed();
                    done.store(true, Ordering::Relaxed);
                    for task in tasks {
                        task.join().expect("it does not panic");
                    }
                    elapsed
                })
            });
        });
        group.bench_function(BenchmarkId::new("tokio", &name), |bencher| {
            bencher.iter_custom(|iterations| {
                common::tokio().block_on(async move {
                    tokio::spawn(tokio_turns(others, iterations))
                        .await
                        .expect("it does not panic")
                })
            });
        });
    }
    group.finish();
}

async fn tokio_turns(others: u32, iterations: u64) -> std::time::Duration {
    let done = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..others)
        .map(|_| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let began = Instant::now();
    for _ in 0..iterations {
        tokio::task::yield_now().await;
    }
    let elapsed = began.elapsed();
    done.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("it does not panic");
    }
    elapsed
}

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("switch/alone");
    let runtime = common::runtime(1);
    group.bench_function("threadbare", |bencher| {
        bencher.iter_custom(|iterations| {
            runtime.run(move || {
                let began = Instant::now();
                for _ in 0..iterations {
                    yield_now();
                }
                began.elapsed()
            })
        });
    });
    group.bench_function("thread", |bencher| bencher.iter(std::thread::yield_now));
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::config();
    targets = turns, alone
}
criterion_main!(benches);
