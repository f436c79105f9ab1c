//! `sync::Once` and `sync::OnceCell`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bench_runtime::sync::{Once, OnceCell};

use crate::support::{Way, everywhere, message};

#[test]
fn of_many_calls_one_runs_and_the_others_wait_for_its_end() {
    everywhere(|way| {
        let once = Arc::new(Once::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (once, runs) = (once.clone(), runs.clone());
                way.go(move || {
                    once.call(|| {
                        way.let_others_run();
                        runs.fetch_add(1, Ordering::Relaxed);
                    });
                    assert_eq!(runs.load(Ordering::Relaxed), 1);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join());
        assert!(once.is_done());
    });
}

#[test]
fn a_panic_counts_as_done() {
    everywhere(|_| {
        let once = Once::new();
        let panic = catch_unwind(AssertUnwindSafe(|| once.call(|| panic!("first")))).unwrap_err();
        assert_eq!(message(&*panic), "first");
        once.call(|| unreachable!("it was done"));
    });
}

#[test]
fn a_goroutine_that_exits_counts_as_done() {
    everywhere(|way| {
        if way == Way::Threads {
            return;
        }
        let once = Arc::new(Once::new());
        let theirs = once.clone();
        let task = way.go(move || theirs.call(|| bench_runtime::goexit()));
        assert!(task.try_join().is_err());
        once.call(|| unreachable!("it was done"));

        let cell = Arc::new(OnceCell::<u8>::new());
        let theirs = cell.clone();
        let task = way.go(move || *theirs.get_or_init(|| bench_runtime::goexit()));
        assert!(task.try_join().is_err());
        let ask = AssertUnwindSafe(|| *cell.get_or_init(|| 1));
        assert!(message(&*catch_unwind(ask).unwrap_err()).contains("ended its goroutine"));
    });
}

#[test]
fn a_cell_is_computed_once_by_the_first_caller() {
    everywhere(|way| {
        let cell = Arc::new(OnceCell::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (cell, runs) = (cell.clone(), runs.clone());
                way.go(move || {
                    *cell.get_or_init(|| {
                        way.let_others_run();
                        runs.fetch_add(1, Ordering::Relaxed)
                    })
                })
            })
            .collect();
        assert!(tasks.into_iter().all(|task| task.join() == 0));
        assert_eq!(Arc::into_inner(cell).unwrap().into_inner(), Some(0));
    });
}

#[test]
fn a_cell_whose_computation_panicked_panics_for_all_with_the_same_message() {
    everywhere(|_| {
        let cell = OnceCell::<u8>::new();
        for _ in 0..3 {
            let ask = AssertUnwindSafe(|| *cell.get_or_init(|| panic!("no {}", "value")));
            assert_eq!(message(&*catch_unwind(ask).unwrap_err()), "no value");
        }
        assert_eq!((cell.get(), cell.set(1)), (None, Err(1)));
    });
}

#[test]
fn a_cell_drops_its_value_once() {
    everywhere(|_| {
        let value = Arc::new(());
        let cell = OnceCell::new();
        cell.set(value.clone()).unwrap();
        assert!(cell.set(value.clone()).is_err());
        assert_eq!(Arc::strong_count(&value), 2);
        drop(cell);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}
