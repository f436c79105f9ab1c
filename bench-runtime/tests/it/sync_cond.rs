//! `sync::Cond`.

use std::sync::Arc;
use std::time::Duration;

use bench_runtime::chan;
use bench_runtime::sync::{Cond, Mutex};

use crate::support::everywhere;

#[derive(Default)]
struct Pair<T> {
    mutex: Mutex<T>,
    cond: Cond,
}

#[test]
fn a_signal_wakes_one() {
    everywhere(|way| {
        const N: usize = 8;
        let pair = Arc::new(Pair::<usize>::default());
        let (awake, woken) = chan(N);
        let tasks: Vec<_> = (0..N)
            .map(|_| {
                let (pair, awake) = (pair.clone(), awake.clone());
                way.go(move || {
                    let mut guard = pair.mutex.lock();
                    *guard += 1;
                    let guard = pair.cond.wait(guard);
                    awake.send(()).unwrap();
                    drop(guard);
                })
            })
            .collect();
        // Each task counts under the mutex, which its wait unlocks, so all wait now.
        way.until(|| *pair.mutex.lock() == N);
        for left in (0..N).rev() {
            assert!(woken.try_recv().is_err());
            assert!(pair.cond.signal());
            woken.recv();
            way.let_others_run();
            assert!(woken.try_recv().is_err(), "{left} should still wait");
        }
        assert!(!pair.cond.signal());
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn signals_wake_in_the_order_of_the_waits() {
    everywhere(|way| {
        const N: usize = 30;
        let pair = Arc::new(Pair::<usize>::default());
        let (awake, woken) = chan(N);
        let mut tasks = Vec::new();
        for n in 0..N {
            let (theirs, awake) = (pair.clone(), awake.clone());
            tasks.push(way.go(move || {
                let mut guard = theirs.mutex.lock();
                *guard += 1;
                let guard = theirs.cond.wait(guard);
                awake.send(n).unwrap();
                drop(guard);
            }));
            way.until(|| *pair.mutex.lock() == n + 1);
        }
        for n in 0..N {
            pair.cond.signal();
            assert_eq!(woken.recv(), Some(n));
        }
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn a_broadcast_wakes_all_once() {
    everywhere(|way| {
        const N: usize = 20;
        let pair = Arc::new(Pair::<(usize, usize)>::default());
        let tasks: Vec<_> = (0..N)
            .map(|_| {
                let pair = pair.clone();
                way.go(move || {
                    for round in 1..=3 {
                        let mut guard = pair.mutex.lock();
                        guard.0 += 1;
                        let guard = pair.cond.wait_while(guard, |state| state.1 < round);
                        drop(guard);
                    }
                })
            })
            .collect();
        for round in 1..=3 {
            way.until(|| pair.mutex.lock().0 == N * round);
            pair.mutex.lock().1 = round;
            pair.cond.broadcast();
        }
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn a_newcomer_does_not_steal_a_signal() {
    everywhere(|way| {
        for _ in 0..200 {
            let pair = Arc::new(Pair::<usize>::default());
            let first = {
                let pair = pair.clone();
                way.go(move || {
                    let mut guard = pair.mutex.lock();
                    *guard = 1;
                    drop(pair.cond.wait(guard));
                })
            };
            way.until(|| *pair.mutex.lock() == 1);
            pair.cond.signal();
            // This wait begins after the signal, so it gets none.
            let guard = pair.mutex.lock();
            let (guard, signalled) = pair.cond.wait_timeout(guard, Duration::from_micros(50));
            assert!(!signalled);
            drop(guard);
            first.join();
        }
    });
}

#[test]
fn a_timed_wait_leaves_nothing_behind() {
    everywhere(|_| {
        let pair = Pair::<()>::default();
        let (guard, signalled) = pair
            .cond
            .wait_timeout(pair.mutex.lock(), Duration::from_millis(1));
        drop(guard);
        assert!(!signalled);
        assert!(!pair.cond.signal());
    });
}
