//! `sync::Semaphore`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::sync::{AcquireError, Semaphore};

use crate::support::{everywhere, message};

#[test]
fn concurrent_acquisitions_never_exceed_the_units() {
    everywhere(|way| {
        const SIZE: usize = 7;
        let semaphore = Arc::new(Semaphore::new(SIZE));
        let lent = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|who| {
                let (semaphore, lent) = (semaphore.clone(), lent.clone());
                way.go(move || {
                    for n in 0..300 {
                        let weight = 1 + (n + who) % SIZE;
                        let permit = semaphore.acquire(weight);
                        let now = lent.fetch_add(weight, Ordering::Relaxed) + weight;
                        assert!(now <= SIZE, "{now} of {SIZE}");
                        if n % 20 == 0 {
                            way.yield_now();
                        }
                        lent.fetch_sub(weight, Ordering::Relaxed);
                        drop(permit);
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join());
        assert_eq!(semaphore.available(), SIZE);
    });
}

#[test]
fn a_large_acquisition_is_not_overtaken() {
    everywhere(|way| {
        let semaphore = Arc::new(Semaphore::new(4));
        let small = semaphore.acquire(1);
        let large = {
            let semaphore = semaphore.clone();
            way.go(move || drop(semaphore.acquire(4)))
        };
        // Three units are free. Once the large acquisition waits, no other acquisition gets them.
        way.until(|| semaphore.try_acquire(1).is_err());
        assert_eq!(semaphore.available(), 3);
        drop(small);
        large.join();
        assert!(semaphore.try_acquire(4).is_ok());
    });
}

#[test]
fn a_too_large_acquisition_blocks_no_other() {
    everywhere(|_| {
        let semaphore = Semaphore::new(2);
        let limit = Duration::from_millis(1);
        assert_eq!(
            semaphore.acquire_timeout(3, limit).unwrap_err(),
            AcquireError::Timeout
        );
        assert_eq!(semaphore.try_acquire(3).unwrap_err(), AcquireError::Busy);
        assert!(semaphore.try_acquire(2).is_ok());
    });
}

#[test]
fn a_waiter_that_gives_up_unblocks_those_behind_it() {
    everywhere(|way| {
        let semaphore = Arc::new(Semaphore::new(3));
        let held = semaphore.acquire(2);
        let large = {
            let semaphore = semaphore.clone();
            way.go(move || {
                semaphore
                    .acquire_timeout(3, Duration::from_millis(20))
                    .is_err()
            })
        };
        way.until(|| semaphore.try_acquire(1).is_err());
        // This acquisition would fit, but waits behind the large one.
        drop(semaphore.acquire(1));
        assert!(large.join());
        drop(held);
        assert_eq!(semaphore.available(), 3);
    });
}

#[test]
fn releasing_more_than_was_acquired_panics() {
    everywhere(|_| {
        let semaphore = Semaphore::new(2);
        semaphore.acquire(1).forget();
        let panic = catch_unwind(AssertUnwindSafe(|| semaphore.release(2))).unwrap_err();
        assert!(message(&*panic).contains("more than was acquired"));
        semaphore.release(1);
        assert_eq!(semaphore.available(), 2);
    });
}

#[test]
fn units_released_beside_their_permit_make_no_second_panic() {
    everywhere(|_| {
        let semaphore = Arc::new(Semaphore::new(1));
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _permit = semaphore.acquire(1);
            semaphore.release(1);
            panic!("the first");
        }));
        assert_eq!(message(&*unwound.unwrap_err()), "the first");
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _permit = semaphore.acquire_owned(1);
            semaphore.release(1);
            panic!("the first");
        }));
        assert_eq!(message(&*unwound.unwrap_err()), "the first");
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn a_timeout_racing_a_release_loses_no_unit() {
    everywhere(|way| {
        let semaphore = Arc::new(Semaphore::new(1));
        let tasks: Vec<_> = (0..4)
            .map(|who| {
                let semaphore = semaphore.clone();
                way.go(move || {
                    for n in 0..500 {
                        let limit = Duration::from_micros((n * 7 + who) % 30);
                        drop(semaphore.acquire_timeout(1, limit));
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join());
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn thousands_of_waiters_are_each_served_once() {
    everywhere(|way| {
        let tasks = way.count(100, 8_000);
        let semaphore = Arc::new(Semaphore::new(1));
        let held = semaphore.acquire(1);
        let served = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..tasks)
            .map(|_| {
                let (semaphore, served) = (semaphore.clone(), served.clone());
                way.go(move || {
                    let permit = semaphore.acquire(1);
                    let turn = served.fetch_add(1, Ordering::Relaxed);
                    drop(permit);
                    turn
                })
            })
            .collect();
        way.let_others_run();
        drop(held);
        let mut turns: Vec<_> = waiting.into_iter().map(|task| task.join()).collect();
        turns.sort_unstable();
        assert!(turns.into_iter().eq(0..tasks));
    });
}

#[test]
fn a_release_hands_over_and_does_not_let_its_owner_barge() {
    everywhere(|way| {
        const ROUNDS: usize = 500;
        let semaphore = Arc::new(Semaphore::new(1));
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let held = semaphore.acquire(1);
        let other = {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            way.go(move || {
                for _ in 0..ROUNDS {
                    let permit = semaphore.acquire(1);
                    log.lock().unwrap().push(1);
                    drop(permit);
                }
            })
        };
        // Once the other waits, each release passes the unit to it.
        way.until(|| semaphore.try_acquire(0).is_err());
        drop(held);
        for _ in 0..ROUNDS {
            let permit = semaphore.acquire(1);
            log.lock().unwrap().push(0);
            drop(permit);
        }
        other.join();
        let log = log.lock().unwrap();
        assert_eq!(log[0], 1, "the first release is the other's");
        assert_eq!(log.len(), 2 * ROUNDS);
    });
}

#[test]
fn owned_permits_go_to_other_tasks_and_come_back_once() {
    everywhere(|way| {
        let slots = Arc::new(Semaphore::new(3));
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..30)
            .map(|n| {
                let permit = slots.acquire_owned(1 + n % 3);
                let inside = inside.clone();
                way.go(move || {
                    let weight = permit.weight();
                    assert!(inside.fetch_add(weight, Ordering::SeqCst) + weight <= 3);
                    way.yield_now();
                    inside.fetch_sub(weight, Ordering::SeqCst);
                    drop(permit);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join());
        assert_eq!(slots.available(), 3);
        let all = slots.try_acquire_owned(3).unwrap();
        assert!(slots.try_acquire_owned(1).is_err());
        let (ctx, cancel) = Context::background().with_cancel();
        cancel.cancel();
        assert!(slots.acquire_owned_with(&ctx, 1).is_err());
        drop(slots);
        drop(all);
    });
}
