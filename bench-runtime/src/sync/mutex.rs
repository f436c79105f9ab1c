//! A mutex that parks goroutines, and is handed over to a waiter that starves.
//!
//! | bit        | meaning                                                   |
//! |------------|-----------------------------------------------------------|
//! | `LOCKED`   | held                                                      |
//! | `QUEUED`   | the queue has waiters; set and cleared under its lock      |
//! | `WAKING`   | a woken waiter will try to take the mutex; an unlock wakes no other |
//! | `STARVING` | newcomers do not take the mutex; an unlock hands it to the first waiter |
//!
//! # The protocol
//!
//! In normal operation an unlock wakes the first waiter, which competes with newcomers. Newcomers
//! mostly win, because they already run. A woken waiter that loses goes to the front of the queue.
//! After [`STARVING_NS`] of waiting it sets `STARVING`, but only while the mutex is held, because
//! the holder's unlock must read the bit. That unlock hands the mutex over: it sets `LOCKED` for
//! the first waiter, and the waiter clears `STARVING`.
//!
//! Go's mutex stays in starvation mode until a waiter has waited for less than the limit. In a long
//! queue each unlock then costs a switch or a wake: SPEED.md, "A contended mutex".
//!
//! No wake is lost: `QUEUED` is set under the queue's lock, in the exchange that reads `LOCKED` (or
//! `STARVING`). So the holder's unlock reads `QUEUED`, and gets the queue's lock only after the
//! waiter is in the queue.
//!
//! Source: Go's `sync.Mutex`, with the queue in place of its semaphore.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::waiting::{WOKEN, park_at};
use crate::debug::contention::{self, EndedWaits};
use crate::goroutine::{WaitQueue, WaitReason};
use crate::sched;
use crate::util::quick_lock::QuickLock;

const LOCKED: u32 = 1;
const QUEUED: u32 = 2;
const WAKING: u32 = 4;
const STARVING: u32 = 8;

/// In a waiter's tag: the mutex is handed over with the wake.
const HANDED: u32 = 2;

/// The limit of Go's `sync.Mutex`.
const STARVING_NS: u64 = 1_000_000;

/// How often `lock` reads the state again before it parks: a critical section is often shorter than
/// a park and a wake.
const SPINS: u32 = 30;

/// Mutual exclusion for goroutines and threads.
///
/// `lock` parks the goroutine, not its thread. The mutex is not fair, but a waiter that has waited
/// for a millisecond gets it next, once the waiter runs. In a pinned runtime a woken waiter cannot
/// run while another goroutine computes on its thread; the waiters behind it then wait too.
/// A goroutine that locks the mutex twice blocks for ever. There is no poisoning.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Mutex;
///
/// let total = Mutex::new(0);
/// *total.lock() += 5;
/// assert_eq!(total.into_inner(), 5);
/// ```
pub struct Mutex<T: ?Sized> {
    state: AtomicU32,
    /// An address on the last holder's stack, for dumps.
    holder: AtomicUsize,
    queue: QuickLock<WaitQueue>,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex gives one thread at a time access to the value, so sharing
// the mutex only sends the value between threads.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free mutex around a value.
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(0),
            holder: AtomicUsize::new(0),
            queue: QuickLock::new(WaitQueue::new()),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex; blocks the goroutine until it is free.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Mutex;
    ///
    /// let words = Mutex::new(vec!["one"]);
    /// {
    ///     let mut held = words.lock();
    ///     held.push("two");
    /// } // It unlocks here.
    /// assert_eq!(words.lock().len(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // Acquire: pairs with the Release in `unlock`.
        if self
            .state
            .compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slow();
        }
        MutexGuard::new(self)
    }

    /// Takes the mutex if it is free and no waiter starves.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Mutex;
    ///
    /// let mutex = Mutex::new(());
    /// let held = mutex.lock();
    /// assert!(mutex.try_lock().is_none());
    /// drop(held);
    /// assert!(mutex.try_lock().is_some());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let state = self.state.load(Ordering::Relaxed);
        let taken = state & (LOCKED | STARVING) == 0
            // Acquire: pairs with the Release in `unlock`.
            && self
                .state
                .compare_exchange(state, state | LOCKED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !taken {
            sched::give_way();
        }
        taken.then(|| MutexGuard::new(self))
    }

    /// The value, without locking.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Mutex;
    ///
    /// let mut mutex = Mutex::new(1);
    /// *mutex.get_mut() += 1;
    /// assert_eq!(*mutex.lock(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[cold]
    fn lock_slow(&self) {
        let mut since = None;
        let mut waited = 0;
        // True between our wake and our next try, which clears `WAKING`.
        let mut woken = false;
        let mut starved = false;
        let mut spins = 0;
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & (LOCKED | STARVING) == 0 {
                let taken = (state | LOCKED) & if woken { !WAKING } else { !0 };
                // Acquire: pairs with the Release in `unlock`.
                if self
                    .state
                    .compare_exchange_weak(state, taken, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    return;
                }
                continue;
            }
            if spins < SPINS && state & (STARVING | QUEUED) == 0 {
                spins += 1;
                std::hint::spin_loop();
                continue;
            }
            let begin = *since.get_or_insert_with(sched::now_ns);
            let queue = self.queue.lock();
            if !self.announce(woken, starved) {
                continue;
            }
            let object = ptr::from_ref(&self.holder).cast();
            let elem = contention::since(begin + waited);
            let tag = park_at(queue, WaitReason::Mutex, object, elem, woken);
            waited = sched::now_ns().saturating_sub(begin);
            if tag & HANDED != 0 {
                self.accept_hand_over();
                return;
            }
            woken = true;
            starved = waited > STARVING_NS;
        }
    }

    /// Sets the bits that make an unlock wake us. False, with no change, if the mutex can be taken
    /// now. The caller holds the queue's lock.
    fn announce(&self, woken: bool, starved: bool) -> bool {
        // Relaxed: the mutex is not taken here; the queue's lock orders the accesses to the queue.
        self.state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                if state & (LOCKED | STARVING) == 0 {
                    return None;
                }
                let mut next = state | QUEUED;
                if starved && state & LOCKED != 0 {
                    next |= STARVING;
                }
                if woken {
                    next &= !WAKING;
                }
                Some(next)
            })
            .is_ok()
    }

    /// Clears `STARVING`, after the mutex was handed over to the caller.
    fn accept_hand_over(&self) {
        // Under the queue's lock, like every hand-over.
        let _queue = self.queue.lock();
        self.state.fetch_and(!STARVING, Ordering::Relaxed);
    }

    #[inline]
    fn unlock(&self) {
        // Release: pairs with the Acquire in `lock`.
        let state = self.state.fetch_sub(LOCKED, Ordering::Release);
        if state & (QUEUED | WAKING) == QUEUED {
            self.unlock_slow();
        }
        sched::give_way();
    }

    #[cold]
    fn unlock_slow(&self) {
        let mut queue = self.queue.lock();
        let (bit, tag) = loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & QUEUED == 0 || state & (LOCKED | WAKING) != 0 {
                // Either there is no waiter, or the present holder or a woken waiter will wake the
                // next.
                return;
            }
            let (bit, tag) = if state & STARVING == 0 {
                (WAKING, WOKEN)
            } else {
                (LOCKED, WOKEN | HANDED)
            };
            // AcqRel: a hand-over passes the last holder's writes on to the waiter.
            if self
                .state
                .compare_exchange(state, state | bit, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                break (bit, tag);
            }
        };
        let first = queue.dequeue();
        if queue.is_empty() {
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
        if first.is_none() {
            // All waiters belonged to a runtime that has stopped. Release: this may unlock the
            // mutex.
            self.state.fetch_and(!(bit | STARVING), Ordering::Release);
        }
        drop(queue);
        if let Some(waiter) = first {
            let mut ended = EndedWaits::begin(sched::now_ns);
            // SAFETY: dequeued, so alive until its owner is readied.
            let owner = unsafe {
                let waiter = waiter.as_ref();
                ended.add(waiter.elem.get());
                waiter.tag.set(waiter.tag.get() | tag);
                waiter.owner
            };
            sched::ready(owner);
            ended.record();
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_tuple("Mutex").field(&&*guard).finish(),
            None => f.write_str("Mutex(locked)"),
        }
    }
}

/// The guard of a locked [`Mutex`]; unlocks on drop. It belongs to one goroutine, which may park
/// while it holds the guard.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, sync::Mutex, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let mutex = Mutex::new(1);
///     let mut guard = mutex.lock();
///     yield_now(); // It is still held.
///     *guard += 1;
///     drop(guard);
///     assert_eq!(mutex.into_inner(), 2);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the mutex unlocks at once if the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value only.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    #[inline]
    fn new(mutex: &'a Mutex<T>) -> Self {
        mutex
            .holder
            .store(crate::arch::stack_pointer(), Ordering::Relaxed);
        Self {
            mutex,
            not_send: PhantomData,
        }
    }

    /// The guard's mutex.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::{Mutex, MutexGuard};
    ///
    /// /// Lets others have it for a moment.
    /// fn relock<T>(guard: MutexGuard<'_, T>) -> MutexGuard<'_, T> {
    ///     let mutex = MutexGuard::mutex(&guard);
    ///     drop(guard);
    ///     mutex.lock()
    /// }
    ///
    /// let mutex = Mutex::new(3);
    /// assert_eq!(*relock(mutex.lock()), 3);
    /// ```
    #[must_use]
    pub fn mutex(this: &Self) -> &'a Mutex<T> {
        this.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while its goroutine holds the mutex.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` excludes other references.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
