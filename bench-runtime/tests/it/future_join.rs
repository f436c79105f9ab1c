//! `join_async`: results reach the tasks that await them, even if the goroutine cannot end.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use bench_runtime::future::block_on;
use bench_runtime::{JoinError, Receiver, Sender, chan, go, goexit, yield_now};

use crate::future::{Place, each_runtime, poll_once};
use crate::sched_support::Setting;
use crate::start::Start;
use crate::support::{Way, everywhere, within_a_minute};

#[test]
fn results_panics_and_exits_are_awaited_by_threads_and_by_goroutines() {
    each_runtime(|runtime| {
        let awaits = |n: usize| {
            (
                go(move || n).join_async(),
                go(|| -> usize { std::panic::resume_unwind(Box::new("no luck")) }).join_async(),
                go(|| -> usize { goexit() }).join_async(),
            )
        };
        let inside = move || {
            let (value, panics, exits) = awaits(5);
            block_on(async { (value.await, panics.await, exits.await) })
        };
        let (value, panics, exits) = runtime.run(move || awaits(3));
        let outside = block_on(async { (value.await, panics.await, exits.await) });
        for (got, want) in [(runtime.run(inside), 5), (outside, 3)] {
            assert_eq!(got.0.unwrap(), want);
            assert!(matches!(got.1, Err(JoinError::Panicked(p)) if p.to_string() == "no luck"));
            assert!(matches!(got.2, Err(JoinError::Exited)));
        }
    });
}

#[test]
fn thousands_of_goroutines_are_joined_while_they_end() {
    each_runtime(|runtime| {
        let count = 2_000_usize;
        let all: Vec<_> = (0..count)
            .map(|n| runtime.spawn(move || n).join_async())
            .collect();
        let sum = block_on(async {
            let mut sum = 0;
            for each in all {
                sum += each.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, count * (count - 1) / 2);
    });
}

#[test]
fn future_dropped_while_it_waits_lets_the_goroutine_run_on() {
    everywhere(|way| {
        if way == Way::Threads {
            return;
        }
        let (tx, rx) = chan::<usize>(0);
        let (done, ended) = chan(1);
        let mut join = go(move || done.send(rx.recv()).unwrap()).join_async();
        assert!(poll_once(std::pin::Pin::new(&mut join), Waker::noop()).is_pending());
        drop(join);
        tx.send(4).unwrap();
        assert_eq!(ended.recv(), Some(Some(4)));
        for _ in 0..500 {
            let mut join = go(|| vec![1]).join_async();
            let polled = poll_once(std::pin::Pin::new(&mut join), Waker::noop());
            assert!(polled.is_pending() || matches!(polled, Poll::Ready(Ok(_))));
            yield_now();
            drop(join);
        }
    });
}

#[test]
fn shutdown_ends_awaits_of_goroutines_that_do_not_end() {
    for migrating in [false, true] {
        let setting = Setting {
            procs: 2,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        let mut stuck = runtime
            .spawn(|| Receiver::<()>::never().recv())
            .join_async();
        assert!(poll_once(std::pin::Pin::new(&mut stuck), Waker::noop()).is_pending());
        let late = runtime
            .spawn(|| Receiver::<()>::never().recv())
            .join_async();
        within_a_minute("the goroutines", || {
            let waits = |g: &bench_runtime::GoroutineInfo| g.state.contains("nil");
            runtime.goroutines().iter().filter(|g| waits(g)).count() == 2
        });
        let waits = std::thread::spawn(move || block_on(stuck));
        assert_eq!(runtime.shutdown().unfinished_count, 2);
        assert!(matches!(waits.join().unwrap(), Err(JoinError::Unfinished)));
        assert!(matches!(block_on(late), Err(JoinError::Unfinished)));
    }
}

struct Waits(Sender<u8>);

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        yield_now();
        self.0.send(1).unwrap();
    }
}

#[test]
fn end_of_a_goroutine_wakes_by_a_waker_that_waits() {
    each_runtime(|runtime| {
        let (tx, rx) = chan(0);
        let place = Arc::new(Place::default());
        let theirs = place.clone();
        let mut join = runtime.spawn(move || block_on(theirs.take())).join_async();
        let waker = Waker::from(Arc::new(Waits(tx)));
        assert!(poll_once(std::pin::Pin::new(&mut join), &waker).is_pending());
        place.fill(11);
        assert_eq!(rx.recv(), Some(1));
        let polled = poll_once(std::pin::Pin::new(&mut join), Waker::noop());
        assert!(matches!(polled, Poll::Ready(Ok(11))));
    });
}
