//! The quick lock has one holder at a time, which sees the writes of the holder before it. A
//! sleeping thread gets the lock at last.

use crate::quick_lock_source::{QuickLock, RawQuickLock};
use loom::cell::UnsafeCell;
use loom::sync::Arc;

#[test]
fn two_holders_lose_no_increment() {
    crate::bounded(2, || {
        let lock = Arc::new(QuickLock::new(0));
        let other = loom::thread::spawn({
            let lock = lock.clone();
            move || (0..2).for_each(|_| *lock.lock() += 1)
        });
        *lock.lock() += 1;
        other.join().unwrap();
        assert_eq!(*lock.lock(), 3);
    });
}

#[test]
fn try_lock_locks_or_returns_none() {
    loom::model(|| {
        let lock = Arc::new(QuickLock::new(0));
        let other = loom::thread::spawn({
            let lock = lock.clone();
            move || lock.try_lock().map(|mut value| *value += 1).is_some()
        });
        *lock.lock() += 1;
        let added = other.join().unwrap();
        assert_eq!(*lock.lock(), 1 + i32::from(added));
    });
}

struct Raw {
    lock: RawQuickLock,
    value: UnsafeCell<u32>,
}

// SAFETY: loom checks the accesses to its cells.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_unlock_by_a_thread_that_does_not_hold_it() {
    loom::model(|| {
        let raw = Arc::new(Raw {
            lock: RawQuickLock::new(),
            value: UnsafeCell::new(0),
        });
        let add = |raw: &Raw| {
            raw.lock.lock();
            // SAFETY: loom must find that this is not exclusive.
            raw.value.with_mut(|value| unsafe { *value += 1 });
            // SAFETY: held.
            unsafe { raw.lock.unlock() };
        };
        let other = loom::thread::spawn({
            let raw = raw.clone();
            move || {
                // SAFETY: none; loom must find this error.
                unsafe { raw.lock.unlock() };
                add(&raw);
            }
        });
        add(&raw);
        other.join().unwrap();
    });
}
