//! `sync::WaitGroup`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::sync::WaitGroup;

use crate::support::{everywhere, message};

#[test]
fn the_barrier_is_never_early_and_can_be_used_again() {
    everywhere(|way| {
        let here = WaitGroup::new();
        let there = WaitGroup::new();
        for _ in 0..8 {
            const N: usize = 16;
            here.add(N as i32);
            there.add(N as i32);
            let arrived = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..N)
                .map(|_| {
                    let (here, there, arrived) = (here.clone(), there.clone(), arrived.clone());
                    way.go(move || {
                        arrived.fetch_add(1, Ordering::Relaxed);
                        here.done();
                        there.wait();
                    })
                })
                .collect();
            here.wait();
            assert_eq!(arrived.load(Ordering::Relaxed), N);
            assert_eq!(there.count(), N);
            (0..N).for_each(|_| there.done());
            tasks.into_iter().for_each(|task| task.join());
        }
    });
}

#[test]
fn every_waiter_is_woken_once() {
    everywhere(|way| {
        let group = WaitGroup::new();
        group.add(1);
        let woken = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                let (group, woken) = (group.clone(), woken.clone());
                way.go(move || {
                    group.wait();
                    woken.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        way.let_others_run();
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        group.done();
        waiters.into_iter().for_each(|task| task.join());
        assert_eq!(woken.load(Ordering::Relaxed), 20);
    });
}

#[test]
fn a_negative_count_panics_and_changes_nothing() {
    everywhere(|_| {
        let group = WaitGroup::new();
        let panic = catch_unwind(AssertUnwindSafe(|| group.done())).unwrap_err();
        assert!(message(&*panic).contains("negative count"));
        group.wait();
        group.add(2);
        assert!(catch_unwind(AssertUnwindSafe(|| group.add(-3))).is_err());
        assert_eq!(group.count(), 2);
    });
}

#[test]
fn a_wait_for_nothing_does_not_block() {
    everywhere(|_| {
        WaitGroup::new().wait();
        assert!(WaitGroup::new().wait_timeout(Duration::ZERO));
    });
}

#[test]
fn a_timed_wait_returns_whether_the_tasks_were_done() {
    everywhere(|way| {
        let group = WaitGroup::new();
        group.add(1);
        assert!(!group.wait_timeout(Duration::from_millis(2)));
        let waiter = {
            let group = group.clone();
            way.go(move || group.wait_timeout(Duration::from_secs(100)))
        };
        way.let_others_run();
        group.done();
        assert!(waiter.join());
    });
}

#[test]
fn done_racing_wait_never_hangs() {
    everywhere(|way| {
        for _ in 0..500 {
            let group = WaitGroup::new();
            group.add(2);
            let tasks: Vec<_> = (0..2)
                .map(|_| {
                    let group = group.clone();
                    way.go(move || group.done())
                })
                .collect();
            group.wait();
            assert_eq!(group.count(), 0);
            tasks.into_iter().for_each(|task| task.join());
        }
    });
}
