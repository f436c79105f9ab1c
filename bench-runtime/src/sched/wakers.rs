//! Where wakers of futures run.
//!
//! Waking is foreign code: it may panic, wait, and call anything of this crate.
//! So a waker is never called under a lock, inside the scheduler, or while
//! others that were dequeued wait for their ready:
//!
//! | a ready                                      | a wake of a future           |
//! |----------------------------------------------|------------------------------|
//! | a goroutine's code, a plain thread           | the same, at once            |
//! | the scheduler: a goroutine's end, a timer    | a goroutine made for it      |
//! | sysmon, which holds a timer's lock           | see [`collecting`]           |
//! | the thread with timers of plain threads, the one that tells of signals: under a lock too | the same, then [`wake_apart`] |
//! | a call that ends many waits                  | the same, afterwards: [`ready_later`](super::readied::ready_later) |
//!
//! # A list, not a recursion
//!
//! A waker may drop its task, whose values may end the wait of another task, whose waker may
//! drop that task: the calls nest as deep as there are tasks. So a goroutine, or a thread, with
//! [`DEEPEST`] nested wakes leaves further ones to the innermost of them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ptr;
use std::task::Waker;

use super::current::{self, machine_of};
use super::newproc;
use super::shared::Shared;
use crate::goroutine::pending::Pending;
use crate::stack::StackHeader;
use crate::threads::waker;
use crate::util::lock::Lock;
use crate::util::panic::without_panic;

thread_local! {
    /// The wakers that a thread must not wake yet. Not for code on a goroutine's stack.
    static LATER: Cell<Option<Vec<Waker>>> = const { Cell::new(None) };
    /// As [`StackHeader::wakes`], of a plain thread.
    static WAKES: Cell<u8> = const { Cell::new(0) };
}

/// The most nested wakes. Chosen, not measured.
const DEEPEST: u8 = 16;

/// Wakers that goroutines, and threads, have left to the innermost of their wakes: few
/// have any, and none for long.
static LEFT: Lock<Vec<(usize, VecDeque<Waker>)>> = Lock::new(Vec::new());

/// Ends the wait of a future.
#[cold]
pub(super) fn ready(pending: &'static Pending) {
    if let Some(waker) = pending.complete() {
        wake(waker);
    }
}

/// Wakes a task if that is allowed here: see the module.
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
            // None in a thread's last moments too.
            None => match LATER.try_with(Cell::take).ok().flatten() {
                Some(mut later) => {
                    later.push(waker);
                    return LATER.set(Some(later));
                }
                None => None,
            },
        },
    };
    match inside {
        Some(m) => wake_in_goroutine(m.shared(), waker),
        None => wake_here(header, waker),
    }
}

/// Wakes now, or leaves it to the call of this function around it: see the module.
fn wake_here(header: Option<&'static StackHeader>, waker: Waker) {
    // A thread-local's address is not kept over a waker.
    let set = |wakes| match header {
        Some(header) => header.wakes.set(wakes),
        None => WAKES.set(wakes),
    };
    let outer = header.map_or_else(|| WAKES.get(), |header| header.wakes.get());
    if outer == DEEPEST {
        let who = waking(header);
        let mut left = LEFT.lock();
        return match left.iter_mut().find(|(owner, _)| *owner == who) {
            Some((_, wakers)) => wakers.push_back(waker),
            None => left.push((who, VecDeque::from([waker]))),
        };
    }
    set(outer + 1);
    // It does not unwind.
    without_panic(|| waker.wake());
    if outer + 1 == DEEPEST {
        wake_left(waking(header));
    }
    set(outer);
}

/// The goroutine or thread that wakes: an address that no other has meanwhile.
fn waking(header: Option<&'static StackHeader>) -> usize {
    match header {
        Some(header) => ptr::from_ref(header).addr(),
        None => WAKES.with(|wakes| ptr::from_ref(wakes).addr()),
    }
}

/// Wakes all tasks that other wakes of this thread have left to it, also those that they
/// leave meanwhile.
#[cold]
fn wake_left(who: usize) {
    loop {
        let next = {
            let mut left = LEFT.lock();
            let Some(at) = left.iter().position(|(owner, _)| *owner == who) else {
                return;
            };
            let next = left[at].1.pop_front();
            if left[at].1.is_empty() {
                left.swap_remove(at);
            }
            next
        };
        next.into_iter()
            .for_each(|waker| without_panic(|| waker.wake()));
    }
}

/// Wakes in the thread that is there for it, for a thread that others wait for: a waker may
/// wait.
pub(crate) fn wake_apart(wakers: Vec<Waker>) {
    if wakers.is_empty() {
        return;
    }
    let wake_all = Box::new(move || wakers.into_iter().for_each(wake));
    if let Err((_, wake_all)) = waker::run(wake_all) {
        // Here then: no lock is held. Later work of this thread is delayed if a waker waits.
        wake_all();
    }
}

/// Wakes in a goroutine, or, as the runtime stops, in a thread.
pub(crate) fn wake_in_goroutine(shared: &'static Shared, waker: Waker) {
    struct Wakes(Option<Waker>);
    impl Drop for Wakes {
        fn drop(&mut self) {
            if let Some(waker) = self.0.take() {
                without_panic(|| waker.wake());
            }
        }
    }
    let wakes = Wakes(Some(waker));
    newproc::by_timer(shared, move || drop(wakes));
}

/// Calls `f`, which readies under locks, on a plain thread; gives the wakers.
pub(crate) fn collecting(f: impl FnOnce()) -> Vec<Waker> {
    LATER.set(Some(Vec::new()));
    f();
    LATER.take().unwrap_or_default()
}
