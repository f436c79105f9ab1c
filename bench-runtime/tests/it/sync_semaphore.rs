//! `sync::Semaphore`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::sync::{AcquireError, Semaphore};

use crate::support::{everywhere, message};

#[test]
fn hammering_it_never_lends_more_than_there_is() {
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
        // Three are free; once the large one waits, nobody gets them.
        way.until(|| semaphore.try_acquire(1).is_err());
        assert_eq!(semaphore.available(), 3);
        drop(small);
        large.join();
        assert!(semaphore.try_acquire(4).is_ok());
    });
}

#[test]
fn a_too_large_acquisition_blocks_nobody_else() {
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
        // Would fit, but is behind the large one until that gives up.
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
