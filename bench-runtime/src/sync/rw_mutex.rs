//! A mutex with many readers or one writer.
//!
//! | `state`          | meaning                                        |
//! |------------------|------------------------------------------------|
//! | `READER` × n     | n goroutines read                              |
//! | `WRITER`         | one goroutine writes                           |
//! | `QUEUED`         | waiters exist; set and cleared under the lock of the queues |
//!
//! # The protocol
//!
//! While there are waiters, newcomers queue behind them, so new readers do not delay a waiting
//! writer. The unlock of the last reader hands over to the first writer. The unlock of a writer
//! hands over to all waiting readers, or to the first writer if no reader waits. The hand-over sets
//! `state` for the woken goroutines, so they hold the mutex when they wake.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::waiting::{Queued, WOKEN, Woken, park_in};
use crate::debug::contention::{self, EndedWaits};
use crate::goroutine::{WaitQueue, WaitReason};
use crate::sched;
use crate::util::quick_lock::{QuickGuard, QuickLock};

const WRITER: usize = 1;
const QUEUED: usize = 2;
const READER: usize = 4;

/// `writing` selects the queue that [`Queued::queue`] returns.
struct Queues {
    readers: WaitQueue,
    reader_count: usize,
    writers: WaitQueue,
    writing: bool,
}

impl Queued for Queues {
    fn queue(&mut self) -> &mut WaitQueue {
        if self.writing {
            &mut self.writers
        } else {
            &mut self.readers
        }
    }
}

/// Mutual exclusion between one writer and many readers.
///
/// New readers wait behind a waiting writer, and a writer's unlock admits all waiting readers, so
/// neither side starves. Do not lock it for reading twice in one goroutine: if a writer begins to
/// wait between the two calls, both goroutines block for ever.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::RwMutex;
///
/// let map = RwMutex::new(vec![1]);
/// {
///     let (a, b) = (map.read(), map.read());
///     assert_eq!(*a, *b);
/// }
/// map.write().push(2);
/// assert_eq!(map.read().len(), 2);
/// ```
pub struct RwMutex<T: ?Sized> {
    state: AtomicUsize,
    queues: QuickLock<Queues>,
    value: UnsafeCell<T>,
}

// SAFETY: readers on several threads share the value, and a writer may move it to its thread.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwMutex<T> {}
// SAFETY: the mutex owns its value.
unsafe impl<T: ?Sized + Send> Send for RwMutex<T> {}

impl<T> RwMutex<T> {
    /// An unlocked mutex around a value.
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicUsize::new(0),
            queues: QuickLock::new(Queues {
                readers: WaitQueue::new(),
                reader_count: 0,
                writers: WaitQueue::new(),
                writing: false,
            }),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::RwMutex;
    ///
    /// let lock = RwMutex::new(String::from("a"));
    /// lock.write().push('b');
    /// assert_eq!(lock.into_inner(), "ab");
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwMutex<T> {
    /// Locks the mutex for reading; blocks the goroutine while a writer holds it, or waits
    /// for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::RwMutex;
    ///
    /// let settings = RwMutex::new(("verbose", true));
    /// let (one, two) = (settings.read(), settings.read());
    /// assert_eq!(one.1, two.1);
    /// ```
    #[inline]
    pub fn read(&self) -> RwMutexReadGuard<'_, T> {
        if !self.try_read_once() {
            self.read_slow();
        }
        RwMutexReadGuard {
            mutex: self,
            not_send: PhantomData,
        }
    }

    /// Locks the mutex for reading, unless that would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::RwMutex;
    ///
    /// let lock = RwMutex::new(1);
    /// let writing = lock.write();
    /// assert!(lock.try_read().is_none());
    /// drop(writing);
    /// assert!(lock.try_read().is_some());
    /// ```
    pub fn try_read(&self) -> Option<RwMutexReadGuard<'_, T>> {
        loop {
            if self.try_read_once() {
                return Some(RwMutexReadGuard {
                    mutex: self,
                    not_send: PhantomData,
                });
            }
            if self.state.load(Ordering::Relaxed) & (WRITER | QUEUED) != 0 {
                sched::give_way();
                return None;
            }
        }
    }

    /// Locks the mutex for writing; blocks the goroutine while another goroutine holds it.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::RwMutex;
    /// use std::collections::HashMap;
    ///
    /// let ages = RwMutex::new(HashMap::new());
    /// ages.write().insert("ada", 36);
    /// assert_eq!(ages.read().get("ada"), Some(&36));
    /// ```
    #[inline]
    pub fn write(&self) -> RwMutexWriteGuard<'_, T> {
        // Acquire: pairs with the Release in the unlocks.
        if self
            .state
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.write_slow();
        }
        RwMutexWriteGuard {
            mutex: self,
            not_send: PhantomData,
        }
    }

    /// Locks the mutex for writing, unless that would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::RwMutex;
    ///
    /// let lock = RwMutex::new(1);
    /// let reading = lock.read();
    /// assert!(lock.try_write().is_none());
    /// drop(reading);
    /// assert!(lock.try_write().is_some());
    /// ```
    pub fn try_write(&self) -> Option<RwMutexWriteGuard<'_, T>> {
        // Acquire: pairs with the Release in the unlocks.
        let taken = self
            .state
            .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if !taken {
            sched::give_way();
        }
        taken.then(|| RwMutexWriteGuard {
            mutex: self,
            not_send: PhantomData,
        })
    }

    /// The value, without locking.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::RwMutex;
    ///
    /// let mut lock = RwMutex::new(1);
    /// *lock.get_mut() = 2;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Adds a reader. False if a writer holds the mutex, if there are waiters, or if another thread
    /// has just changed the state.
    #[inline]
    fn try_read_once(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state & (WRITER | QUEUED) == 0
            // Acquire: pairs with the Release in the unlock of a writer.
            && self
                .state
                .compare_exchange_weak(
                    state,
                    state + READER,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    #[cold]
    fn read_slow(&self) {
        loop {
            if self.try_read_once() {
                return;
            }
            if self.state.load(Ordering::Relaxed) & (WRITER | QUEUED) == 0 {
                continue;
            }
            let mut queues = self.queues.lock();
            // The present holder's unlock will see `QUEUED`, and then needs the lock that we hold.
            if self.queue_up(|state| state & (WRITER | QUEUED) != 0) {
                queues.reader_count += 1;
                queues.writing = false;
                self.park(queues, WaitReason::RwMutexRead);
                return;
            }
        }
    }

    #[cold]
    fn write_slow(&self) {
        loop {
            // Acquire: pairs with the Release in the unlocks.
            if self
                .state
                .compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
            let mut queues = self.queues.lock();
            if self.queue_up(|state| state != 0) {
                queues.writing = true;
                self.park(queues, WaitReason::RwMutexWrite);
                return;
            }
        }
    }

    /// Sets `QUEUED`, and returns true, if `must_wait(state)`. The caller holds the queues' lock.
    fn queue_up(&self, must_wait: impl Fn(usize) -> bool) -> bool {
        self.state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                must_wait(state).then_some(state | QUEUED)
            })
            .is_ok()
    }

    fn park(&self, queues: QuickGuard<'_, Queues>, reason: WaitReason) {
        let object = ptr::from_ref(&self.state).cast();
        let tag = park_in(queues, reason, object, contention::since_now(sched::now_ns));
        debug_assert_eq!(tag & WOKEN, WOKEN);
    }

    #[inline]
    fn unlock_read(&self) {
        // Release: pairs with the Acquire of a writer.
        let state = self.state.fetch_sub(READER, Ordering::Release) - READER;
        if state == QUEUED {
            self.hand_over(false);
        }
        sched::give_way();
    }

    #[inline]
    fn unlock_write(&self) {
        // Release: pairs with the Acquire of the next holder.
        if self
            .state
            .compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.hand_over(true);
        }
        sched::give_way();
    }

    /// Hands the mutex over: from a writer to readers, if any wait; from the last reader to a
    /// writer, if one waits. `state` is `QUEUED`, with `WRITER` or without. All newcomers queue, so
    /// no other thread changes `state` while we hold the lock.
    #[cold]
    fn hand_over(&self, from_writer: bool) {
        let mut queues = self.queues.lock();
        let readers_next = if from_writer {
            queues.reader_count > 0
        } else {
            queues.writers.is_empty()
        };
        let (mut woken, mut next) = (Woken::none(), 0);
        // The other side is tried if all waiters of the first belong to a stopped runtime.
        for readers in [readers_next, !readers_next] {
            if next != 0 {
                break;
            } else if readers {
                let count;
                (woken, count) = Woken::all_of(&mut queues.readers);
                queues.reader_count = 0;
                next = READER * count;
            } else if let Some(writer) = queues.writers.dequeue() {
                // SAFETY: just dequeued.
                unsafe { woken.add(writer, WOKEN) };
                next = WRITER;
            }
        }
        if queues.reader_count > 0 || !queues.writers.is_empty() {
            next |= QUEUED;
        }
        // AcqRel: the woken goroutines see the writes of all earlier holders.
        self.state.swap(next, Ordering::AcqRel);
        drop(queues);
        let mut ended = EndedWaits::begin(sched::now_ns);
        woken.ready_each(|waiter| ended.add(waiter.elem.get()));
        ended.record();
    }
}

impl<T: Default> Default for RwMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwMutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_tuple("RwMutex").field(&&*guard).finish(),
            None => f.write_str("RwMutex(locked)"),
        }
    }
}

/// The guard of an [`RwMutex`] locked for reading; unlocks on drop.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::RwMutex;
///
/// let names = RwMutex::new(vec!["ada", "alan"]);
/// let held = names.read();
/// assert!(names.try_write().is_none(), "no writer while it is held");
/// assert_eq!(held.len(), 2);
/// ```
#[must_use = "the mutex unlocks at once if the guard is dropped"]
pub struct RwMutexReadGuard<'a, T: ?Sized> {
    mutex: &'a RwMutex<T>,
    not_send: PhantomData<*const ()>,
}

/// The guard of an [`RwMutex`] locked for writing; unlocks on drop.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::RwMutex;
///
/// let names = RwMutex::new(vec!["ada"]);
/// let mut held = names.write();
/// assert!(names.try_read().is_none(), "no reader while it is held");
/// held.push("alan");
/// ```
#[must_use = "the mutex unlocks at once if the guard is dropped"]
pub struct RwMutexWriteGuard<'a, T: ?Sized> {
    mutex: &'a RwMutex<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value only.
unsafe impl<T: ?Sized + Sync> Sync for RwMutexReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwMutexWriteGuard<'_, T> {}

impl<T: ?Sized> Deref for RwMutexReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while the guard exists the mutex is held for reading, so
        // there is no writer.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> Deref for RwMutexWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while the guard exists it holds the mutex for writing.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwMutexWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` excludes other references.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for RwMutexReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.unlock_read();
    }
}

impl<T: ?Sized> Drop for RwMutexWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.unlock_write();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwMutexReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwMutexWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
