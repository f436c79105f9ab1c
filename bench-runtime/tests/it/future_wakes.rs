//! Where wakers are called if the code that ends the wait must not call them.

use std::future::Future;
use std::io::Write;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::net::Descriptor;
use bench_runtime::signal::{self, Signal};
use bench_runtime::{
    GoBuilder, Receiver, Runtime, Sender, StackPolicy, TryRecvError, blocking, chan, go,
    in_goroutine, time, yield_now,
};

use crate::future::poll_once;
use crate::start::Start;
use crate::support::everywhere;

const TIMEOUT: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

/// Sends the id of the thread that calls the waker, and then panics.
struct Tells(mpsc::Sender<ThreadId>);

impl Wake for Tells {
    fn wake(self: Arc<Self>) {
        self.0.send(thread::current().id()).unwrap();
        std::panic::resume_unwind(Box::new("a bad waker"));
    }
}

/// Polls a receive, which is pending. The future must live until it is woken.
fn wait<T: Send + 'static>(rx: Receiver<T>, waker: &Waker) -> Pin<Box<dyn Future<Output = ()>>> {
    let mut waits: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
        rx.recv_async().await;
    });
    assert!(poll_once(waits.as_mut(), waker).is_pending());
    waits
}

#[test]
fn timers_of_threads_and_signals_wake_on_one_thread_which_outlives_panics() {
    let (tells, told) = mpsc::channel();
    let waker = Waker::from(Arc::new(Tells(tells)));
    let signals = signal::notify(&[Signal::URG]).unwrap();
    let mut wakers = Vec::new();
    for _ in 0..3 {
        let mut waits = wait(time::after(MOMENT), &waker);
        wakers.push(told.recv_timeout(TIMEOUT).unwrap());
        assert!(poll_once(waits.as_mut(), &waker).is_ready());
        let mut waits = wait(signals.clone(), &waker);
        // SAFETY: sends a signal that is caught.
        assert_eq!(unsafe { libc::raise(libc::SIGURG) }, 0);
        wakers.push(told.recv_timeout(TIMEOUT).unwrap());
        assert!(poll_once(waits.as_mut(), &waker).is_ready());
    }
    assert!(wakers.iter().all(|one| *one == wakers[0]), "{wakers:?}");
    assert_ne!(wakers[0], thread::current().id());
}

/// One waker waits for a value from the other, and then sends whether it runs on a goroutine.
enum Linked {
    Waits(Mutex<Receiver<()>>, mpsc::Sender<bool>),
    Tells(Sender<()>),
}

impl Wake for Linked {
    fn wake(self: Arc<Self>) {
        match &*self {
            Self::Waits(other, done) => {
                let other = other.lock().unwrap().clone();
                assert_eq!(other.recv(), Some(()));
                done.send(in_goroutine()).unwrap();
            }
            Self::Tells(other) => other.send(()).unwrap(),
        }
    }
}

/// The goroutine is in a blocking call, so no M has the only P: sysmon fires the timers.
#[test]
fn wakers_that_sysmon_readies_are_called_by_goroutines_which_may_wait_for_each_other() {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        builder.procs(1).start().unwrap().run(|| {
            for _ in 0..20 {
                let (tx, rx) = chan(0);
                let (done, is_done) = mpsc::channel();
                let waits = Waker::from(Arc::new(Linked::Waits(Mutex::new(rx), done)));
                let tells = Waker::from(Arc::new(Linked::Tells(tx)));
                // The waker that waits is readied first.
                let _first = wait(time::after(MOMENT), &waits);
                let _second = wait(time::after(MOMENT), &tells);
                let is_done = blocking(move || is_done.recv_timeout(TIMEOUT));
                assert_eq!(is_done, Ok(true));
            }
        });
    }
}

struct Dropped(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for Dropped {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().unwrap().take();
        drop(task);
    }
}

/// Polls the task, which its waker will drop.
fn dropped_when_woken(task: impl Future<Output = ()> + Send + 'static) -> Arc<Dropped> {
    let mut task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    let dropped = Arc::new(Dropped(Mutex::new(None)));
    let waker = Waker::from(dropped.clone());
    assert!(poll_once(task.as_mut(), &waker).is_pending());
    *dropped.0.lock().unwrap() = Some(task);
    dropped
}

/// The number of tasks. Each holds the handle that the next one waits for.
const CHAIN: usize = if cfg!(miri) { 40 } else { 30_000 };

#[test]
fn tasks_that_drop_each_other_by_the_value_that_one_puts_back_end_in_a_loop() {
    everywhere(|_| {
        let (tx, rx) = chan(1);
        let tasks: Vec<_> = (0..CHAIN)
            .map(|_| {
                let rx = rx.clone();
                dropped_when_woken(async move {
                    rx.recv_async().await;
                })
            })
            .collect();
        tx.send(7).unwrap();
        // The value has passed along the tasks, and was not received.
        assert_eq!(rx.try_recv(), Ok(7));
        assert!(tasks.iter().all(|task| task.0.lock().unwrap().is_none()));
    });
}

#[test]
fn tasks_that_drop_each_other_by_the_last_sender_end_in_a_loop() {
    everywhere(|_| {
        let (first, mut rx) = chan::<u8>(0);
        for _ in 0..CHAIN {
            let (tx, next) = chan(0);
            let waits = mem::replace(&mut rx, next);
            dropped_when_woken(async move {
                waits.recv_async().await;
                drop(tx);
            });
        }
        drop(first);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn tasks_that_drop_each_other_by_the_last_receiver_end_in_a_loop() {
    everywhere(|_| {
        let (mut tx, first) = chan::<u8>(0);
        for _ in 0..CHAIN {
            let (next, rx) = chan(0);
            let waits = mem::replace(&mut tx, next);
            dropped_when_woken(async move {
                let _ = waits.send_async(1).await;
                drop(rx);
            });
        }
        drop(first);
        assert!(tx.send(1).is_err());
    });
}

#[test]
fn tasks_that_drop_each_other_by_the_ends_of_contexts_end_in_a_loop() {
    everywhere(|_| {
        let (mut ctx, first) = Context::background().with_cancel();
        for _ in 0..CHAIN {
            let (next, cancel) = Context::background().with_cancel();
            let (waits, cancel) = (mem::replace(&mut ctx, next), cancel.on_drop());
            dropped_when_woken(async move {
                waits.done().recv_async().await;
                drop(cancel);
            });
        }
        first.cancel();
        assert!(ctx.is_done());
    });
}

#[cfg(not(miri))]
#[test]
fn tasks_that_drop_each_other_by_a_descriptor_end_in_a_loop() {
    Runtime::builder().procs(1).start().unwrap().run(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let descriptor: &'static Descriptor = Box::leak(Box::new(Descriptor::new(reader)));
        let small = GoBuilder::new().stack(StackPolicy::Fixed(192 << 10));
        let mut all = vec![small.go(|| descriptor.wait_readable()).unwrap()];
        time::sleep(MOMENT);
        for _ in 0..2_000 {
            dropped_when_woken(async { drop(descriptor.readable().await) });
            all.push(go(|| descriptor.wait_readable()));
            yield_now();
            yield_now();
        }
        writer.write_all(b"x").unwrap();
        for waits in all {
            waits.join().unwrap().unwrap();
        }
    });
}

#[test]
fn iterator_that_has_ended_yields_a_value_that_a_dropped_future_puts_back() {
    everywhere(|_| {
        let (tx, rx) = chan(0);
        let mut receive = Box::pin(rx.recv_async());
        assert!(poll_once(receive.as_mut(), Waker::noop()).is_pending());
        tx.send(1).unwrap();
        drop(tx);
        let (mut values, mut fused) = (rx.iter(), rx.iter().fuse());
        assert_eq!((values.next(), fused.next()), (None, None));
        drop(receive);
        // The iterator is no `FusedIterator`.
        assert_eq!(
            (fused.next(), values.next(), values.next()),
            (None, Some(1), None)
        );
    });
}
