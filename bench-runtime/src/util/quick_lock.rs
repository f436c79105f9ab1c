//! A lock for sections of a few dozen instructions: one read-modify-write to lock it, a plain store
//! to unlock it.
//!
//! A thread that cannot get the lock spins, then yields, then sleeps on `held`; `sleepers` counts
//! it. No fence orders the holder's plain store before its load of `sleepers`, so the holder may
//! miss, and not wake, a thread that begins to sleep. Therefore a sleep ends after [`SLEEP`].
//! Sleeps are rare: mostly the holder has lost its CPU inside its section. An exchange on release
//! would miss no wake, but would double the cost of an uncontended section.
//!
//! It must not be held across a park or a call of foreign code.
//!
//! The loom model `tests/loom/quick_lock.rs` runs this source.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::shim::fixed::{AtomicU32, UnsafeCell};
use crate::shim::{Ordering, const_fn, hint, os_yield};

/// As in [`super::lock`]. In a model one round is enough.
const SPINS: u32 = if cfg!(rt_loom) { 1 } else { 60 };

/// A holder that lost its CPU mostly has it back after this many yields.
const YIELDS: u32 = if cfg!(rt_loom) { 1 } else { 4 };

const SLEEP: Duration = Duration::from_millis(1);

#[derive(Debug)]
#[repr(C)]
pub(crate) struct RawQuickLock {
    held: AtomicU32,
    sleepers: AtomicU32,
}

impl RawQuickLock {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                held: AtomicU32::new(0),
                sleepers: AtomicU32::new(0),
            }
        }
    }

    /// Blocks the thread.
    #[inline(always)]
    pub(crate) fn lock(&self) {
        // Acquire: pairs with the Release in `unlock`.
        if self
            .held
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slow();
        }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        // Acquire: pairs with the Release in `unlock`.
        self.held
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// # Safety
    ///
    /// The caller holds it.
    #[inline(always)]
    pub(crate) unsafe fn unlock(&self) {
        // Release: pairs with the Acquire in `lock`.
        self.held.store(0, Ordering::Release);
        if self.sleepers.load(Ordering::Relaxed) != 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        crate::sys::futex::wake(&self.held, 1);
    }

    #[cold]
    fn lock_slow(&self) {
        for round in 0..SPINS + YIELDS {
            if self.held.load(Ordering::Relaxed) == 0 && self.try_lock() {
                return;
            }
            if round < SPINS {
                hint::spin_loop();
            } else {
                os_yield();
            }
        }
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        while !self.try_lock() {
            crate::sys::futex::wait(&self.held, 1, Some(SLEEP));
        }
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) struct QuickLock<T> {
    raw: RawQuickLock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives one thread at a time access to the value, so sharing the lock only sends
// the value between threads.
unsafe impl<T: Send> Sync for QuickLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for QuickLock<T> {}

impl<T> QuickLock<T> {
    const_fn! {
        pub(crate) fn new(value: T) -> Self {
            Self {
                raw: RawQuickLock::new(),
                value: UnsafeCell::new(value),
            }
        }
    }

    /// Blocks the thread.
    #[inline]
    pub(crate) fn lock(&self) -> QuickGuard<'_, T> {
        self.raw.lock();
        QuickGuard { lock: self }
    }

    #[cfg(rt_loom)]
    #[allow(dead_code, reason = "for its model")]
    pub(crate) fn try_lock(&self) -> Option<QuickGuard<'_, T>> {
        self.raw.try_lock().then_some(QuickGuard { lock: self })
    }
}

/// Does not show the value, for the reason at `Debug` of [`super::lock::Lock`].
impl<T> fmt::Debug for QuickLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuickLock")
    }
}

#[derive(Debug)]
pub(crate) struct QuickGuard<'a, T> {
    lock: &'a QuickLock<T>,
}

impl<T> Deref for QuickGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while its thread holds the lock.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for QuickGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` excludes other references.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for QuickGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard exists only while its thread holds the lock.
        unsafe { self.lock.raw.unlock() };
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn lock_under_contention_loses_no_increment() {
        const EACH: u64 = if cfg!(miri) { 100 } else { 20_000 };
        let lock = QuickLock::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..EACH).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(*lock.lock(), 4 * EACH);
    }

    #[test]
    fn sleeper_gets_a_lock_that_was_held_for_long() {
        let lock = QuickLock::new(());
        let held = lock.lock();
        std::thread::scope(|s| {
            let sleeper = s.spawn(|| drop(lock.lock()));
            while lock.raw.sleepers.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            drop(held);
            sleeper.join().unwrap();
        });
        assert_eq!(lock.raw.sleepers.load(Ordering::Relaxed), 0);
    }
}
