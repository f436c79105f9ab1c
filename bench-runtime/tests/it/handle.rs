//! `Handle`: goroutines started by code that does not own the runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bench_runtime::{Handle, JoinError, chan, in_goroutine};

use crate::future::each_runtime;
use crate::sched_support::Setting;
use crate::start::Start;

#[test]
fn foreign_threads_start_goroutines() {
    each_runtime(|runtime| {
        let handle = runtime.handle();
        let threads: Vec<_> = (0..4u64)
            .map(|id| {
                let handle = handle.clone();
                std::thread::spawn(move || {
                    assert!(Handle::current().is_none());
                    let tasks: Vec<_> = (0..100)
                        .map(|n| {
                            handle.spawn(move || {
                                assert!(in_goroutine());
                                id * 100 + n
                            })
                        })
                        .collect();
                    let sum = tasks.into_iter().map(|task| task.join().unwrap());
                    sum.sum::<u64>()
                })
            })
            .collect();
        let sum: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(sum, (0..400).sum::<u64>());
    });
}

#[test]
fn handle_of_a_goroutine_is_that_of_its_runtime() {
    each_runtime(|runtime| {
        let handle = runtime.run(|| Handle::current().unwrap());
        let (tx, rx) = chan::<()>(0);
        let task = handle.spawn(move || rx.recv());
        assert_eq!(runtime.metrics().goroutines_count, 1);
        drop(tx);
        assert_eq!(task.join().unwrap(), None);
    });
}

#[test]
fn handle_that_outlives_its_runtime_starts_nothing_and_drops_the_closure() {
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for migrating in [false, true] {
        let setting = Setting {
            procs: 2,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        let handle = runtime.handle();
        let drops = Arc::new(AtomicUsize::new(0));
        let racing = std::thread::spawn({
            let (handle, drops) = (handle.clone(), drops.clone());
            move || {
                let start = |n: usize| {
                    let counts = Counts(drops.clone());
                    handle.spawn(move || {
                        drop(counts);
                        n
                    })
                };
                let tasks: Vec<_> = (0..1_000).map(start).collect();
                for (n, task) in tasks.into_iter().enumerate() {
                    match task.join() {
                        Ok(got) => assert_eq!(got, n),
                        Err(JoinError::Abandoned) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        });
        drop(runtime);
        racing.join().unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 1_000);
        let late = handle.clone().spawn(|| 1).join();
        assert!(matches!(late, Err(JoinError::Abandoned)));
    }
}
