//! Runtimes that have ended leave only a constant amount of memory.

mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::sync::WaitGroup;
use bench_runtime::time::{after_func, sleep};
use bench_runtime::{JoinError, Runtime, chan, in_goroutine, yield_now};
use start::Start;

fn runtime(migrating: bool) -> Runtime {
    let builder = Runtime::builder().procs(2).reads_files(false);
    let builder = match migrating {
        true => builder.migrating(),
        false => builder,
    };
    builder.start().unwrap()
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Uses everything that leaves memory in a runtime's core.
fn use_it(runtime: &Runtime) {
    let sum = runtime.run(|| {
        let all = WaitGroup::new();
        let (tx, rx) = chan(1);
        for n in 0..8u64 {
            let tx = tx.clone();
            all.go(move || {
                yield_now();
                sleep(Duration::from_micros(1));
                tx.send(n).expect("it receives");
            });
        }
        let sum: u64 = (0..8).filter_map(|_| rx.recv()).sum();
        all.wait();
        sum
    });
    assert_eq!(sum, 28);
}

#[test]
fn thousands_of_runtimes_one_after_the_other_leave_no_memory() {
    const RUNTIMES: usize = 5_000;
    const SETTLED: usize = 500;
    let mut before = 0;
    for n in 0..RUNTIMES {
        if n == SETTLED {
            before = resident_bytes();
        }
        let runtime = runtime(n % 2 == 1);
        use_it(&runtime);
        assert_eq!(runtime.shutdown().unfinished_count, 0);
    }
    let grown = resident_bytes().saturating_sub(before);
    // A core alone is 70 KB: 300 MB in all.
    assert!(grown < 16 << 20, "{} KB more", grown >> 10);
}

#[test]
fn handle_joined_after_the_end_gets_its_result_and_leaves_no_memory() {
    const RUNTIMES: usize = 600;
    let mut before = 0;
    for n in 0..RUNTIMES {
        if n == RUNTIMES / 4 {
            before = resident_bytes();
        }
        let runtime = runtime(n % 2 == 1);
        let handles: Vec<_> = (0..20).map(|i| runtime.spawn(move || i)).collect();
        handles.iter().for_each(|handle| {
            while !handle.is_finished() {
                std::thread::yield_now();
            }
        });
        drop(runtime);
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), i);
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    // The bound is half of the size of the cores.
    assert!(grown < 16 << 20, "{} KB more", grown >> 10);
}

/// A late call must not start anything in another runtime.
#[test]
fn call_after_the_end_of_its_runtime_runs_on_a_thread() {
    let calls = Arc::new(AtomicUsize::new(0));
    for n in 0..50 {
        let first = runtime(n % 2 == 1);
        let late = first.run({
            let calls = calls.clone();
            move || {
                after_func(Duration::from_secs(3_600), move || {
                    assert!(!in_goroutine());
                    calls.fetch_add(1, Ordering::Relaxed);
                })
            }
        });
        drop(first);
        // This is a plain thread, so the timers of plain threads are used.
        late.reset(Duration::ZERO);
        let other = runtime(n % 2 == 0);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {
            use_it(&other);
        }
        while calls.load(Ordering::Relaxed) == n {
            std::thread::yield_now();
        }
        drop(late);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 50);
}

#[test]
fn unfinished_goroutine_can_be_readied_and_joined_after_its_runtime() {
    for n in 0..20 {
        let first = runtime(n % 2 == 1);
        let (tx, rx) = chan::<u8>(0);
        let waits = first.spawn({
            let rx = rx.clone();
            move || rx.recv()
        });
        while !first.goroutines().iter().any(|g| g.state == "chan receive") {
            std::thread::yield_now();
        }
        let left = first.shutdown().unfinished_count;
        let other = runtime(n % 2 == 0);
        // Readying a goroutine of a runtime that has ended has no effect.
        tx.close();
        use_it(&other);
        match waits.join() {
            Err(JoinError::Unfinished) => assert_eq!(left, 1),
            other => panic!("{other:?} of {left}"),
        }
    }
}

struct Undroppable;

impl Drop for Undroppable {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new(()));
    }
}

#[test]
fn results_whose_destructors_panic_leave_no_memory() {
    const RUNTIMES: usize = 600;
    let mut before = 0;
    for n in 0..RUNTIMES {
        if n == RUNTIMES / 4 {
            before = resident_bytes();
        }
        let runtime = runtime(n % 2 == 1);
        for late in [true, false] {
            let handle = runtime.spawn(|| Undroppable);
            while late && !handle.is_finished() {
                std::thread::yield_now();
            }
            let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(handle)));
            assert!(dropped.is_err() || !late);
        }
        assert_eq!(runtime.run(|| 42), 42);
        drop(runtime.shutdown());
    }
    let grown = resident_bytes().saturating_sub(before);
    // A core alone is 70 KB: 30 MB in all.
    assert!(grown < 8 << 20, "{} KB more", grown >> 10);
}
