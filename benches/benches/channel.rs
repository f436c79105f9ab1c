//! The cost of a message through a channel: within one goroutine or thread, which never waits, and
//! between two, which wait for each message.

use std::hint::black_box;
use std::time::Instant;

use bench_runtime::{chan, go};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

mod common;

const BURST: u64 = 64;

fn without_waiting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("channel/burst_of_64");
    group.throughput(Throughput::Elements(BURST));
    let runtime = common::runtime(1);
    group.bench_function("threadbare", |bencher| {
        bencher.iter_custom(|iterations| {
            runtime.run(move || {
                let (sender, receiver) = chan::<u64>(BURST as usize);
                let began = Instant::now();
                for _ in 0..iterations {
                    for value in 0..BURST {
                        sender.send(value).expect("the receiver is alive");
                    }
                    for _ in 0..BURST {
                        black_box(receiver.recv());
                    }
                }
                began.elapsed()
            })
        });
    });
    group.bench_function("std", |bencher| {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<u64>(BURST as usize);
        bencher.iter(|| {
            for value in 0..BURST {
                sender.send(value).expect("the receiver is alive");
            }
            for _ in 0..BURST {
                black_box(receiver.recv().expect("the sender is alive"));
            }
        });
    });
    group.bench_function("tokio", |bencher| {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<u64>(BURST as usize);
        common::tokio().block_on(async {
            // `iter` cannot await, so one poll of the runtime covers all iterations.
            bencher.iter(|| {
                for value in 0..BURST {
                    sender.try_send(value).expect("there is room for a burst");
                }
                for _ in 0..BURST {
                    black_box(receiver.try_recv().expect("a burst was sent"));
                }
            });
        });
    });
    group.finish();
}

fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("channel/round_trip");
    common::on_goroutines(&mut group, |iterations| {
        goroutine_trips(&runtime_pair(), iterations)
    });
    group.bench_function("std", |bencher| {
        bencher.iter_custom(|iterations| {
            let (there, inbox) = std::sync::mpsc::sync_channel::<u64>(0);
            let (back, answers) = std::sync::mpsc::sync_channel::<u64>(0);
            let echo = std::thread::spawn(move || {
                for value in inbox {
                    back.send(value + 1).expect("the other end waits for it");
                }
            });
            let began = Instant::now();
            for value in 0..iterations {
                there.send(value).expect("the echo is alive");
                black_box(answers.recv().expect("the echo is alive"));
            }
            let elapsed = began.elapsed();
            drop(there);
            echo.join().expect("the echo does not panic");
            elapsed
        });
    });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|iterations| {
            common::tokio().block_on(async move {
                let (there, mut inbox) = tokio::sync::mpsc::channel::<u64>(1);
                let (back, mut answers) = tokio::sync::mpsc::channel::<u64>(1);
                let echo = tokio::spawn(async move {
                    while let Some(value) = inbox.recv().await {
                        back.send(value + 1)
                            .await
                            .expect("the other end waits for it");
                    }
                });
                let began = Instant::now();
                for value in 0..iterations {
                    there.send(value).await.expect("the echo is alive");
                    black_box(answers.recv().await);
                }
                let elapsed = began.elapsed();
                drop(there);
                echo.await.expect("the echo does not panic");
                elapsed
            })
        });
    });
    group.finish();
}

type Pair = (
    (bench_runtime::Sender<u64>, bench_runtime::Receiver<u64>),
    (bench_runtime::Sender<u64>, bench_runtime::Receiver<u64>),
);

fn runtime_pair() -> Pair {
    (chan(0), chan(0))
}

fn goroutine_trips(pair: &Pair, iterations: u64) -> std::time::Duration {
    let ((there, inbox), (back, answers)) = pair.clone();
    let echo = go(move || {
        while let Some(value) = inbox.recv() {
            back.send(value + 1).expect("the other end waits for it");
        }
    });
    let began = Instant::now();
    for value in 0..iterations {
        there.send(value).expect("the echo is alive");
        black_box(answers.recv());
    }
    let elapsed = began.elapsed();
    there.close();
    echo.join().expect("the echo does not panic");
    elapsed
}

criterion_group! {
    name = benches;
    config = common::config();
    targets = without_waiting, round_trip
}
criterion_main!(benches);
