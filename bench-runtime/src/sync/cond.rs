use std::ptr;
use std::time::Duration;

use super::waiting::{WOKEN, Woken};
use super::{Mutex, MutexGuard};
use crate::goroutine::{WaitQueue, WaitReason, Waiter};
use crate::sched;
use crate::time::after_ns;
use crate::util::quick_lock::QuickLock;

/// A place to wait until the value of a [`Mutex`] has changed.
///
/// A signal wakes the waiter that has waited longest. A wait returns only after a signal or a
/// time-out. Check the condition again: another goroutine may have changed the value meanwhile.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::{Cond, Mutex};
/// use std::sync::Arc;
///
/// let shared = Arc::new((Mutex::new(false), Cond::new()));
/// let theirs = Arc::clone(&shared);
/// let other = std::thread::spawn(move || {
///     *theirs.0.lock() = true;
///     theirs.1.signal();
/// });
/// let ready = shared.1.wait_while(shared.0.lock(), |ready| !*ready);
/// assert!(*ready);
/// # drop(ready);
/// # other.join().unwrap();
/// ```
#[derive(Debug)]
pub struct Cond {
    queue: QuickLock<WaitQueue>,
}

impl Cond {
    /// A condition without a waiter.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue: QuickLock::new(WaitQueue::new()),
        }
    }

    /// Unlocks the mutex and waits for a signal, then locks the mutex again. No signal between the
    /// unlock and the wait is lost. Blocks the goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::{Cond, Mutex};
    /// use std::sync::Arc;
    ///
    /// let shared = Arc::new((Mutex::new(Vec::new()), Cond::new()));
    /// let theirs = Arc::clone(&shared);
    /// let producer = std::thread::spawn(move || {
    ///     theirs.0.lock().push("parcel");
    ///     theirs.1.signal();
    /// });
    /// let (parcels, arrived) = &*shared;
    /// let mut held = parcels.lock();
    /// while held.is_empty() {
    ///     held = arrived.wait(held);
    /// }
    /// assert_eq!(held.pop(), Some("parcel"));
    /// # drop(held);
    /// # producer.join().unwrap();
    /// ```
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = MutexGuard::mutex(&guard);
        let me = sched::prepare_park(WaitReason::Cond, ptr::from_ref(self).cast());
        // SAFETY: the record's own waiter is free for a wait on one queue. It does not move, and we
        // stay parked until it has been dequeued.
        unsafe {
            let waiter = sched::own_waiter(me, ptr::null_mut());
            self.queue.lock().enqueue(waiter);
        }
        drop(guard);
        sched::park(me);
        mutex.lock()
    }

    /// Waits as long as the condition holds; blocks the goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::{Cond, Mutex};
    /// use std::sync::Arc;
    ///
    /// let shared = Arc::new((Mutex::new(0), Cond::new()));
    /// let theirs = Arc::clone(&shared);
    /// let counter = std::thread::spawn(move || {
    ///     for _ in 0..3 {
    ///         *theirs.0.lock() += 1;
    ///         theirs.1.signal();
    ///     }
    /// });
    /// let (count, changed) = &*shared;
    /// let reached = changed.wait_while(count.lock(), |count| *count < 3);
    /// assert_eq!(*reached, 3);
    /// # drop(reached);
    /// # counter.join().unwrap();
    /// ```
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`Self::wait`], but waits for a signal for `timeout` at most. The time to lock the mutex
    /// again is not limited. The flag is true if a signal came.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::{Cond, Mutex};
    /// use std::time::Duration;
    ///
    /// let (lock, cond) = (Mutex::new(()), Cond::new());
    /// let (_held, signalled) = cond.wait_timeout(lock.lock(), Duration::from_millis(1));
    /// assert!(!signalled, "there is no signal");
    /// ```
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let mutex: &'a Mutex<T> = MutexGuard::mutex(&guard);
        let deadline_ns = after_ns(timeout);
        let me = sched::prepare_park(WaitReason::Cond, ptr::from_ref(self).cast());
        let ticket = me.ticket();
        let mut waiter = Waiter::multi(me, ticket, ptr::null_mut(), 0);
        let waiter = &raw mut waiter;
        // SAFETY: the waiter does not move until it has been dequeued, or is removed below.
        unsafe { self.queue.lock().enqueue(waiter) };
        drop(guard);
        sched::park_until(me, ticket, deadline_ns);
        // SAFETY: the wait is over, so no other thread writes the tag.
        let signalled = unsafe { (*waiter).tag.get() } & WOKEN != 0;
        if !signalled {
            // SAFETY: alive, and was enqueued nowhere else.
            unsafe { self.queue.lock().remove(waiter) };
        }
        (mutex.lock(), signalled)
    }

    /// Wakes the goroutine that has waited longest; true if there was one.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Cond;
    ///
    /// let cond = Cond::new();
    /// assert!(!cond.signal(), "no goroutine waits, and nothing is kept for later ones");
    /// ```
    pub fn signal(&self) -> bool {
        let mut woken = Woken::none();
        let mut queue = self.queue.lock();
        let first = queue.dequeue();
        if let Some(waiter) = first {
            // SAFETY: just dequeued.
            unsafe { woken.add(waiter, WOKEN) };
        }
        drop(queue);
        woken.ready();
        first.is_some()
    }

    /// Wakes all waiters.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::{Cond, Mutex, WaitGroup};
    /// use std::sync::Arc;
    ///
    /// let gate = Arc::new((Mutex::new(false), Cond::new()));
    /// let all = WaitGroup::new();
    /// for _ in 0..3 {
    ///     let gate = Arc::clone(&gate);
    ///     all.go(move || drop(gate.1.wait_while(gate.0.lock(), |open| !*open)));
    /// }
    /// *gate.0.lock() = true;
    /// gate.1.broadcast();
    /// all.wait();
    /// ```
    pub fn broadcast(&self) {
        let mut queue = self.queue.lock();
        let (woken, _) = Woken::all_of(&mut queue);
        drop(queue);
        woken.ready();
    }
}

impl Default for Cond {
    fn default() -> Self {
        Self::new()
    }
}
