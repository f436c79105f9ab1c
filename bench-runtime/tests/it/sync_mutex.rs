//! `sync::Mutex`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::chan;
use bench_runtime::sync::Mutex;

use crate::support::everywhere;

#[test]
fn hammering_a_mutex_loses_no_increment() {
    everywhere(|way| {
        let total = Arc::new(Mutex::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let total = total.clone();
                way.go(move || {
                    for n in 0..1_000 {
                        if n % 3 == 0
                            && let Some(mut guard) = total.try_lock()
                        {
                            *guard += 1;
                        } else {
                            *total.lock() += 1;
                        }
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join());
        assert_eq!(*total.lock(), 10_000);
    });
}

#[test]
fn a_mutex_held_across_a_park_keeps_others_out() {
    everywhere(|way| {
        let shared = Arc::new(Mutex::new(Vec::new()));
        let (go_on, wait) = chan::<()>(0);
        let (began, begin) = chan::<()>(0);
        let holder = {
            let shared = shared.clone();
            way.go(move || {
                let mut guard = shared.lock();
                began.send(()).unwrap();
                wait.recv();
                guard.push("holder");
            })
        };
        begin.recv();
        assert!(shared.try_lock().is_none());
        let others: Vec<_> = (0..4)
            .map(|_| {
                let shared = shared.clone();
                way.go(move || shared.lock().push("other"))
            })
            .collect();
        way.let_others_run();
        go_on.send(()).unwrap();
        holder.join();
        others.into_iter().for_each(|task| task.join());
        assert_eq!(
            *shared.lock(),
            ["holder", "other", "other", "other", "other"]
        );
    });
}

#[test]
fn a_hogging_holder_does_not_starve_another() {
    everywhere(|way| {
        let mutex = Arc::new(Mutex::new(()));
        let stop = Arc::new(AtomicBool::new(false));
        let hog = {
            let (mutex, stop) = (mutex.clone(), stop.clone());
            way.go(move || {
                while !stop.load(Ordering::Relaxed) {
                    let guard = mutex.lock();
                    let begin = Instant::now();
                    while begin.elapsed() < Duration::from_micros(100) {
                        std::hint::spin_loop();
                    }
                    drop(guard);
                }
            })
        };
        // Each lock waits for a few of the hog's critical sections, not for the hog's end.
        for _ in 0..10 {
            way.yield_now();
            drop(mutex.lock());
        }
        stop.store(true, Ordering::Relaxed);
        hog.join();
    });
}

#[test]
fn a_panic_while_it_is_held_unlocks_and_does_not_poison() {
    everywhere(|way| {
        let mutex = Arc::new(Mutex::new(1));
        let theirs = mutex.clone();
        let task = way.go(move || {
            let mut guard = theirs.lock();
            *guard = 2;
            panic!("on purpose");
        });
        assert!(task.try_join().is_err());
        assert_eq!(*mutex.lock(), 2);
    });
}

#[test]
fn many_waiters_of_one_mutex_all_get_it() {
    everywhere(|way| {
        let tasks = way.count(64, 2_000);
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock();
        let waiting: Vec<_> = (0..tasks)
            .map(|_| {
                let mutex = mutex.clone();
                way.go(move || *mutex.lock() += 1)
            })
            .collect();
        way.let_others_run();
        drop(held);
        waiting.into_iter().for_each(|task| task.join());
        assert_eq!(*mutex.lock(), tasks);
    });
}
