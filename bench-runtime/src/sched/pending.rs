//! A pending future as something that waits in a queue without parking.
//!
//! It stands there as a [`Parkable`] does, and the thread that readies it wakes the
//! task that polled the future last. It serves one wait; then the record is
//! given back for others. Records live for ever: a shutdown may look at the
//! kind of one that has just been taken out of a `join`.
//!
//! | `state`   | meaning                                               | next            |
//! |-----------|-------------------------------------------------------|-----------------|
//! | `Waiting` | may be in a queue; the waker is the last poll's       | `Ready`         |
//! | `Left`    | in a queue with something that the ready is to free   | on the free list |
//! | `Ready`   | the ready has come; the future takes what came        | on the free list |
//!
//! # Where a waker runs
//!
//! Waking is foreign code: it may panic, wait, and call anything of this crate.
//! So it is never done under a lock, inside the scheduler, nor while others that
//! were dequeued wait for their ready:
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
//! A waker may drop its task, what the task held may end the wait of another, and its waker may
//! drop that task: as many calls deep as there are tasks. So a goroutine, or a thread, that is
//! in [`DEEPEST`] wakes, one inside the other, leaves further ones to the innermost of them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::task::{Poll, Waker};

use super::current::{self, machine_of};
use super::shared::Shared;
use super::{newproc, waker_thread};
use crate::goroutine::body::without_panic;
use crate::goroutine::{Head, Kind, Parkable};
use crate::stack::StackHeader;
use crate::util::lock::Lock;

/// See the module.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Pending {
    head: Head,
    state: Lock<State>,
}

#[derive(Debug)]
enum State {
    Ready,
    Waiting(Waker),
    Left(Left),
}

/// What a ready frees.
#[derive(Debug)]
struct Left {
    what: *mut (),
    free: unsafe fn(*mut ()),
}

// SAFETY: by the promise of `Pending::leave` any thread may free it.
unsafe impl Send for Left {}

static FREE: Lock<Vec<&'static Pending>> = Lock::new(Vec::new());

thread_local! {
    /// Where a thread keeps the wakers that it must not wake yet. Not for code
    /// on a goroutine's stack.
    static LATER: Cell<Option<Vec<Waker>>> = const { Cell::new(None) };
    /// As [`StackHeader::wakes`], of a plain thread.
    static WAKES: Cell<u8> = const { Cell::new(0) };
}

/// How many wakes are one inside the other at most. Chosen, not measured.
const DEEPEST: u8 = 16;

/// What goroutines, and threads, have left to the innermost of their wakes: few have, and
/// none for long.
static LEFT: Lock<Vec<(usize, VecDeque<Waker>)>> = Lock::new(Vec::new());

impl Pending {
    fn take(state: State) -> &'static Self {
        let spare = FREE.lock().pop();
        let Some(pending) = spare else {
            return Box::leak(Box::new(Self {
                head: Head {
                    status: AtomicU8::new(0),
                    kind: Kind::Future,
                    reason: AtomicU8::new(0),
                    flags: AtomicU8::new(0),
                    ticket: AtomicU32::new(0),
                },
                state: Lock::new(state),
            }));
        };
        *pending.state.lock() = state;
        pending
    }

    /// One for a wait that is about to begin.
    pub(crate) fn new(waker: &Waker) -> &'static Self {
        Self::take(State::Waiting(waker.clone()))
    }

    /// One that is not polled any more: a ready calls `free` with `what`.
    ///
    /// # Safety
    ///
    /// Any thread may do that, once.
    pub(crate) unsafe fn leave(what: *mut (), free: unsafe fn(*mut ())) -> &'static Self {
        Self::take(State::Left(Left { what, free }))
    }

    /// Gives the record back. It is in no queue, and no ready of it is under way.
    pub(crate) fn give_back(&'static self) {
        // The waker is dropped out of the lock: its destructor is foreign.
        let _waker = mem::replace(&mut *self.state.lock(), State::Ready);
        FREE.lock().push(self);
    }

    /// The record behind a parkable of kind `Future`.
    pub(crate) fn of(parkable: Parkable) -> &'static Self {
        debug_assert_eq!(parkable.head().kind, Kind::Future);
        // SAFETY: the head is the first field of a record that lives for ever.
        unsafe { &*parkable.as_ptr().cast() }
    }

    pub(crate) fn parkable(&'static self) -> Parkable {
        // SAFETY: records are never freed, and begin with their head. Made from
        // the whole record, so that `of` may reach all of it.
        unsafe { Parkable::from_head(NonNull::from(self).cast()) }
    }

    /// True if the ready has come; else it will wake this waker.
    pub(crate) fn is_ready(&self, waker: &Waker) -> bool {
        match &*self.state.lock() {
            State::Waiting(known) if known.will_wake(waker) => return false,
            State::Waiting(_) => {}
            _ => return true,
        }
        // Cloned and dropped out of the lock: both are foreign code.
        let mut other = waker.clone();
        match &mut *self.state.lock() {
            State::Waiting(known) => mem::swap(known, &mut other),
            _ => return true,
        }
        false
    }

    /// Polls the wait in `slot`. Ready with true if it has just ended, which empties the slot;
    /// with false if there is none.
    pub(crate) fn poll(slot: &mut Option<&'static Self>, waker: &Waker) -> Poll<bool> {
        let Some(pending) = *slot else {
            return Poll::Ready(false);
        };
        if !pending.is_ready(waker) {
            return Poll::Pending;
        }
        pending.give_back();
        *slot = None;
        Poll::Ready(true)
    }

    /// Waits for a ready that is under way: the thread that dequeued this one is a few
    /// instructions from it. Blocks the thread so long.
    pub(crate) fn wait_ready(&self) {
        while !matches!(&*self.state.lock(), State::Ready) {
            std::thread::yield_now();
        }
    }

    /// Notes the ready; the waker is for the caller to wake.
    pub(super) fn complete(&'static self) -> Option<Waker> {
        let was = mem::replace(&mut *self.state.lock(), State::Ready);
        match was {
            State::Waiting(waker) => Some(waker),
            State::Left(left) => {
                // SAFETY: by the promise of `leave`, and there is one ready.
                unsafe { (left.free)(left.what) };
                self.give_back();
                None
            }
            State::Ready => None,
        }
    }

    /// Ends the wait.
    #[cold]
    pub(super) fn ready(&'static self) {
        if let Some(waker) = self.complete() {
            wake(waker);
        }
    }
}

/// Wakes where that may be done: see the module.
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

/// Wakes now, or leaves it to the call of this that it is inside of: see the module.
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

/// Wakes all that was left to this wake, and what is left to it meanwhile.
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
    if let Err((_, wake_all)) = waker_thread::run(wake_all) {
        // Here then: no lock is held. What this thread does comes late if a waker waits.
        wake_all();
    }
}

/// Wakes in a goroutine, or, as the runtime stops, in a thread.
pub(super) fn wake_in_goroutine(shared: &'static Shared, waker: Waker) {
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
