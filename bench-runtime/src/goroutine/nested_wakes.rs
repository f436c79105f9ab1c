//! Limits how deep calls of wakers nest. A waker may drop its task, which may end the wait of
//! another task, and so call a waker. So a goroutine or thread with [`DEEPEST`] nested calls puts
//! further wakers on a list, and the innermost of the calls then wakes them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ptr;
use std::task::Waker;

use crate::stack::StackHeader;
use crate::util::lock::Lock;
use crate::util::panic::without_panic;

thread_local! {
    static WAKES: Cell<u8> = const { Cell::new(0) };
}

/// The most nested calls. Chosen, not measured.
const DEEPEST: u8 = 16;

/// The wakers on these lists, by [`caller_key`].
static DEFERRED: Lock<Vec<(usize, VecDeque<Waker>)>> = Lock::new(Vec::new());

pub(crate) fn wake(header: Option<&'static StackHeader>, waker: Waker) {
    // A thread-local's address is not kept over a waker: the goroutine may move.
    let set = |wakes| match header {
        Some(header) => header.wakes.set(wakes),
        None => WAKES.set(wakes),
    };
    let outer = header.map_or_else(|| WAKES.get(), |header| header.wakes.get());
    if outer == DEEPEST {
        let key = caller_key(header);
        let mut deferred = DEFERRED.lock();
        return match deferred.iter_mut().find(|(owner, _)| *owner == key) {
            Some((_, wakers)) => wakers.push_back(waker),
            None => deferred.push((key, VecDeque::from([waker]))),
        };
    }
    set(outer + 1);
    without_panic(|| waker.wake());
    if outer + 1 == DEEPEST {
        wake_deferred(caller_key(header));
    }
    set(outer);
}

fn caller_key(header: Option<&'static StackHeader>) -> usize {
    match header {
        Some(header) => ptr::from_ref(header).addr(),
        None => WAKES.with(|wakes| ptr::from_ref(wakes).addr()),
    }
}

/// Wakes the wakers on the list of the caller with this key, also those added meanwhile.
#[cold]
fn wake_deferred(key: usize) {
    loop {
        let next = {
            let mut deferred = DEFERRED.lock();
            let Some(at) = deferred.iter().position(|(owner, _)| *owner == key) else {
                return;
            };
            let next = deferred[at].1.pop_front();
            if deferred[at].1.is_empty() {
                deferred.swap_remove(at);
            }
            next
        };
        next.into_iter()
            .for_each(|waker| without_panic(|| waker.wake()));
    }
}
