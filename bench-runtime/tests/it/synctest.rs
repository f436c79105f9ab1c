//! Bubbles: when the clock moves, when `wait` returns, and which goroutines are left.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use bench_runtime::context::{Context, ContextError};
use bench_runtime::net::UnixStream;
use bench_runtime::{
    Builder, Runtime, blocking, chan, go, select, sync, synctest, time, yield_now,
};

use crate::future::{each_runtime, poll_once};
use crate::start::Start;
use crate::support::message;

const HOUR: Duration = Duration::from_secs(3600);

fn bubble() -> Runtime {
    Runtime::builder().fake_time().start().unwrap()
}

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
fn instants_are_of_the_bubbles_clock() {
    in_each(|| {
        let begun = time::now();
        let (ctx, _cancel) = Context::background().with_timeout(HOUR);
        assert_eq!(ctx.deadline(), Some(begun + HOUR));
        let ticker = time::Ticker::new(HOUR);
        let after = time::after(HOUR / 2);
        time::sleep(HOUR);
        assert_eq!(time::now(), begun + HOUR);
        assert_eq!(after.recv(), Some(begun + HOUR / 2));
        assert_eq!(ticker.receiver().recv(), Some(begun + HOUR));
        drop(ticker);
        synctest::wait();
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));

        let deadline = time::now() + HOUR;
        let (ctx, _cancel) = Context::background().with_deadline(deadline);
        assert_eq!(ctx.deadline(), Some(deadline));
        time::sleep_until(deadline - Duration::from_nanos(1));
        synctest::wait();
        assert_eq!(ctx.err(), None);
        time::sleep_until(deadline);
        synctest::wait();
        assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
        assert_eq!(time::now(), deadline);
        time::sleep_until(begun);
        assert_eq!(time::now(), deadline, "it has been");
        let (_tx, rx) = chan::<()>(0);
        assert!(rx.recv_deadline(deadline + HOUR).is_err());
        assert_eq!(time::now(), deadline + HOUR);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_read_deadline(Some(time::now()));
        let late = (&ours).read(&mut [0]).unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
        let (over, _cancel) = Context::background().with_deadline(begun);
        assert!(over.is_done());
        assert_eq!(time::now(), deadline + HOUR);
    });
    let before = Instant::now();
    let now = time::now();
    assert!(
        before <= now && now <= Instant::now(),
        "outside, the host's"
    );
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
fn context_ends_at_its_deadline_and_its_functions_have_run_after_wait() {
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
        // A real thread, like the other side of a socket.
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

#[test]
fn bubble_that_is_stuck_panics_in_a_goroutine_of_another_runtime_too() {
    each_runtime(|outer| {
        let stuck = outer.spawn(|| {
            synctest::run(bubble(), || {
                let (_tx, rx) = chan::<u8>(0);
                rx.recv()
            })
        });
        let Err(bench_runtime::JoinError::Panicked(panic)) = stuck.join() else {
            panic!("it does not panic");
        };
        let said = message(&*panic.into_inner());
        assert!(said.contains("all goroutines are asleep"), "{said}");
        // A goroutine that is joined from outside may also be ended from outside.
        let bubble = Arc::new(bubble());
        let (tx, rx) = chan::<u8>(0);
        let waits = bubble.spawn(move || rx.recv());
        let joined = outer.spawn(move || waits.join().unwrap());
        while !outer.goroutines().iter().any(|info| info.state == "join") {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(5));
        tx.send(1).unwrap();
        assert_eq!(joined.join().unwrap(), Some(1));
    });
}

#[test]
fn goroutine_in_wait_continues_when_the_main_one_ends() {
    for builder in [Builder::default(), Builder::default().migrating()] {
        let ended = Arc::new(AtomicUsize::new(0));
        let counts = ended.clone();
        synctest::run(builder.fake_time().start().unwrap(), move || {
            go!({
                synctest::wait();
                counts.fetch_add(1, Ordering::Relaxed);
                synctest::wait();
                counts.fetch_add(1, Ordering::Relaxed);
            });
            (0..10).for_each(|_| yield_now());
        });
        assert_eq!(ended.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn armed_tick_takes_the_place_of_one_that_was_put_back() {
    in_each(|| {
        let timer = time::Timer::new(HOUR);
        let mut tick = Box::pin(timer.receiver().recv_async());
        assert!(poll_once(tick.as_mut(), Waker::noop()).is_pending());
        time::sleep(HOUR);
        timer.reset(HOUR);
        drop(tick);
        let first = time::now();
        time::sleep(HOUR * 2);
        let ticks: Vec<_> = timer.receiver().try_iter().collect();
        assert_eq!(ticks, [first + HOUR]);
    });
}

#[test]
fn ticker_never_has_two_ticks() {
    in_each(|| {
        let ticker = time::Ticker::new(HOUR);
        let mut tick = Box::pin(ticker.receiver().recv_async());
        assert!(poll_once(tick.as_mut(), Waker::noop()).is_pending());
        time::sleep(HOUR);
        time::sleep(HOUR);
        let second = time::now();
        synctest::wait();
        drop(tick);
        let ticks: Vec<_> = ticker.receiver().try_iter().collect();
        assert_eq!(ticks, [second]);
    });
}
