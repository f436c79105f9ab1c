//! Starting a task and joining it.

use std::hint::black_box;
use std::time::Instant;

use bench_runtime::go;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod common;

const BATCH: u64 = 100;

fn one(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spawn/one");
    common::on_goroutines(&mut group, |iterations| {
        let began = Instant::now();
        for value in 0..iterations {
            black_box(
                go(move || black_box(value))
                    .join()
                    .expect("it does not panic"),
            );
        }
        began.elapsed()
    });
    group.bench_function("thread", |bencher| {
        bencher.iter(|| {
            std::thread::spawn(|| black_box(1))
                .join()
                .expect("it does not panic")
        });
    });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|iterations| {
            common::tokio().block_on(async move {
                let began = Instant::now();
                for value in 0..iterations {
                    let task = tokio::spawn(async move { black_box(value) });
                    black_box(task.await.expect("it does not panic"));
                }
                began.elapsed()
            })
        });
    });
    group.finish();
}

fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spawn/batch_of_100");
    group.throughput(Throughput::Elements(BATCH));
    common::on_goroutines(&mut group, |iterations| {
        let began = Instant::now();
        for _ in 0..iterations {
            let tasks: Vec<_> = (0..BATCH)
                .map(|value| go(move || black_box(value)))
                .collect();
            for task in tasks {
                black_box(task.join().expect("it does not panic"));
            }
        }
        began.elapsed()
    });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|iterations| {
            common::tokio().block_on(async move {
                let began = Instant::now();
                for _ in 0..iterations {
                    let tasks: Vec<_> = (0..BATCH)
                        .map(|value| tokio::spawn(async move { black_box(value) }))
                        .collect();
                    for task in tasks {
                        black_box(task.await.expect("it does not panic"));
                    }
                }
                began.elapsed()
            })
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::config();
    targets = one, batch
}
criterion_main!(benches);
