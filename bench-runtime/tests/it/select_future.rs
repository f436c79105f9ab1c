//! `select!` with cases that are futures.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bench_runtime::{JoinError, chan, select, time};

use crate::future::{Place, each_runtime};
use crate::support::{everywhere, message};

const ROUNDS: usize = if cfg!(miri) { 20 } else { 1_000 };

#[test]
fn future_that_is_ready_is_taken_and_the_value_of_a_send_is_not_sent() {
    everywhere(|_| {
        let (tx, rx) = chan::<u8>(0);
        let got = select! {
            send(tx, 1) -> _ => None,
            future(async { 7 }) -> n => Some(n),
        };
        assert_eq!((got, rx.try_recv().is_err()), (Some(7), true));
    });
}

#[test]
fn channel_is_taken_while_the_future_is_not_ready() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let sender = way.go(move || tx.send(5).unwrap());
        let got = select! {
            future(pending::<()>()) -> () => None,
            recv(rx) -> value => value,
        };
        assert_eq!(got, Some(5));
        sender.join();
    });
}

#[test]
fn wakes_from_other_tasks_end_the_wait_and_none_is_lost() {
    everywhere(|way| {
        let (place, (acks, acked)) = (Arc::new(Place::default()), chan(0));
        let never = chan::<()>(0);
        let filler = {
            let place = place.clone();
            way.go(move || {
                for n in 0..ROUNDS {
                    place.fill(n);
                    acked.recv();
                }
            })
        };
        for n in 0..ROUNDS {
            select! {
                future(place.take()) -> got => assert_eq!(got, n),
                recv(never.1) => unreachable!(),
            }
            acks.send(()).unwrap();
        }
        filler.join();
    });
}

#[test]
fn kept_future_loses_nothing_while_other_cases_are_taken() {
    everywhere(|way| {
        let (values, numbers) = chan::<usize>(0);
        let (ticks, clock) = chan::<()>(0);
        let tasks = [
            way.go(move || (0..ROUNDS).for_each(|n| values.send(n).unwrap())),
            way.go(move || (0..ROUNDS).for_each(|_| ticks.send(()).unwrap())),
        ];
        let (mut next, mut ticks) = (0, 0);
        let mut receive = Box::pin(numbers.recv_async());
        while next < ROUNDS || ticks < ROUNDS {
            select! {
                future(&mut receive, if next < ROUNDS) -> n => {
                    assert_eq!(n, Some(next));
                    next += 1;
                    receive = Box::pin(numbers.recv_async());
                }
                recv((ticks < ROUNDS).then_some(&clock)) -> tick => {
                    assert!(tick.is_some());
                    ticks += 1;
                }
            }
        }
        drop(receive);
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn dropped_receives_put_their_values_back() {
    everywhere(|way| {
        let (tx, rx) = chan::<usize>(0);
        let (quit, end) = chan::<()>(0);
        let sender = way.go(move || (0..ROUNDS).for_each(|n| tx.send(n).unwrap()));
        let quitter = way.go(move || while quit.send(()).is_ok() {});
        for n in 0..ROUNDS {
            let got = loop {
                select! {
                    future(rx.recv_async()) -> value => break value,
                    recv(end) => {}
                }
            };
            assert_eq!(got, Some(n));
        }
        drop(end);
        sender.join();
        quitter.join();
    });
}

#[test]
fn joins_are_cases_and_a_goroutine_that_is_not_waited_for_can_be_joined_later() {
    each_runtime(|runtime| {
        runtime.run(|| {
            let (tx, rx) = chan::<()>(0);
            let mut slow = bench_runtime::go(move || rx.recv().is_none()).join_async();
            let fails = bench_runtime::go(|| panic!("as it should"));
            select! {
                future(&mut slow) -> _ => unreachable!("it waits"),
                future(fails.join_async()) -> result => match result {
                    Err(JoinError::Panicked(payload)) => {
                        assert_eq!(payload.to_string(), "as it should");
                    }
                    other => panic!("{other:?}"),
                },
            }
            drop(tx);
            let ended = select! { future(slow) -> ended => ended };
            assert!(ended.unwrap());
        });
    });
}

#[test]
fn neither_channels_nor_futures_starve() {
    everywhere(|_| {
        let (tx, rx) = chan(ROUNDS);
        (0..ROUNDS).for_each(|n| tx.send(n).unwrap());
        let mut taken = [0; 3];
        for _ in 0..ROUNDS {
            select! {
                recv(rx) => taken[0] += 1,
                future(ready(())) -> () => taken[1] += 1,
                future(ready(())) -> () => taken[2] += 1,
            }
        }
        assert_eq!(taken.iter().sum::<usize>(), ROUNDS);
        assert!(
            cfg!(miri) || taken.iter().all(|&n| n > ROUNDS / 10),
            "{taken:?}"
        );
    });
}

#[test]
fn default_and_timeout_are_taken_where_no_future_is_ready() {
    everywhere(|_| {
        let now = select! {
            future(pending::<()>()) -> () => true,
            default => false,
        };
        assert!(!now);
        assert!(select! { future(ready(true)) -> now => now, default => false });

        let (begun, timeout) = (Instant::now(), Duration::from_millis(5));
        let polls = Cell::new(0);
        // A future that wakes itself repeatedly does not delay the time-out.
        let busy = poll_fn(|cx| {
            polls.set(polls.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        select! {
            future(busy) -> () => unreachable!(),
            timeout(timeout) => {}
        }
        assert!(begun.elapsed() >= timeout && polls.get() > 1);
    });
}

#[test]
fn future_that_wakes_itself_lets_others_run() {
    each_runtime(|runtime| {
        runtime.run(|| {
            let count = Arc::new(AtomicUsize::new(0));
            let counter = {
                let count = count.clone();
                bench_runtime::go(move || {
                    for _ in 0..10 {
                        count.fetch_add(1, Ordering::Relaxed);
                        bench_runtime::yield_now();
                    }
                })
            };
            let until = poll_fn(|cx| match count.load(Ordering::Relaxed) {
                10 => Poll::Ready(()),
                _ => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            });
            select! { future(until) -> () => {} }
            counter.join().unwrap();
        });
    });
}

#[test]
fn disabled_case_is_not_evaluated_and_all_disabled_wait_for_the_timeout() {
    everywhere(|_| {
        let evaluated = Cell::new(false);
        select! {
            future({ evaluated.set(true); ready(1) }, if false) -> _ => unreachable!(),
            timeout(Duration::from_millis(1)) => {}
        }
        assert!(!evaluated.get());
    });
}

struct Counted<'a>(&'a Cell<usize>, &'a Cell<bool>);

impl Future for Counted<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0.set(self.0.get() + 1);
        Poll::Pending
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.1.set(true);
    }
}

#[test]
fn future_of_a_case_that_is_not_taken_is_dropped_before_the_arm_runs() {
    everywhere(|_| {
        let (polls, dropped) = (Cell::new(0), Cell::new(false));
        let mut kept = pin!(async {
            bench_runtime::future::block_on(ready(()));
            3
        });
        select! {
            future(Counted(&polls, &dropped)) -> () => unreachable!(),
            future(&mut kept) -> n => assert_eq!((n, dropped.get()), (3, true)),
        }
        assert!(polls.get() <= 1);
    });
}

#[test]
fn panic_of_a_poll_goes_on_and_other_cases_are_left_alone() {
    everywhere(|_| {
        let (tx, rx) = chan(1);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            select! {
                future(poll_fn(|_| -> Poll<()> { panic!("in a poll") })) -> () => {}
                recv(rx) -> _ => unreachable!("nothing is in it"),
            }
        }));
        assert_eq!(message(&*panic.unwrap_err()), "in a poll");
        tx.send(1).unwrap();
        assert_eq!(rx.recv(), Some(1));
    });
}

#[test]
fn wake_from_a_foreign_thread_ends_a_select() {
    each_runtime(|runtime| {
        let place = Arc::new(Place::default());
        let waits = {
            let place = place.clone();
            runtime.spawn(move || {
                select! {
                    future(place.take()) -> n => n,
                    timeout(Duration::from_secs(60)) => 0,
                }
            })
        };
        std::thread::sleep(Duration::from_millis(1));
        place.fill(9);
        assert_eq!(waits.join().unwrap(), 9);
    });
}

#[test]
fn select_of_futures_alone_waits_for_the_first() {
    everywhere(|way| {
        let (tx, rx) = chan::<u8>(0);
        let (_tx, never) = chan::<u8>(0);
        let closer = way.go(move || {
            time::sleep(Duration::from_millis(1));
            drop(tx);
        });
        let first = select! {
            future(never.recv_async()) -> _ => "the one that waits",
            future(rx.recv_async()) -> end => {
                assert_eq!(end, None);
                "the one that ends"
            }
        };
        assert_eq!(first, "the one that ends");
        closer.join();
    });
}
