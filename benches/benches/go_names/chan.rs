//! Go's benchmarks of channels.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bench_runtime::sync::WaitGroup;
use bench_runtime::{chan, go, select};

use super::{BURST, CALLS_PER_SCHED, in_parallel, join_all, local_work, per_operation, receive};

pub(crate) fn make_chan<T>(operations: u64, _: u64) -> Duration {
    let began = Instant::now();
    for _ in 0..operations {
        black_box(chan::<T>(8));
    }
    began.elapsed()
}

pub(crate) fn chan_nonblocking(operations: u64, procs: u64) -> Duration {
    let (_tx, rx) = chan::<u64>(0);
    in_parallel(operations, procs, move |share| {
        for _ in 0..share {
            let _ = black_box(rx.try_recv());
        }
    })
}

/// Sends a burst to a channel of the goroutine's own and receives it.
pub(crate) fn chan_uncontended(operations: u64, procs: u64) -> Duration {
    in_parallel(operations, procs, |share| {
        let (tx, rx) = chan(BURST);
        for _ in 0..share {
            (0..BURST).for_each(|n| tx.send(n).expect("open"));
            (0..BURST).for_each(|_| receive(&rx));
        }
    })
}

/// As [`chan_uncontended`], but all goroutines use one channel.
pub(crate) fn chan_contended(operations: u64, procs: u64) -> Duration {
    let (tx, rx) = chan(BURST * procs as usize);
    in_parallel(operations, procs, move |share| {
        for _ in 0..share {
            (0..BURST).for_each(|n| tx.send(n).expect("open"));
            (0..BURST).for_each(|_| receive(&rx));
        }
    })
}

/// Two goroutines on a channel without a buffer. An operation is a send and a receive by the same
/// goroutine, with `work` after each.
pub(crate) fn chan_sync(operations: u64, work: u64) -> Duration {
    let (tx, rx) = chan(0);
    let each = operations.div_ceil(2 * CALLS_PER_SCHED) * CALLS_PER_SCHED;
    let began = Instant::now();
    let start = |first: bool| {
        let (tx, rx) = (tx.clone(), rx.clone());
        go(move || {
            for _ in 0..each {
                if first {
                    tx.send(0).expect("open");
                    local_work(work);
                    rx.recv();
                } else {
                    rx.recv();
                    local_work(work);
                    tx.send(0).expect("open");
                }
                local_work(work);
            }
        })
    };
    join_all(vec![start(true), start(false)]);
    per_operation(began.elapsed(), operations, 2 * each)
}

/// A producer and a consumer for each P, on one channel. An operation is one item, processed by
/// both.
pub(crate) fn prod_cons(operations: u64, procs: u64, capacity: usize, work: u64) -> Duration {
    let (tx, rx) = chan(capacity);
    let each = operations.div_ceil(procs);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..procs {
        let (tx, rx) = (tx.clone(), rx.clone());
        tasks.push(go(move || {
            for n in 0..each {
                local_work(work);
                tx.send(n).expect("open");
            }
        }));
        tasks.push(go(move || {
            for _ in 0..each {
                receive(&rx);
                local_work(work);
            }
        }));
    }
    join_all(tasks);
    per_operation(began.elapsed(), operations, each * procs)
}

pub(crate) fn receive_data_from_closed(operations: u64, _: u64) -> Duration {
    let (tx, rx) = chan(operations as usize);
    (0..operations).for_each(|_| tx.send(()).expect("there is room"));
    tx.close();
    let began = Instant::now();
    assert_eq!(rx.iter().count() as u64, operations);
    began.elapsed()
}

pub(crate) fn chan_creation(operations: u64, procs: u64) -> Duration {
    in_parallel(operations, procs, |share| {
        for n in 0..share {
            let (tx, rx) = chan(1);
            tx.send(n).expect("open");
            rx.recv();
        }
    })
}

/// A channel as a semaphore with a place for each P. An operation takes and releases a place.
pub(crate) fn chan_sem(operations: u64, procs: u64) -> Duration {
    let (tx, rx) = chan(procs as usize);
    in_parallel(operations, procs, move |share| {
        for _ in 0..share {
            tx.send(()).expect("open");
            rx.recv();
        }
    })
}

/// A thousand goroutines, each of which selects on its own channel and on one that all share. An
/// operation is one value to each.
pub(crate) fn chan_popular(operations: u64, _: u64) -> Duration {
    const CROWD: usize = 1000;
    let (_keep, popular) = chan::<bool>(0);
    let group = WaitGroup::new();
    let own: Vec<_> = (0..CROWD)
        .map(|_| {
            let (tx, rx) = chan(0);
            let popular = popular.clone();
            group.go(move || {
                for _ in 0..operations {
                    select! {
                        recv(popular) => {}
                        recv(rx) => {}
                    }
                }
            });
            tx
        })
        .collect();
    let began = Instant::now();
    for _ in 0..operations {
        for tx in &own {
            tx.send(true).expect("open");
        }
    }
    group.wait();
    began.elapsed()
}

pub(crate) fn chan_closed(operations: u64, procs: u64) -> Duration {
    let (tx, rx) = chan::<()>(0);
    tx.close();
    in_parallel(operations, procs, move |share| {
        for _ in 0..share {
            select! {
                recv(rx) => {}
                default => unreachable!("it is closed"),
            }
        }
    })
}
