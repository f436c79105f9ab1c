//! Where the wakers of futures are called.
//!
//! A waker is foreign code: it may panic, wait, and call anything of this crate. So none is
//! called under a lock, inside the scheduler, or while dequeued parkables have not been readied:
//!
//! | the thread readies from                      | it calls the waker           |
//! |----------------------------------------------|------------------------------|
//! | a goroutine's code, or a plain thread        | at once                      |
//! | the scheduler: a goroutine's end, a timer    | in a goroutine made for it   |
//! | sysmon, under a timer's lock                 | in a goroutine, later: [`collecting`] |
//! | the thread with the timers of plain threads, or the one that reports signals, under a lock | in another thread, later: [`collecting`], then [`wake_apart`] |
//! | a call that ends many waits                  | when all are readied: [`ready_later`](super::readied::ready_later) |

use std::cell::Cell;
use std::task::Waker;

use super::current::{self, machine_of};
use super::newproc;
use super::shared::Shared;
use crate::goroutine::nested_wakes;
use crate::threads::waker;
use crate::util::panic::without_panic;

thread_local! {
    /// The wakers that this thread must not call yet: see [`collecting`]. Not for code on a
    /// goroutine's stack.
    static DEFERRED: Cell<Option<Vec<Waker>>> = const { Cell::new(None) };
}

/// See the module.
pub(crate) fn wake(waker: Waker) {
    let header = current::header();
    let inside = match header {
        Some(header) => {
            let m = machine_of(header);
            let (_, was_inside) = m.enter();
            m.leave(was_inside);
            was_inside.then_some(m)
        }
        None => match current::thread_machine() {
            Some(m) => Some(m),
            // `None` also while the thread's thread-locals are dropped.
            None => match DEFERRED.try_with(Cell::take).ok().flatten() {
                Some(mut deferred) => {
                    deferred.push(waker);
                    return DEFERRED.set(Some(deferred));
                }
                None => None,
            },
        },
    };
    match inside {
        Some(m) => wake_in_goroutine(m.shared(), waker),
        None => nested_wakes::wake(header, waker),
    }
}

/// Calls them in [`waker`]'s thread: a waker may wait, and would delay the calling thread's other
/// work.
pub(crate) fn wake_apart(wakers: Vec<Waker>) {
    if wakers.is_empty() {
        return;
    }
    let wake_all = Box::new(move || wakers.into_iter().for_each(wake));
    if let Err((_, wake_all)) = waker::run(wake_all) {
        // On this thread, which holds no lock. If a waker waits, it delays later work of this
        // thread.
        wake_all();
    }
}

/// Calls the waker in a goroutine made for it; in [`waker`]'s thread if the runtime stops.
pub(crate) fn wake_in_goroutine(shared: &'static Shared, waker: Waker) {
    struct WakeOnDrop(Option<Waker>);
    impl Drop for WakeOnDrop {
        fn drop(&mut self) {
            if let Some(waker) = self.0.take() {
                without_panic(|| waker.wake());
            }
        }
    }
    let wakes = WakeOnDrop(Some(waker));
    newproc::by_timer(shared, move || drop(wakes));
}

/// Calls `f`, which readies under locks, on a plain thread; returns the wakers to be called.
pub(crate) fn collecting(f: impl FnOnce()) -> Vec<Waker> {
    DEFERRED.set(Some(Vec::new()));
    f();
    DEFERRED.take().unwrap_or_default()
}
