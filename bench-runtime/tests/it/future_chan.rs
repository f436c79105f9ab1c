//! `recv_async` and `send_async`: values reach the tasks that await them, and none is lost if a
//! future is dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use bench_runtime::future::block_on;
use bench_runtime::{Receiver, SendError, Sender, TrySendError, chan, select, time, yield_now};

use crate::future::{each_runtime, poll_once};
use crate::support::everywhere;

const ROUNDS: usize = if cfg!(miri) { 50 } else { 1_000 };

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (wakes.clone(), Waker::from(wakes))
}

#[test]
fn values_of_tasks_are_awaited_in_order_until_the_end() {
    everywhere(|way| {
        for capacity in [0, 1, 10] {
            let (tx, rx) = chan(capacity);
            let sender = way.go(move || (0..ROUNDS).for_each(|n| tx.send(n).unwrap()));
            let got = block_on(async {
                let mut got = Vec::new();
                while let Some(n) = rx.recv_async().await {
                    got.push(n);
                }
                got
            });
            assert!(got.into_iter().eq(0..ROUNDS));
            sender.join();
        }
    });
}

#[test]
fn threads_of_an_executor_await_goroutines_and_each_value_goes_to_one() {
    each_runtime(|runtime| {
        let (tx, rx) = chan(0);
        let executor: Vec<_> = (0..3)
            .map(|_| {
                let rx = rx.clone();
                std::thread::spawn(move || {
                    block_on(async {
                        let mut got = Vec::new();
                        while let Some(n) = rx.recv_async().await {
                            got.push(n);
                        }
                        got
                    })
                })
            })
            .collect();
        let senders: Vec<_> = (0..4)
            .map(|id| {
                let tx = tx.clone();
                runtime.spawn(move || {
                    (0..ROUNDS / 4).for_each(|n| tx.send(id * ROUNDS + n).unwrap());
                })
            })
            .collect();
        drop(tx);
        senders.into_iter().for_each(|task| task.join().unwrap());
        let all: Vec<_> = executor
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        assert_eq!(all.len(), ROUNDS / 4 * 4);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    });
}

#[test]
fn future_polled_by_two_threads_wakes_the_last() {
    let (tx, rx) = chan(0);
    let (first, first_waker) = counter();
    let (second, second_waker) = counter();
    let mut receive = Box::pin(rx.recv_async());
    assert!(poll_once(receive.as_mut(), &first_waker).is_pending());
    std::thread::scope(|s| {
        let polled = s.spawn(|| {
            let is_pending = poll_once(receive.as_mut(), &second_waker).is_pending();
            (is_pending, receive)
        });
        let (is_pending, mut receive) = polled.join().unwrap();
        assert!(is_pending);
        tx.try_send("to whoever waits").unwrap();
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
        let got = poll_once(receive.as_mut(), &first_waker);
        assert_eq!(got, Poll::Ready(Some("to whoever waits")));
    });
}

#[test]
fn future_dropped_before_a_value_arrives_leaves_the_queue() {
    everywhere(|_| {
        let (tx, rx) = chan(0);
        let (wakes, waker) = counter();
        let mut receive = Box::pin(rx.recv_async());
        assert!(poll_once(receive.as_mut(), &waker).is_pending());
        drop(receive);
        assert!(matches!(tx.try_send(1), Err(TrySendError::Full(1))));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn value_handed_to_a_dropped_future_comes_first_whatever_the_capacity() {
    everywhere(|_| {
        for capacity in 0..4usize {
            for closes in [false, true] {
                let (tx, rx) = chan(capacity);
                let mut receive = Box::pin(rx.recv_async());
                assert!(poll_once(receive.as_mut(), Waker::noop()).is_pending());
                tx.try_send(Box::new(0)).unwrap();
                for n in 1..=capacity {
                    tx.try_send(Box::new(n)).unwrap();
                }
                drop(receive);
                assert!(tx.try_send(Box::new(99)).is_err(), "it is full");
                if closes {
                    tx.close();
                } else {
                    drop(tx);
                }
                let mut got = vec![];
                select! {
                    recv(rx) -> first => got.extend(first),
                    default => {}
                }
                got.extend(rx.try_iter());
                let want: Vec<_> = (0..=capacity).map(Box::new).collect();
                assert_eq!(got, want, "capacity {capacity}, closes {closes}");
                assert_eq!(rx.recv(), None);
            }
        }
    });
}

#[test]
fn value_handed_to_a_dropped_future_goes_to_the_next_waiter() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let mut first = Box::pin(rx.recv_async());
        let mut second = Box::pin(rx.recv_async());
        let (wakes, waker) = counter();
        assert!(poll_once(first.as_mut(), Waker::noop()).is_pending());
        assert!(poll_once(second.as_mut(), &waker).is_pending());
        tx.try_send(5).unwrap();
        drop(first);
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll_once(second.as_mut(), &waker), Poll::Ready(Some(5)));
        let mut first = Box::pin(rx.recv_async());
        assert!(poll_once(first.as_mut(), Waker::noop()).is_pending());
        let other = way.go({
            let rx = rx.clone();
            move || rx.recv()
        });
        way.let_others_run();
        tx.send(6).unwrap();
        drop(first);
        assert_eq!(other.join(), Some(6));
    });
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn values_put_back_are_dropped_once_with_the_last_receiver() {
    everywhere(|_| {
        for capacity in 0..3usize {
            for senders_first in [false, true] {
                let drops = Arc::new(AtomicUsize::new(0));
                let (tx, rx) = chan(capacity);
                let mut receive = Box::pin(rx.recv_async());
                assert!(poll_once(receive.as_mut(), Waker::noop()).is_pending());
                for _ in 0..=capacity {
                    assert!(tx.try_send(Counted(drops.clone())).is_ok());
                }
                drop(receive);
                assert_eq!(drops.load(Ordering::SeqCst), 0);
                if senders_first {
                    drop(tx);
                    drop(rx);
                } else {
                    drop(rx);
                    drop(tx);
                }
                assert_eq!(drops.load(Ordering::SeqCst), capacity + 1);
            }
        }
    });
}

#[test]
fn no_value_is_lost_or_doubled_while_futures_are_dropped_at_any_time() {
    each_runtime(|runtime| {
        for capacity in [0, 1, 3] {
            let (tx, rx) = chan(capacity);
            let sender = runtime.spawn(move || {
                for n in 0..ROUNDS {
                    tx.send(n).unwrap();
                }
            });
            let fickle = runtime.spawn(move || {
                let mut got = Vec::new();
                loop {
                    let mut receive = Box::pin(rx.recv_async());
                    let mut polled = poll_once(receive.as_mut(), Waker::noop());
                    if polled.is_pending() {
                        yield_now();
                        if got.len() % 2 == 0 {
                            polled = poll_once(receive.as_mut(), Waker::noop());
                        }
                    }
                    drop(receive);
                    match polled {
                        Poll::Ready(Some(n)) => got.push(n),
                        Poll::Ready(None) => return got,
                        Poll::Pending => got.extend(rx.try_recv()),
                    }
                }
            });
            sender.join().unwrap();
            assert!(fickle.join().unwrap().into_iter().eq(0..ROUNDS));
        }
    });
}

#[test]
fn close_wakes_futures_and_goroutines_alike() {
    everywhere(|way| {
        let (tx, rx) = chan::<u8>(0);
        let futures: Vec<_> = (0..3)
            .map(|_| {
                let rx = rx.clone();
                way.go(move || block_on(rx.recv_async()))
            })
            .collect();
        let parked = way.go({
            let rx = rx.clone();
            move || rx.recv()
        });
        way.let_others_run();
        tx.close();
        assert_eq!(parked.join(), None);
        for future in futures {
            assert_eq!(future.join(), None);
        }
        assert_eq!(block_on(rx.recv_async()), None);
        let nil = Receiver::<u8>::never();
        assert!(poll_once(Box::pin(nil.recv_async()).as_mut(), Waker::noop()).is_pending());
    });
}

#[test]
fn values_that_tasks_send_are_received_once_each_and_in_order() {
    everywhere(|way| {
        for capacity in [0, 1, 10] {
            let (tx, rx) = chan(capacity);
            let tasks: Vec<_> = (0..3)
                .map(|id| {
                    let tx = tx.clone();
                    way.go(move || {
                        block_on(async {
                            for n in 0..ROUNDS / 3 {
                                tx.send_async((id, n)).await.unwrap();
                            }
                        });
                    })
                })
                .collect();
            drop(tx);
            let mut next = [0; 3];
            for (id, n) in &rx {
                assert_eq!(n, next[id]);
                next[id] += 1;
            }
            assert_eq!(next, [ROUNDS / 3; 3]);
            tasks.into_iter().for_each(|task| task.join());
        }
    });
}

#[test]
fn dropped_send_leaves_the_queue_with_its_value() {
    everywhere(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        let count = || drops.load(Ordering::SeqCst);
        let value = || Counted(drops.clone());
        let (tx, rx) = chan(0);
        // A drop before the first poll; after a poll; and after the value was received.
        drop(tx.send_async(value()));
        assert_eq!(count(), 1);
        let mut send = Box::pin(tx.send_async(value()));
        let (wakes, waker) = counter();
        assert!(poll_once(send.as_mut(), &waker).is_pending());
        drop(send);
        assert_eq!(count(), 2);
        assert!(rx.try_recv().is_err());
        let mut send = Box::pin(tx.send_async(value()));
        assert!(poll_once(send.as_mut(), &waker).is_pending());
        let received = rx.try_recv();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        drop(send);
        assert_eq!(count(), 2, "it was received");
        drop(received);
        assert_eq!(count(), 3);
        // A send that is ready no longer holds its value.
        let mut send = Box::pin(tx.send_async(value()));
        assert!(poll_once(send.as_mut(), &waker).is_pending());
        let received = rx.try_recv();
        assert!(matches!(
            poll_once(send.as_mut(), &waker),
            Poll::Ready(Ok(()))
        ));
        drop(send);
        assert_eq!(count(), 3);
        drop(received);
        assert_eq!(count(), 4);
    });
}

#[test]
fn room_in_a_buffer_wakes_a_send_and_a_close_gives_its_value_back() {
    everywhere(|_| {
        let (tx, rx) = chan(1);
        assert_eq!(block_on(tx.send_async(1)), Ok(()));
        let (wakes, waker) = counter();
        let mut second = Box::pin(tx.send_async(2));
        let mut third = Box::pin(tx.send_async(3));
        assert!(poll_once(second.as_mut(), &waker).is_pending());
        assert!(poll_once(third.as_mut(), &waker).is_pending());
        assert_eq!(rx.recv(), Some(1));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert_eq!(poll_once(second.as_mut(), &waker), Poll::Ready(Ok(())));
        // At a close a value that was put back stays, and a send that waits gets its value back.
        let mut receive = Box::pin(rx.recv_async());
        let received = poll_once(receive.as_mut(), Waker::noop());
        assert_eq!(received, Poll::Ready(Some(2)));
        assert_eq!(poll_once(third.as_mut(), &waker), Poll::Ready(Ok(())));
        assert_eq!(rx.recv(), Some(3));
        let mut receive = Box::pin(rx.recv_async());
        assert!(poll_once(receive.as_mut(), Waker::noop()).is_pending());
        tx.try_send(4).unwrap();
        tx.try_send(5).unwrap();
        drop(receive);
        let mut late = Box::pin(tx.send_async(6));
        assert!(poll_once(late.as_mut(), &waker).is_pending());
        let before = wakes.0.load(Ordering::SeqCst);
        tx.close();
        assert_eq!(wakes.0.load(Ordering::SeqCst), before + 1);
        let refused = poll_once(late.as_mut(), &waker);
        assert_eq!(refused, Poll::Ready(Err(SendError(6))));
        assert_eq!(rx.iter().collect::<Vec<_>>(), [4, 5]);
        assert_eq!(block_on(tx.send_async(7)), Err(SendError(7)));
        let nil = Sender::never();
        assert!(poll_once(Box::pin(nil.send_async(8)).as_mut(), Waker::noop()).is_pending());
    });
}

#[test]
fn each_value_is_received_or_dropped_once_while_sends_are_dropped_at_any_time() {
    each_runtime(|runtime| {
        for capacity in [0, 1, 3] {
            let drops = Arc::new(AtomicUsize::new(0));
            let (tx, rx) = chan(capacity);
            let made = drops.clone();
            let fickle = runtime.spawn(move || {
                for n in 0..ROUNDS {
                    let mut send = Box::pin(tx.send_async(Counted(made.clone())));
                    if poll_once(send.as_mut(), Waker::noop()).is_pending() {
                        if n % 2 == 0 {
                            yield_now();
                        }
                        if n % 3 == 0 {
                            let _ = poll_once(send.as_mut(), Waker::noop());
                        }
                    }
                    drop(send);
                    if n == ROUNDS - ROUNDS / 10 {
                        tx.close();
                    }
                }
            });
            let received = rx.iter().map(std::mem::forget).count();
            fickle.join().unwrap();
            drop(rx);
            let dropped = drops.load(Ordering::SeqCst);
            assert_eq!(received + dropped, ROUNDS, "received {received}");
        }
    });
}

struct Waits(Sender<u8>);

impl Wake for Waits {
    fn wake(self: Arc<Self>) {
        yield_now();
        self.0.send(1).unwrap();
    }
}

#[test]
fn ticks_can_be_awaited_and_their_wakers_may_block() {
    everywhere(|_| {
        assert!(block_on(time::after(Duration::from_millis(1)).recv_async()).is_some());
        let ticker = time::Ticker::new(Duration::from_millis(1));
        block_on(async {
            for _ in 0..3 {
                assert!(ticker.receiver().recv_async().await.is_some());
            }
        });
        let (tx, rx) = chan(0);
        let waker = Waker::from(Arc::new(Waits(tx)));
        let timer = time::Timer::new(Duration::from_millis(1));
        let mut tick = Box::pin(timer.receiver().recv_async());
        assert!(poll_once(tick.as_mut(), &waker).is_pending());
        assert_eq!(rx.recv(), Some(1));
        assert!(poll_once(tick.as_mut(), &waker).is_ready());
        assert!(!timer.stop());
    });
}
