//! The wait of `block_on`, which the future's waker ends.

use std::ptr;
use std::sync::Arc;
use std::task::Wake;

use super::waiting::{Queued, park_in};
use crate::goroutine::{WaitQueue, WaitReason};
use crate::sched;
use crate::util::quick_lock::QuickLock;

/// A wake that comes before a wait ends the wait at once. Several such wakes count as one.
#[derive(Debug)]
pub(crate) struct Signal {
    state: QuickLock<State>,
}

#[derive(Debug)]
struct State {
    /// A wake has come that no wait has taken.
    is_set: bool,
    queue: WaitQueue,
}

impl Queued for State {
    fn queue(&mut self) -> &mut WaitQueue {
        &mut self.queue
    }
}

impl Signal {
    pub(crate) fn new() -> Self {
        Self {
            state: QuickLock::new(State {
                is_set: false,
                queue: WaitQueue::new(),
            }),
        }
    }

    /// Waits for a wake. If a wake has already come, it yields instead: a future wakes itself to
    /// let other goroutines run. Blocks the goroutine.
    pub(crate) fn wait(&self) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.is_set) {
            drop(state);
            return sched::park::yield_now();
        }
        let object = ptr::from_ref(self).cast();
        park_in(state, WaitReason::Future, object, ptr::null_mut());
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Does not block, because the caller may hold a lock.
    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state.lock();
        // SAFETY: the waiter was in the queue, and its owner waits until it is readied below.
        let who = state
            .queue
            .dequeue()
            .map(|waiter| unsafe { waiter.as_ref() }.owner);
        state.is_set |= who.is_none();
        drop(state);
        if let Some(who) = who {
            sched::ready(who);
        }
    }
}
