//! Timers are mostly armed in the order in which they fire, because most programs sleep for one of
//! a few lengths. So they are in a few *runs*, each a queue in order; timers that fit no run are in
//! a 4-ary *heap*. An entry is two words; its action is in a slab, at an index that the entry holds
//! together with a generation.
//!
//! Cancelling frees the timer's place in the slab at once and leaves the entry, whose generation is
//! then out of date. Such dead entries are removed when they come to the front, or outnumber the
//! live entries.
//!
//! # Invariants
//!
//! Under the lock, between operations:
//! 1. The front of each run, and the root of the heap, is live.
//! 2. `next` is the earliest time of those entries, `u64::MAX` if there is none.
//! 3. `live` places of the slab are taken, and exactly one entry refers to each.
//!
//! Rejected: *a heap in which each timer knows its position* writes to a random cache line for each
//! level of a move; *a hierarchical wheel* fires timers only at multiples of its resolution.

mod action;
mod queue;

use std::fmt;

pub(crate) use action::{Action, Call, Periodic, TimerKey};
use queue::{Entry, NEVER, Queue};

use crate::goroutine::Parkable;
use crate::shim::{AtomicU64, Ordering};
use crate::util::lock::Lock;
use crate::util::panic::without_panic;

/// An armed timer. Dropping this does not cancel the timer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    timers: &'static Timers,
    key: TimerKey,
}

impl Armed {
    pub(crate) fn cancel(self) -> bool {
        self.timers.cancel(self.key)
    }
}

/// Unused timers. They are not freed, because an [`Armed`] may still refer to them.
static SPARE: Lock<Vec<&'static Timers>> = Lock::new(Vec::new());

pub(crate) struct Timers {
    next: AtomicU64,
    queue: Lock<Queue>,
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("next_ns", &self.next_ns())
            .finish_non_exhaustive()
    }
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            next: AtomicU64::new(NEVER),
            queue: Lock::new(Queue::new()),
        }
    }

    /// Returns timers that are for the caller alone until [`Self::give_back`].
    pub(crate) fn take() -> &'static Self {
        let spare = SPARE.lock().pop();
        spare.unwrap_or_else(|| Box::leak(Box::new(Self::new())))
    }

    /// Removes all timers, and keeps `self` for a later [`Self::take`]. An [`Armed`] of a removed
    /// timer cancels nothing: a key is not used again for 2³² − 1 armings.
    pub(crate) fn give_back(&'static self) {
        self.clear();
        SPARE.lock().push(self);
    }

    /// Arms a timer for a time of [`crate::sched::now_ns`]. If [`Self::next_ns`] is now this time,
    /// the caller must wake a poller that sleeps until a later time.
    pub(crate) fn arm(&self, when_ns: u64, action: Action) -> TimerKey {
        // The last instant means never.
        let when_ns = when_ns.min(NEVER - 1);
        let mut queue = self.queue.lock();
        let key = queue.take_place(action);
        queue.insert(Entry { when_ns, key });
        if when_ns < self.next.load(Ordering::Relaxed) {
            self.next.store(when_ns, Ordering::Release);
        }
        key
    }

    /// As [`Self::arm`]. Also returns whether the new timer is now the first.
    pub(crate) fn arm_here(&'static self, when_ns: u64, action: Action) -> (Armed, bool) {
        let key = self.arm(when_ns, action);
        (Armed { timers: self, key }, self.next_ns() == when_ns)
    }

    /// Cancels a timer. True: it was armed and will not fire (again); but if it is periodic, a poll
    /// on another thread may be about to make its call. False: it has fired, or a poll has begun to
    /// fire it, or it was cancelled before.
    pub(crate) fn cancel(&self, key: TimerKey) -> bool {
        let mut queue = self.queue.lock();
        let action = queue.free_place(key);
        if action.is_none() {
            return false;
        }
        queue.drop_dead_fronts();
        queue.sweep_if_due();
        self.next.store(queue.least(), Ordering::Release);
        drop(queue);
        // After the unlock, because the drop may run destructors of the program.
        drop(action);
        true
    }

    /// When the next timer is due, `u64::MAX` for never. Takes no lock.
    #[inline]
    pub(crate) fn next_ns(&self) -> u64 {
        // Acquire: pairs with the Release of the store, so that a thread that sees a time and then
        // polls finds the timer.
        self.next.load(Ordering::Acquire)
    }

    /// Fires all timers that are due at `now_ns`: makes their calls, and adds the parkables whose
    /// waits end to `ready`. A call may ready goroutines itself.
    pub(crate) fn poll(&self, now_ns: u64, ready: &mut Vec<Parkable>) {
        if now_ns < self.next_ns() {
            return;
        }
        let mut calls = Vec::new();
        {
            let mut queue = self.queue.lock();
            while let Some((when_ns, action)) = queue.pop_due(now_ns) {
                match action {
                    Action::Wake { who, ticket } => ready.extend(who.claim(ticket).then_some(who)),
                    Action::Expire { desc, side, who } => {
                        ready.extend(desc.expire(side, who).then_some(who));
                    }
                    action => calls.push((when_ns, action)),
                }
            }
            self.next.store(queue.least(), Ordering::Release);
            queue.shrink_if_empty();
        }
        for (when_ns, action) in calls {
            match action {
                Action::Call(call) => call.fire(when_ns),
                Action::Every(periodic) => (periodic.call)(when_ns),
                Action::Wake { .. } | Action::Expire { .. } => {}
            }
        }
    }

    /// Removes all timers when the runtime stops, and calls [`Call::outlive`] for each
    /// [`Action::Call`].
    pub(crate) fn retire(&self, now_ns: u64) {
        self.remove_all(|action| {
            if let Action::Call(call) = action {
                call.outlive(now_ns);
            }
        });
    }

    pub(crate) fn clear(&self) {
        self.remove_all(drop);
    }

    fn remove_all(&self, each: impl Fn(Action)) {
        let actions = {
            let mut queue = self.queue.lock();
            self.next.store(NEVER, Ordering::Release);
            queue.clear()
        };
        // After the unlock: destructors of the program run here. If a destructor panics, the others
        // still run.
        for action in actions {
            without_panic(|| each(action));
        }
    }

    /// Calls `f` under the lock if no timer is armed. Does nothing if another thread holds the
    /// lock.
    pub(crate) fn call_if_unarmed(&self, f: impl FnOnce()) {
        // Does not wait for the lock, because the caller may hold a lock that other threads wait
        // for.
        if let Some(queue) = self.queue.try_lock()
            && queue.live == 0
        {
            f();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.lock().live
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests;
