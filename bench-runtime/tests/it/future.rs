//! `block_on`: which threads may wake it, when, and which goroutine is woken.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bench_runtime::context::{self, ContextError};
use bench_runtime::future::{block_on, block_on_with};
use bench_runtime::{Runtime, chan, time};

use crate::sched_support::Setting;
use crate::start::Start;
use crate::support::{Way, everywhere, message};

const ROUNDS: usize = if cfg!(miri) { 50 } else { 2_000 };

/// A place for a value. Its futures wait until it is filled.
#[derive(Default)]
pub(crate) struct Place(Mutex<(Option<usize>, Option<Waker>)>);

impl Place {
    /// Calls the waker without holding the lock.
    pub(crate) fn fill(&self, value: usize) {
        let waker = {
            let mut inner = self.0.lock().unwrap();
            inner.0 = Some(value);
            inner.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn take(&self) -> impl Future<Output = usize> + '_ {
        poll_fn(|cx| {
            let mut inner = self.0.lock().unwrap();
            match inner.0.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    inner.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    fn waker(&self) -> Option<Waker> {
        self.0.lock().unwrap().1.clone()
    }
}

/// Calls `body` with a runtime in each mode, at few and at many processors. Does nothing under
/// miri, which cannot run goroutines.
pub(crate) fn each_runtime(body: fn(&Runtime)) {
    if cfg!(miri) {
        return;
    }
    for procs in [1, 2, 64] {
        for migrating in [false, true] {
            let setting = Setting { procs, migrating };
            let runtime = setting.builder().start().expect("a runtime");
            body(&runtime);
            // The goroutines that call wakers have no handle, so they are not joined.
            crate::support::within_a_minute("the runtime", || {
                runtime.metrics().goroutines_count == 0
            });
            let left = runtime.shutdown();
            assert_eq!(left.unfinished_count, 0, "left at {setting:?}");
        }
    }
}

#[test]
fn future_that_is_ready_is_returned_at_once() {
    everywhere(|_| {
        assert_eq!(block_on(ready(5)), 5);
        assert_eq!(block_on(async { block_on(ready(6)) }), 6);
    });
}

#[test]
fn wakes_of_tasks_are_not_lost() {
    everywhere(|way| {
        let (to, back) = (Arc::new(Place::default()), Arc::new(Place::default()));
        let echo = way.go({
            let (to, back) = (to.clone(), back.clone());
            move || (0..ROUNDS).for_each(|_| back.fill(block_on(to.take()) + 1))
        });
        for n in 0..ROUNDS {
            to.fill(n);
            assert_eq!(block_on(back.take()), n + 1);
        }
        echo.join();
    });
}

#[test]
fn wakes_from_a_foreign_thread_are_not_lost() {
    each_runtime(|runtime| {
        let (to, back) = (Arc::new(Place::default()), Arc::new(Place::default()));
        let echo = runtime.spawn({
            let (to, back) = (to.clone(), back.clone());
            move || (0..ROUNDS).for_each(|_| back.fill(block_on(to.take()) + 1))
        });
        for n in 0..ROUNDS {
            to.fill(n);
            assert_eq!(block_on(back.take()), n + 1);
        }
        echo.join().unwrap();
    });
}

#[test]
fn many_goroutines_that_wait_are_woken_once_each() {
    each_runtime(|runtime| {
        const MANY: usize = 500;
        let places: Arc<Vec<Place>> = Arc::new((0..MANY).map(|_| Place::default()).collect());
        let polls = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..MANY)
            .map(|n| {
                let (places, polls) = (places.clone(), polls.clone());
                runtime.spawn(move || {
                    block_on(async {
                        let mut take = std::pin::pin!(places[n].take());
                        poll_fn(|cx| {
                            polls.fetch_add(1, Ordering::Relaxed);
                            take.as_mut().poll(cx)
                        })
                        .await
                    })
                })
            })
            .collect();
        let all_wait = || places.iter().all(|place| place.waker().is_some());
        crate::support::within_a_minute("the goroutines", all_wait);
        places
            .iter()
            .enumerate()
            .for_each(|(n, place)| place.fill(n));
        let sum: usize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, MANY * (MANY - 1) / 2);
        assert_eq!(polls.load(Ordering::Relaxed), 2 * MANY);
    });
}

struct FillsOnDrop(Arc<Place>, usize);

impl Drop for FillsOnDrop {
    fn drop(&mut self) {
        self.0.fill(self.1);
    }
}

#[test]
fn destructor_wakes_also_in_a_panic_and_at_the_end_of_a_thread() {
    thread_local! {
        static AT_END: RefCell<Option<FillsOnDrop>> = const { RefCell::new(None) };
    }
    everywhere(|way| {
        let place = Arc::new(Place::default());
        let fills = FillsOnDrop(place.clone(), 1);
        drop(way.go(move || drop(fills)));
        assert_eq!(block_on(place.take()), 1);

        let fills = FillsOnDrop(place.clone(), 2);
        let failing = way.go(move || {
            let _fills = fills;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert_eq!(block_on(place.take()), 2);
        assert!(failing.try_join().is_err());

        let fills = FillsOnDrop(place.clone(), 3);
        let thread = std::thread::spawn(move || AT_END.set(Some(fills)));
        assert_eq!(block_on(place.take()), 3);
        bench_runtime::blocking(|| thread.join().unwrap());
    });
}

#[test]
fn future_that_borrows_and_is_bound_to_its_goroutine() {
    everywhere(|way| {
        let place = Arc::new(Place::default());
        let other = way.go({
            let place = place.clone();
            move || place.fill(7)
        });
        let count = Cell::new(0);
        let shared = Rc::new(Cell::new(0));
        let got = block_on(async {
            count.set(1);
            let theirs = shared.clone();
            theirs.set(place.take().await);
            count.get() + theirs.get()
        });
        assert_eq!((got, shared.get()), (8, 7));
        other.join();
    });
}

#[test]
fn future_that_wakes_itself_lets_others_run() {
    everywhere(|way| {
        let others = Arc::new(AtomicUsize::new(0));
        let other = way.go({
            let others = others.clone();
            move || others.store(1, Ordering::SeqCst)
        });
        block_on(poll_fn(|cx| {
            if others.load(Ordering::SeqCst) == 1 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        other.join();
    });
}

#[test]
fn panic_of_a_poll_goes_on_and_the_future_is_dropped() {
    everywhere(|way| {
        let place = Arc::new(Place::default());
        let task = way.go({
            let place = place.clone();
            move || {
                block_on(async move {
                    let _fills = FillsOnDrop(place, 9);
                    let mut polls = 0;
                    poll_fn(|cx| {
                        polls += 1;
                        assert!(polls < 2, "the second poll");
                        cx.waker().wake_by_ref();
                        Poll::<()>::Pending
                    })
                    .await;
                });
            }
        });
        assert_eq!(block_on(place.take()), 9);
        let panic = task.try_join().unwrap_err();
        assert_eq!(message(&*panic), "the second poll");
        assert_eq!(block_on(ready(1)), 1);
    });
}

#[test]
fn wake_after_the_end_and_after_the_runtime_is_harmless() {
    let mut kept = Vec::new();
    for migrating in [false, true] {
        let setting = Setting {
            procs: 2,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        let place = Arc::new(Place::default());
        let task = runtime.spawn({
            let place = place.clone();
            move || {
                let waker = block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
                waker.wake_by_ref();
                (waker, block_on(place.take()))
            }
        });
        place.fill(3);
        let (waker, got) = task.join().unwrap();
        assert_eq!(got, 3);
        let never = Arc::new(Place::default());
        let left = runtime.spawn({
            let never = never.clone();
            move || block_on(never.take())
        });
        crate::support::within_a_minute("the goroutine", || never.waker().is_some());
        let late = never.waker().unwrap();
        assert_eq!(runtime.shutdown().unfinished_count, 1);
        assert!(left.join().is_err());
        kept.extend([waker, late]);
    }
    for waker in &kept {
        waker.wake_by_ref();
    }
    let woken = kept.len();
    kept.into_iter().for_each(Waker::wake);
    assert_eq!(woken, 4);
}

#[test]
fn context_ends_the_wait_and_drops_the_future() {
    everywhere(|way| {
        let background = context::Context::background();
        let begun = Instant::now();
        let (ctx, _cancel) = background.with_timeout(Duration::from_millis(5));
        let place = Arc::new(Place::default());
        let fills = FillsOnDrop(place.clone(), 4);
        let ended = block_on_with(&ctx, async move {
            let _fills = fills;
            pending::<()>().await;
        });
        assert_eq!(ended, Err(ContextError::DeadlineExceeded));
        assert!(begun.elapsed() >= Duration::from_millis(5));
        assert_eq!(block_on(place.take()), 4);

        let (ctx, cancel) = background.with_cancel();
        let other = way.go(move || cancel.cancel());
        let ended = block_on_with(&ctx, pending::<()>());
        assert_eq!(ended, Err(ContextError::Cancelled));
        other.join();
        let polled = Cell::new(false);
        let refused = block_on_with(&ctx, async { polled.set(true) });
        assert_eq!(refused, Err(ContextError::Cancelled));
        assert!(!polled.get());

        assert_eq!(block_on_with(&background, ready(8)), Ok(8));
    });
}

#[test]
fn goroutine_that_waits_for_a_future_is_shown_as_such() {
    each_runtime(|runtime| {
        let place = Arc::new(Place::default());
        let task = runtime.spawn({
            let place = place.clone();
            move || block_on(place.take())
        });
        crate::support::within_a_minute("the goroutine", || {
            runtime.goroutines().iter().any(|g| g.state == "block_on")
        });
        place.fill(1);
        assert_eq!(task.join().unwrap(), 1);
    });
}

#[test]
fn waits_inside_a_poll_leave_later_wakes_in_place() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let place = Arc::new(Place::default());
        let other = way.go({
            let place = place.clone();
            move || {
                tx.send(1).unwrap();
                place.fill(2);
                tx.send(3).unwrap();
            }
        });
        let mut sum = 0;
        let got = block_on(async {
            sum += rx.recv().unwrap();
            let got = place.take().await;
            sum += rx.recv().unwrap();
            got
        });
        assert_eq!((sum, got), (4, 2));
        other.join();
    });
}

pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[test]
fn block_on_in_a_destructor_while_a_goroutine_unwinds() {
    struct Waits(Arc<Place>, Arc<AtomicUsize>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.1.store(block_on(self.0.take()), Ordering::SeqCst);
        }
    }
    everywhere(|way| {
        let (place, seen) = (Arc::new(Place::default()), Arc::new(AtomicUsize::new(0)));
        let waits = Waits(place.clone(), seen.clone());
        let failing = way.go(move || {
            let _waits = waits;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        if way != Way::Threads {
            time::sleep(Duration::from_millis(1));
        }
        place.fill(6);
        assert!(failing.try_join().is_err());
        assert_eq!(seen.load(Ordering::SeqCst), 6);
    });
}

#[test]
fn panics_of_wakers_do_not_reach_the_sender() {
    struct Bad;
    impl std::task::Wake for Bad {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a bad waker"));
        }
    }
    everywhere(|_| {
        let (tx, rx) = chan(0);
        let mut receive = Box::pin(rx.recv_async());
        let bad = Waker::from(Arc::new(Bad));
        assert!(poll_once(receive.as_mut(), &bad).is_pending());
        let sent = catch_unwind(AssertUnwindSafe(|| tx.try_send(1)));
        assert!(matches!(sent, Ok(Ok(()))));
        assert_eq!(poll_once(receive.as_mut(), &bad), Poll::Ready(Some(1)));
    });
}
