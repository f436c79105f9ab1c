//! `sync::RwMutex`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bench_runtime::chan;
use bench_runtime::sync::RwMutex;

use crate::support::everywhere;

#[test]
fn readers_hold_it_at_the_same_time() {
    everywhere(|way| {
        let shared = Arc::new(RwMutex::new(5));
        let (inside, entered) = chan::<()>(0);
        let (leave, wait) = chan::<()>(0);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (shared, inside, wait) = (shared.clone(), inside.clone(), wait.clone());
                way.go(move || {
                    let guard = shared.read();
                    inside.send(()).unwrap();
                    wait.recv();
                    *guard
                })
            })
            .collect();
        (0..4).for_each(|_| entered.recv().unwrap());
        assert!(shared.try_write().is_none());
        assert!(shared.try_read().is_some());
        leave.close();
        assert!(readers.into_iter().all(|reader| reader.join() == 5));
        assert!(shared.try_write().is_some());
    });
}

#[test]
fn a_waiting_writer_keeps_new_readers_out_and_gets_in_next() {
    everywhere(|way| {
        let shared = Arc::new(RwMutex::new(0));
        let reading = shared.read();
        let writer = {
            let shared = shared.clone();
            way.go(move || *shared.write() = 1)
        };
        way.until(|| shared.try_read().is_none());
        let reader = {
            let shared = shared.clone();
            way.go(move || *shared.read())
        };
        way.let_others_run();
        drop(reading);
        assert_eq!(reader.join(), 1);
        writer.join();
    });
}

#[test]
fn a_writer_is_always_alone() {
    everywhere(|way| {
        let shared = Arc::new(RwMutex::new(()));
        // Readers add 1, a writer adds 10,000.
        let inside = Arc::new(AtomicI32::new(0));
        let mut tasks = Vec::new();
        for who in 0..12 {
            let (shared, inside) = (shared.clone(), inside.clone());
            tasks.push(way.go(move || {
                for n in 0..500 {
                    if (n + who) % 5 == 0 {
                        let guard = shared.write();
                        assert_eq!(inside.fetch_add(10_000, Ordering::Relaxed), 0);
                        if n % 50 == 0 {
                            way.yield_now();
                        }
                        inside.fetch_sub(10_000, Ordering::Relaxed);
                        drop(guard);
                    } else {
                        let guard = shared.read();
                        assert!(inside.fetch_add(1, Ordering::Relaxed) < 10_000);
                        if n % 50 == 0 {
                            way.yield_now();
                        }
                        inside.fetch_sub(1, Ordering::Relaxed);
                        drop(guard);
                    }
                }
            }));
        }
        tasks.into_iter().for_each(|task| task.join());
        assert!(shared.try_write().is_some());
    });
}

#[test]
fn writes_are_seen_by_later_readers_and_none_is_lost() {
    everywhere(|way| {
        let shared = Arc::new(RwMutex::new(0_u64));
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let shared = shared.clone();
                way.go(move || {
                    let mut last = 0;
                    for _ in 0..500 {
                        *shared.write() += 1;
                        let now = *shared.read();
                        assert!(now > last);
                        last = now;
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join());
        assert_eq!(*shared.read(), 3_000);
    });
}
