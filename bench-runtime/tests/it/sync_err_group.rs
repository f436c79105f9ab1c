//! `sync::ErrGroup`, `WaitGroup::go`, and a semaphore with a context.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bench_runtime::context::{Context, ContextError};
use bench_runtime::sync::{AcquireError, ErrGroup, Semaphore, WaitGroup};
use bench_runtime::{chan, scope};

use crate::support::{Way, everywhere, message};

#[test]
fn the_first_failure_counts_and_ends_the_context() {
    everywhere(|_| {
        let (group, ctx) = ErrGroup::with_context(&Context::background());
        group.go(|| Err("first"));
        // The second task fails only after the first.
        let theirs = ctx.clone();
        group.go(move || {
            theirs.done().recv();
            Err("second")
        });
        group.go(|| Ok(()));
        assert_eq!(group.wait(), Err("first"));
        assert_eq!(ctx.err(), Some(ContextError::Cancelled));
    });
}

#[test]
fn a_group_without_a_failure_ends_its_context_when_it_was_waited_for() {
    everywhere(|_| {
        let (group, ctx) = ErrGroup::<()>::with_context(&Context::background());
        group.go(|| Ok(()));
        assert_eq!(group.wait(), Ok(()));
        assert!(ctx.is_done());
        assert_eq!(ErrGroup::<()>::new().wait(), Ok(()));
    });
}

#[test]
fn a_limit_is_never_exceeded() {
    everywhere(|way| {
        const LIMIT: usize = 3;
        let group = ErrGroup::<()>::with_limit(LIMIT);
        let active = Arc::new(AtomicUsize::new(0));
        for _ in 0..60 {
            let active = active.clone();
            group.go(move || {
                assert!(active.fetch_add(1, Ordering::Relaxed) < LIMIT);
                way.let_others_run();
                active.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            });
        }
        assert_eq!(group.wait(), Ok(()));
    });
}

#[test]
fn try_go_refuses_beyond_the_limit() {
    everywhere(|_| {
        let group = ErrGroup::<()>::with_limit(1);
        let (go_on, wait) = chan::<()>(0);
        assert!(group.try_go(move || {
            wait.recv();
            Ok(())
        }));
        assert!(!group.try_go(|| unreachable!()));
        go_on.close();
        assert_eq!(group.wait(), Ok(()));
        assert!(group.try_go(|| Ok(())));
        assert_eq!(group.wait(), Ok(()));
    });
}

#[test]
fn a_panic_in_a_task_reaches_the_waiter_and_ends_the_context() {
    everywhere(|_| {
        let (group, ctx) = ErrGroup::<()>::with_context(&Context::background());
        let theirs = ctx.clone();
        group.go(move || {
            theirs.done().recv();
            Ok(())
        });
        group.go(|| panic!("in a task"));
        let panic = catch_unwind(AssertUnwindSafe(|| group.wait())).unwrap_err();
        assert_eq!(message(&*panic), "in a task");

        let group = WaitGroup::new();
        group.go(|| panic!("in another"));
        let panic = catch_unwind(AssertUnwindSafe(|| group.wait())).unwrap_err();
        assert_eq!(message(&*panic), "in another");
        group.wait();
    });
}

#[test]
fn a_task_that_exits_is_done_and_no_panic() {
    everywhere(|way| {
        if way == Way::Threads {
            return;
        }
        let group = WaitGroup::new();
        group.go(|| bench_runtime::goexit());
        group.wait();
        assert_eq!(group.count(), 0);
    });
}

#[test]
fn an_ended_context_ends_the_wait_for_a_semaphore_and_unblocks_those_behind() {
    everywhere(|way| {
        let semaphore = Arc::new(Semaphore::new(2));
        let held = semaphore.acquire(1);
        let (ctx, cancel) = Context::background().with_cancel();
        let large = {
            let (semaphore, ctx) = (semaphore.clone(), ctx.clone());
            way.go(move || semaphore.acquire_with(&ctx, 2).unwrap_err())
        };
        way.until(|| semaphore.try_acquire(1).is_err());
        let small = {
            let semaphore = semaphore.clone();
            way.go(move || semaphore.acquire(1).weight())
        };
        way.let_others_run();
        cancel.cancel();
        assert_eq!(large.join(), AcquireError::Ended(ContextError::Cancelled));
        assert_eq!(small.join(), 1);
        drop(held);
        assert!(semaphore.acquire_with(&ctx, 1).is_err());
        let (ctx, cancel) = Context::background().with_cancel();
        let too_large = {
            let semaphore = semaphore.clone();
            way.go(move || semaphore.acquire_with(&ctx, 3).is_err())
        };
        way.let_others_run();
        cancel.cancel();
        assert!(too_large.join());
        assert_eq!(semaphore.available(), 2);
    });
}

#[test]
fn a_cancel_racing_a_release_loses_no_unit() {
    everywhere(|way| {
        let semaphore = Arc::new(Semaphore::new(1));
        for _ in 0..300 {
            let held = semaphore.acquire(1);
            let (ctx, cancel) = Context::background().with_cancel();
            let waiter = {
                let semaphore = semaphore.clone();
                way.go(move || semaphore.acquire_with(&ctx, 1).map(drop).is_ok())
            };
            let canceller = way.go(move || cancel.cancel());
            drop(held);
            waiter.join();
            canceller.join();
            assert_eq!(semaphore.available(), 1);
        }
    });
}

#[test]
fn tasks_in_a_scope_borrow_and_fail_as_others_do() {
    everywhere(|way| {
        if way == Way::Threads {
            return;
        }
        let words = ["one", "two", "three", "four"].map(String::from);
        let mut lengths = [0; 4];
        let (most, now) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let failed = scope(|s| {
            let group = ErrGroup::with_limit(2);
            for (word, length) in words.iter().zip(&mut lengths) {
                let (most, now) = (&most, &now);
                s.go_in(&group, move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    way.yield_now();
                    *length = word.len();
                    now.fetch_sub(1, Ordering::SeqCst);
                    if word == "three" {
                        Err("three")
                    } else {
                        Ok(())
                    }
                });
            }
            group.wait()
        });
        assert_eq!((failed, lengths), (Err("three"), [3, 3, 5, 4]));
        assert!(most.load(Ordering::SeqCst) <= 2);
    });
}

#[test]
fn panic_of_a_task_in_a_scope_reaches_the_waiter_for_the_group() {
    everywhere(|way| {
        if way == Way::Threads {
            return;
        }
        let local = AtomicUsize::new(0);
        let waited = scope(|s| {
            let (group, ctx) = ErrGroup::<()>::with_context(&Context::background());
            s.go_in(&group, || std::panic::resume_unwind(Box::new("on purpose")));
            let local = &local;
            s.go_in(&group, move || {
                ctx.done().recv();
                local.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            catch_unwind(AssertUnwindSafe(|| group.wait()))
        });
        assert_eq!(message(&*waited.unwrap_err()), "on purpose");
        assert_eq!(local.load(Ordering::SeqCst), 1);
    });
}
