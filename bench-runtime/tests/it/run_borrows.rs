//! `Runtime::run_scoped`: the caller's values are borrowed until it is over, however it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bench_runtime::{Runtime, chan, go, goexit, scope, time};

use crate::future::each_runtime;
use crate::start::Start;
use crate::support::message;

#[test]
fn closure_and_result_borrow_from_the_caller() {
    each_runtime(|runtime| {
        let words = [
            String::from("a"),
            String::from("longer"),
            String::from("word"),
        ];
        let mut count = 0;
        let longest: &str = runtime.run_scoped(|| {
            count = words.len();
            words.iter().max_by_key(|word| word.len()).unwrap()
        });
        assert_eq!((longest, count), ("longer", 3));
    });
}

#[test]
fn a_goroutine_lends_to_another_runtime_and_scopes_lend_on() {
    each_runtime(|runtime| {
        let total = AtomicUsize::new(0);
        runtime.run_scoped(|| {
            let other = Runtime::builder().procs(2).start().unwrap();
            let parts = [1, 2, 3, 4];
            other.run_scoped(|| {
                scope(|s| {
                    for part in &parts {
                        s.go(|| total.fetch_add(*part, Ordering::Relaxed));
                    }
                });
            });
        });
        assert_eq!(total.into_inner(), 10);
    });
}

#[test]
fn borrows_end_after_a_panic_and_a_goexit() {
    each_runtime(|runtime| {
        let log = Mutex::new(Vec::new());
        let panic = catch_unwind(AssertUnwindSafe(|| {
            runtime.run_scoped(|| {
                log.lock().unwrap().push("begun");
                panic!("as it should");
            });
        }));
        assert_eq!(message(&*panic.unwrap_err()), "as it should");
        let exit = catch_unwind(AssertUnwindSafe(|| {
            runtime.run_scoped(|| {
                log.lock().unwrap_or_else(|e| e.into_inner()).push("again");
                goexit();
            });
        }));
        assert!(message(&*exit.unwrap_err()).contains("did not return"));
        assert_eq!(
            log.into_inner().unwrap_or_else(|e| e.into_inner()),
            ["begun", "again"]
        );
    });
}

#[test]
fn two_runs_that_are_stuck_both_end() {
    let runtime = Arc::new(Runtime::builder().fake_time().start().unwrap());
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let runtime = runtime.clone();
            std::thread::spawn(move || {
                let (_tx, rx) = chan::<u8>(0);
                runtime.run(move || rx.recv())
            })
        })
        .collect();
    for thread in threads {
        let panic = message(&*thread.join().unwrap_err());
        assert!(panic.contains("asleep"), "{panic}");
    }
}

#[test]
fn goroutines_that_are_left_run_on_and_borrow_nothing() {
    each_runtime(|runtime| {
        let (tx, rx) = chan(1);
        let text = String::from("here");
        runtime.run_scoped(|| {
            let text = text.clone();
            go!({
                time::sleep(Duration::from_millis(1));
                tx.send(text).unwrap();
            });
        });
        drop(text);
        assert_eq!(rx.recv().as_deref(), Some("here"));
    });
}
