//! Bubbles: when the clock moves, when `wait` returns, and what is left.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::context::{Context, ContextError};
use bench_runtime::net::UnixStream;
use bench_runtime::{
    Builder, Runtime, blocking, chan, go, select, sync, synctest, time, yield_now,
};

use crate::start::Start;

const HOUR: Duration = Duration::from_secs(3600);

fn bubble() -> Runtime {
    Runtime::builder().fake_time().start().unwrap()
}

/// In each mode.
fn in_each(body: fn()) {
    for builder in [Builder::default(), Builder::default().migrating()] {
        synctest::run(builder.fake_time().start().unwrap(), body);
    }
}

#[test]
fn wait_returns_when_all_others_are_blocked_and_the_clock_stands_still() {
    in_each(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = chan::<()>(0);
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let (count, rx) = (count.clone(), rx.clone());
                go(move || {
                    for _ in 0..n {
                        yield_now();
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    rx.recv();
                    count.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        assert_eq!(count.load(Ordering::Relaxed), 0);
        synctest::wait();
        assert_eq!(count.load(Ordering::Relaxed), 10);
        drop(tx);
        synctest::wait();
        assert_eq!(count.load(Ordering::Relaxed), 20);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(synctest::now(), Duration::ZERO);
    });
}

#[test]
fn timers_fire_in_their_order_and_to_the_nanosecond() {
    in_each(|| {
        let begun = Instant::now();
        let (tx, rx) = chan(0);
        let ticks = go(move || {
            for _ in 0..24 {
                time::sleep(HOUR);
                tx.send(synctest::now()).unwrap();
            }
        });
        for n in 1..=24 {
            assert_eq!(rx.recv(), Some(HOUR * n));
        }
        ticks.join().unwrap();
        let late = select! {
            recv(rx) -> end => end.is_some(),
            timeout(HOUR) => true,
        };
        assert!(!late, "it is closed");
        assert_eq!(synctest::now(), HOUR * 24);
        assert!(begun.elapsed() < HOUR);
    });
}

#[test]
fn context_ends_at_its_time_and_what_it_calls_has_run_after_wait() {
    in_each(|| {
        let (ctx, _cancel) = Context::background().with_timeout(HOUR);
        let called = Arc::new(AtomicUsize::new(0));
        let _stop = ctx.after_func({
            let called = called.clone();
            move || {
                called.fetch_add(1, Ordering::Relaxed);
            }
        });
        time::sleep(HOUR - Duration::from_nanos(1));
        synctest::wait();
        assert_eq!((ctx.err(), called.load(Ordering::Relaxed)), (None, 0));
        time::sleep(Duration::from_nanos(1));
        synctest::wait();
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
        assert_eq!(called.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn blocking_calls_and_descriptors_are_waited_for() {
    in_each(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let calls = go({
            let done = done.clone();
            move || {
                blocking(|| std::thread::sleep(Duration::from_millis(20)));
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        synctest::wait();
        assert_eq!(done.load(Ordering::Relaxed), 1);
        calls.join().unwrap();

        let (near, far) = UnixStream::pair().unwrap();
        let reads = go({
            let done = done.clone();
            move || {
                (&near).read_exact(&mut [0; 1]).unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        // A real thread, as the other side of a socket would be.
        let writes = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            (&far).write_all(b"x").unwrap();
        });
        synctest::wait();
        assert_eq!(done.load(Ordering::Relaxed), 2);
        reads.join().unwrap();
        blocking(|| writes.join().unwrap());
        assert_eq!(synctest::now(), Duration::ZERO);
    });
}

#[test]
fn locks_are_durably_blocking() {
    in_each(|| {
        let lock = Arc::new(sync::Mutex::new(0));
        let held = lock.lock();
        let other = go({
            let lock = lock.clone();
            move || *lock.lock() += 1
        });
        synctest::wait();
        assert_eq!(*held, 0);
        drop(held);
        synctest::wait();
        assert_eq!(*lock.lock(), 1);
        other.join().unwrap();
    });
}

#[test]
#[should_panic(
    expected = "the main goroutine of the bubble has ended, and others are blocked:\ngoroutine 2 [sleep]"
)]
fn goroutine_that_is_left_asleep_is_named() {
    synctest::run(bubble(), || go!(time::sleep(HOUR)));
}

#[test]
fn goroutine_that_can_still_end_is_waited_for() {
    let ended = Arc::new(AtomicUsize::new(0));
    let counts = ended.clone();
    synctest::run(bubble(), || {
        go!({
            (0..100).for_each(|_| yield_now());
            counts.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(ended.load(Ordering::Relaxed), 1);
}

#[test]
#[should_panic(expected = "all goroutines are asleep")]
fn bubble_whose_goroutines_wait_for_each_other_panics() {
    synctest::run(bubble(), || {
        let (_tx, rx) = chan::<u8>(0);
        rx.recv()
    });
}

#[test]
#[should_panic(expected = "outside a bubble")]
fn wait_in_a_runtime_with_the_hosts_clock_panics() {
    Runtime::builder().start().unwrap().run(synctest::wait);
}

#[test]
#[should_panic(expected = "outside a bubble")]
fn wait_on_a_plain_thread_panics() {
    synctest::wait();
}

#[test]
fn second_wait_at_a_time_panics_and_the_first_goes_on() {
    in_each(|| {
        let first = go(synctest::wait);
        let second = go(|| {
            yield_now();
            synctest::wait();
        });
        let ended = [first.join().is_ok(), second.join().is_ok()];
        assert!(ended.contains(&true), "{ended:?}");
        synctest::wait();
    });
}
