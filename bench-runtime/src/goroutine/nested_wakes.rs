//! Calls of wakers that nest.
//!
//! A waker may drop its task, whose values may end the wait of another task, whose waker may
//! drop that task: the calls nest as deep as there are tasks. So a goroutine, or a thread, with
//! [`DEEPEST`] nested calls leaves further wakers to the innermost of them, which has a list.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ptr;
use std::task::Waker;

use crate::stack::StackHeader;
use crate::util::lock::Lock;
use crate::util::panic::without_panic;

thread_local! {
    /// As [`StackHeader::wakes`], of a plain thread.
    static WAKES: Cell<u8> = const { Cell::new(0) };
}

/// The most nested calls. Chosen, not measured.
const DEEPEST: u8 = 16;

/// Wakers that goroutines, and threads, have left to the innermost of their calls: few
/// have any, and none for long.
static LEFT: Lock<Vec<(usize, VecDeque<Waker>)>> = Lock::new(Vec::new());

/// Wakes the task now, or leaves the waker to the innermost call of this function: see the module.
pub(crate) fn wake(header: Option<&'static StackHeader>, waker: Waker) {
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

/// The address that identifies the goroutine or thread that wakes.
fn waking(header: Option<&'static StackHeader>) -> usize {
    match header {
        Some(header) => ptr::from_ref(header).addr(),
        None => WAKES.with(|wakes| ptr::from_ref(wakes).addr()),
    }
}

/// Calls all wakers that were left to this call, also those that are left meanwhile.
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
