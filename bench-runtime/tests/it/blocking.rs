//! `blocking`: on which thread the call runs, what it delays, and how it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bench_runtime::{
    Handle, Runtime, blocking, chan, go, goexit, goroutines, lock_os_thread, time,
    unlock_os_thread, yield_now,
};

use crate::sched_support::{Setting, at_each, within_timeout};
use crate::start::Start;
use crate::support::message;

/// Two goroutines that have started on one thread: the one that blocks waits
/// for the other.
#[test]
fn a_blocking_call_may_wait_for_a_goroutine_of_the_same_thread() {
    at_each(&[1, 2], |_| {
        let (tx, rx) = mpsc::channel();
        let (begin, begun) = chan::<()>(0);
        let other = go(move || {
            begun.recv().unwrap();
            tx.send(7).unwrap();
        });
        while !goroutines().iter().any(|g| g.state == "chan receive") {
            yield_now();
        }
        let sender = begin.clone();
        let caller = go(move || {
            drop(sender);
            blocking(move || rx.recv().unwrap())
        });
        while !goroutines().iter().any(|g| g.state == "blocking call") {
            yield_now();
        }
        begin.send(()).unwrap();
        assert_eq!(caller.join().unwrap(), 7);
        other.join().unwrap();
    });
}

#[test]
fn a_blocking_call_borrows_from_the_stack_of_its_caller() {
    at_each(&[1, 4], |_| {
        let tasks: Vec<_> = (0..20u8)
            .map(|n| {
                go(move || {
                    let mut buffer = [n; 64];
                    let sum = blocking(|| {
                        thread::sleep(Duration::from_micros(200));
                        buffer[0] = 100;
                        buffer.iter().map(|&b| u32::from(b)).sum::<u32>()
                    });
                    assert_eq!(buffer[0], 100);
                    sum
                })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().unwrap(), 100 + 63 * n as u32);
        }
    });
}

#[test]
fn a_panic_in_a_blocking_call_goes_on_in_the_goroutine() {
    at_each(&[1, 2], |_| {
        let caught = catch_unwind(AssertUnwindSafe(|| blocking(|| panic!("from below"))));
        assert_eq!(
            caught.unwrap_err().downcast_ref::<&str>(),
            Some(&"from below")
        );
        assert_eq!(go(|| 3).join().unwrap(), 3);
        let (tx, rx) = chan(0);
        let task = go(move || rx.recv());
        tx.send(4).unwrap();
        assert_eq!(task.join().unwrap(), Some(4));
    });
}

#[test]
fn a_call_made_while_unwinding_runs_and_the_panic_goes_on() {
    struct Closer(mpsc::Sender<u8>);
    impl Drop for Closer {
        fn drop(&mut self) {
            blocking(|| {
                thread::sleep(Duration::from_millis(1));
                self.0.send(5).unwrap();
            });
        }
    }
    at_each(&[1, 2], |_| {
        let (tx, rx) = mpsc::channel();
        let task = go(move || {
            let _closer = Closer(tx);
            panic!("on purpose");
        });
        assert!(task.join().is_err());
        assert_eq!(rx.recv(), Ok(5));
    });
}

#[test]
fn a_goroutine_locked_to_its_thread_blocks_there() {
    at_each(&[1, 2], |_| {
        lock_os_thread();
        let here = thread::current().id();
        assert_eq!(blocking(|| thread::current().id()), here);
        unlock_os_thread();
    });
}

/// The goroutine's P is idle meanwhile, and no thread of the runtime waits for a timer.
#[test]
fn timer_armed_in_a_blocking_call_of_a_locked_goroutine_fires() {
    at_each(&[1, 2], |_| {
        lock_os_thread();
        let fired = blocking(|| {
            // After this time sysmon sleeps too.
            thread::sleep(Duration::from_millis(100));
            let (fire, fired) = mpsc::channel();
            time::after_func(Duration::from_millis(1), move || fire.send(()).unwrap());
            fired.recv_timeout(Duration::from_secs(20))
        });
        unlock_os_thread();
        fired.unwrap();
    });
}

#[test]
fn helpers_are_used_again() {
    let runtime = Runtime::builder().procs(2).start().unwrap();
    runtime.run(|| {
        for _ in 0..200 {
            blocking(|| ());
        }
    });
    let threads = runtime.metrics().threads_count;
    assert!(threads < 20, "{threads} threads for one call at a time");
    assert_eq!(runtime.shutdown().threads_count, 0);
}

/// The calls are so short that the waiting thread stays awake. None of them may be lost.
#[test]
fn calls_that_take_no_time_all_come_back_from_one_caller_and_from_many() {
    at_each(&[1, 2, 4], |_| {
        for callers in [1, 2, 8] {
            let tasks: Vec<_> = (0..callers)
                .map(|_| go(|| (0..1_000u64).map(|n| blocking(|| n)).sum::<u64>()))
                .collect();
            for task in tasks {
                assert_eq!(task.join().unwrap(), 499_500);
            }
        }
    });
}

#[test]
fn stack_that_a_blocking_call_borrows_survives_a_shutdown() {
    for migrating in [false, true] {
        let setting = Setting {
            procs: 2,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        let (release, wait) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        drop(runtime.spawn(move || {
            let mut memory = [1u8; 4096];
            let frame = &mut memory;
            blocking(move || {
                tell.send(0).unwrap();
                let _ = wait.recv();
                frame.fill(2);
                tell.send(frame.iter().map(|&b| u32::from(b)).sum())
                    .unwrap();
            });
        }));
        assert_eq!(told.recv(), Ok(0));
        let left = runtime.shutdown();
        assert_eq!((left.unfinished_count, left.threads_count), (1, 1));
        // Another runtime must not use the blocked goroutine's stack slot now.
        let other = setting.builder().start().unwrap();
        other.run(|| {
            let tasks: Vec<_> = (0..200).map(|n| go(move || [n as u8; 8192][n])).collect();
            tasks.into_iter().for_each(|task| drop(task.join()));
        });
        release.send(()).unwrap();
        assert_eq!(told.recv(), Ok(2 * 4096));
    }
}

#[test]
fn fake_time_stands_still_during_a_blocking_call() {
    let runtime = Runtime::builder().fake_time().start().unwrap();
    let fired = runtime.run(|| {
        let (tx, rx) = chan(1);
        drop(go(move || {
            time::sleep(Duration::from_secs(3_600));
            tx.send(()).unwrap();
        }));
        blocking(|| thread::sleep(Duration::from_millis(20)));
        let early = rx.try_recv().is_ok();
        let begun = Instant::now();
        rx.recv().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60));
        early
    });
    assert!(!fired, "an hour passed during a short call");
}

#[test]
fn goexit_after_a_blocking_call_ends_the_goroutine() {
    within_timeout(
        Setting {
            procs: 1,
            migrating: false,
        },
        |_| {
            let task = go(|| {
                blocking(|| ());
                goexit();
            });
            assert!(task.join().is_err());
        },
    );
}

#[test]
fn a_goroutine_started_in_a_blocking_call_needs_a_handle_from_before() {
    at_each(&[1, 2], |setting| {
        let handle = Handle::current().unwrap();
        let started = blocking(|| handle.spawn(|| 7));
        assert_eq!(started.join().unwrap(), 7);
        if !setting.migrating {
            let refused = catch_unwind(|| blocking(|| drop(go(|| ()))));
            let text = message(&*refused.unwrap_err());
            assert!(text.contains("Handle::current()"), "{text}");
        }
    });
}
