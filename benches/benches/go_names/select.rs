//! Go's benchmarks of `select`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_runtime::{chan, go, select, time};

use super::{in_parallel, join_all, local_work, per_operation};

pub(crate) fn select_uncontended(operations: u64, procs: u64) -> Duration {
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

/// Three channels without a buffer, with as many receiving as sending goroutines. Each selects on
/// all three.
pub(crate) fn select_sync_contended(operations: u64, procs: u64) -> Duration {
    let (tx1, rx1) = chan(0);
    let (tx2, rx2) = chan(0);
    let (tx3, rx3) = chan(0);
    let (done, ended) = chan::<()>(0);
    let senders = (0..procs)
        .map(|_| {
            let (tx1, tx2, tx3, ended) = (tx1.clone(), tx2.clone(), tx3.clone(), ended.clone());
            go(move || {
                loop {
                    select! {
                        send(tx1, 0) => {}
                        send(tx2, 0) => {}
                        send(tx3, 0) => {}
                        recv(ended) => return,
                    }
                }
            })
        })
        .collect();
    // The senders must end first, because the last receiver closes the channel.
    let receivers = Arc::new((rx1, rx2, rx3));
    let theirs = receivers.clone();
    let took = in_parallel(operations, procs, move |share| {
        let (rx1, rx2, rx3) = &*theirs;
        for _ in 0..share {
            select! {
                recv(rx1) => {}
                recv(rx2) => {}
                recv(rx3) => {}
            }
        }
    });
    done.close();
    join_all(senders);
    drop(receivers);
    took
}

/// Two channels with room for one item of each goroutine. In each operation a goroutine receives an
/// item from one channel and sends an item to the other.
pub(crate) fn select_async_contended(operations: u64, procs: u64) -> Duration {
    let (tx1, rx1) = chan(procs as usize);
    let (tx2, rx2) = chan(procs as usize);
    in_parallel(operations, procs, move |share| {
        tx1.send(0).expect("open");
        for _ in 0..share {
            select! {
                recv(rx1) => tx2.send(0).expect("open"),
                recv(rx2) => tx1.send(0).expect("open"),
            }
        }
    })
}

pub(crate) fn select_nonblock(operations: u64, procs: u64) -> Duration {
    let (_tx1, rx1) = chan::<u8>(0);
    let (tx2, _rx2) = chan::<u8>(0);
    let (_tx3, rx3) = chan::<u8>(1);
    let (tx4, _rx4) = chan::<u8>(1);
    let ends = Arc::new((rx1, tx2, rx3, tx4));
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

/// As `ChanProdCons`, but each operation also selects on a timer and a channel that are never
/// ready.
pub(crate) fn select_prod_cons(operations: u64, procs: u64) -> Duration {
    const WORK: u64 = 100;
    const HOUR: Duration = Duration::from_secs(3600);
    let (tx, rx) = chan(128);
    let (_keep, closed) = chan::<()>(0);
    let each = operations.div_ceil(procs);
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..procs {
        let (tx, closing) = (tx.clone(), closed.clone());
        tasks.push(go(move || {
            let timer = time::Timer::new(HOUR);
            for n in 0..each {
                local_work(WORK);
                select! {
                    send(tx, n) => {}
                    recv(timer.receiver()) => {}
                    recv(closing) => {}
                }
            }
        }));
        let (rx, closing) = (rx.clone(), closed.clone());
        tasks.push(go(move || {
            let timer = time::Timer::new(HOUR);
            for _ in 0..each {
                select! {
                    recv(rx) => {}
                    recv(timer.receiver()) => {}
                    recv(closing) => {}
                }
                local_work(WORK);
            }
        }));
    }
    join_all(tasks);
    per_operation(began.elapsed(), operations, each * procs)
}
