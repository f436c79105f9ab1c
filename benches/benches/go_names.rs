//! What do the operations cost that Go's own benchmarks measure? Each is named
//! as in Go and does the same for one operation, so that a line of this holds
//! against a line of `go test -bench . runtime sync`; the number after the dash
//! is GOMAXPROCS, as there.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bench_runtime::sync::Mutex;
use bench_runtime::{JoinHandle, Receiver, chan, go, select};
use criterion::{Criterion, criterion_group, criterion_main};

mod common;

/// Items of a burst in `ChanUncontended` and `ChanContended`: Go's figure.
const BURST: usize = 100;

/// Calls between two looks at the clock, where Go counts so many as one.
const CALLS_PER_SCHED: u64 = 1000;

/// One of Go's benchmarks: runs so many operations with so many goroutines at
/// once, and says how long that took.
type Bench = fn(operations: u64, procs: u64) -> Duration;

const BENCHES: &[(&str, Bench)] = &[
    ("ChanUncontended", chan_uncontended),
    ("ChanContended", chan_contended),
    ("ChanSync", chan_sync),
    ("ChanProdCons0", |n, procs| prod_cons(n, procs, 0)),
    ("ChanProdCons10", |n, procs| prod_cons(n, procs, 10)),
    ("ChanProdCons100", |n, procs| prod_cons(n, procs, 100)),
    ("ChanCreation", chan_creation),
    ("SelectUncontended", select_uncontended),
    ("SelectNonblock", select_nonblock),
    ("MutexUncontended", mutex_uncontended),
    ("CreateGoroutines", create_goroutines),
];

fn by_gos_names(criterion: &mut Criterion) {
    for procs in [1, 2] {
        let runtime = common::runtime(procs);
        let mut group = criterion.benchmark_group("go");
        // Short: plain `cargo bench` runs all of them.
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(200));
        group.measurement_time(Duration::from_millis(600));
        for (name, bench) in BENCHES {
            group.bench_function(format!("{name}-{procs}"), |bencher| {
                bencher
                    .iter_custom(|operations| runtime.run(move || bench(operations, procs as u64)));
            });
        }
        group.finish();
    }
}

/// Go's `RunParallel`: the operations shared out to a goroutine for each P.
fn in_parallel(operations: u64, procs: u64, f: impl Fn(u64) + Send + Clone + 'static) -> Duration {
    let began = Instant::now();
    let start = |index: u64| {
        let f = f.clone();
        let share = operations / procs + u64::from(index < operations % procs);
        go(move || f(share))
    };
    join_all((0..procs).map(start).collect());
    began.elapsed()
}

fn join_all(handles: Vec<JoinHandle<()>>) {
    for handle in handles {
        handle.join().expect("no task of a benchmark panics");
    }
}

fn receive<T>(rx: &Receiver<T>) {
    black_box(rx.recv());
}

/// An operation is a burst into a channel of one's own and out again.
fn chan_uncontended(operations: u64, procs: u64) -> Duration {
    in_parallel(operations, procs, |share| {
        let (tx, rx) = chan(BURST);
        for _ in 0..share {
            (0..BURST).for_each(|n| tx.send(n).expect("open"));
            (0..BURST).for_each(|_| receive(&rx));
        }
    })
}

/// As above, all on one channel.
fn chan_contended(operations: u64, procs: u64) -> Duration {
    let (tx, rx) = chan(BURST * procs as usize);
    in_parallel(operations, procs, move |share| {
        for _ in 0..share {
            (0..BURST).for_each(|n| tx.send(n).expect("open"));
            (0..BURST).for_each(|_| receive(&rx));
        }
    })
}

/// Two goroutines, a channel without a buffer: an operation is one of the two
/// meeting the other once to send and once to receive.
fn chan_sync(operations: u64, _: u64) -> Duration {
    let (tx, rx) = chan(0);
    let each = operations.div_ceil(2 * CALLS_PER_SCHED) * CALLS_PER_SCHED;
    let began = Instant::now();
    let start = |first: bool| {
        let (tx, rx) = (tx.clone(), rx.clone());
        go(move || {
            for _ in 0..each {
                if first {
                    tx.send(0).expect("open");
                    rx.recv();
                } else {
                    rx.recv();
                    tx.send(0).expect("open");
                }
            }
        })
    };
    join_all(vec![start(true), start(false)]);
    // Rounded up above: per operation asked for.
    began
        .elapsed()
        .mul_f64(operations as f64 / (2 * each) as f64)
}

/// A producer and a consumer for each P, on one channel; an operation is one
/// item.
fn prod_cons(operations: u64, procs: u64, capacity: usize) -> Duration {
    let (tx, rx) = chan(capacity);
    let each = operations.div_ceil(procs);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..procs {
        let (tx, rx) = (tx.clone(), rx.clone());
        tasks.push(go(move || {
            (0..each).for_each(|n| tx.send(n).expect("open"))
        }));
        tasks.push(go(move || (0..each).for_each(|_| receive(&rx))));
    }
    join_all(tasks);
    began.elapsed()
}

/// An operation makes a channel with room for one, sends and receives.
fn chan_creation(operations: u64, procs: u64) -> Duration {
    in_parallel(operations, procs, |share| {
        for n in 0..share {
            let (tx, rx) = chan(1);
            tx.send(n).expect("open");
            rx.recv();
        }
    })
}

/// Two channels of one's own, one of which always has an item.
fn select_uncontended(operations: u64, procs: u64) -> Duration {
    in_parallel(operations, procs, |share| {
        let (tx1, rx1) = chan(1);
        let (tx2, rx2) = chan(1);
        tx1.send(0).expect("open");
        for _ in 0..share {
            select! {
                recv(rx1) => tx2.send(0).expect("open"),
                recv(rx2) => tx1.send(0).expect("open"),
            }
        }
    })
}

/// Four selects with a `default`: a recv and a send each on channels without
/// and with a buffer.
fn select_nonblock(operations: u64, procs: u64) -> Duration {
    let (_tx1, rx1) = chan::<u8>(0);
    let (tx2, _rx2) = chan::<u8>(0);
    let (_tx3, rx3) = chan::<u8>(1);
    let (tx4, _rx4) = chan::<u8>(1);
    let ends = std::sync::Arc::new((rx1, tx2, rx3, tx4));
    in_parallel(operations, procs, move |share| {
        let (rx1, tx2, rx3, tx4) = &*ends;
        for _ in 0..share {
            select! { recv(rx1) => {}, default => {} }
            select! { send(tx2, 0) -> _ => {}, default => {} }
            select! { recv(rx3) => {}, default => {} }
            select! { send(tx4, 0) -> _ => {}, default => {} }
        }
    })
}

/// A mutex for each goroutine.
fn mutex_uncontended(operations: u64, procs: u64) -> Duration {
    in_parallel(operations, procs, |share| {
        let mutex = Mutex::new(());
        for _ in 0..share {
            drop(black_box(&mutex).lock());
        }
    })
}

/// A chain of goroutines, each of which starts the next and ends.
fn create_goroutines(operations: u64, _: u64) -> Duration {
    fn link(left: u64, done: bench_runtime::Sender<()>) {
        if left == 0 {
            return done.send(()).expect("open");
        }
        drop(go(move || link(left - 1, done)));
    }
    let (done, ended) = chan(0);
    let began = Instant::now();
    link(operations, done);
    ended.recv();
    began.elapsed()
}

criterion_group! {
    name = benches;
    config = common::config();
    targets = by_gos_names
}
criterion_main!(benches);
