//! The lock by which an M holds its P. The M enters and leaves the runtime without a locked
//! instruction; sysmon can retake the P while the M runs a goroutine's code.
//!
//! | the M                              | sysmon, holding `lock`              |
//! |------------------------------------|-------------------------------------|
//! | D1 `inside = true`                 | D1 `p = null`                       |
//! | D2 light barrier                   | D2 heavy barrier                    |
//! | D3 read `p`: not null: go on       | D3 read `inside`: false: P is taken |
//! | D4 null: `inside` as before, take `lock`, `inside = true`, read again | D4 true: `p` back to what it was |
//!
//! By the barriers at least one side sees the other's D1. If the M read a P at D3, that P cannot be
//! retaken while `inside` is true. The only other stores to `p` are the M's own, under `lock`.
//!
//! The M goes back outside at D4, because sysmon's heavy barrier takes longer than most calls:
//! else sysmon could never retake the P of a goroutine that makes one call after the other.
//!
//! Its model is `tests/loom/biased_lock.rs`.

use std::ptr;

use crate::fatal::fatal;
use crate::shim::{AtomicBool, AtomicPtr, Ordering};
use crate::sys::{barrier, fork};
use crate::util::lock::Lock;

#[derive(Debug)]
pub(crate) struct BiasedLock<T> {
    /// True while the M's code is the runtime's.
    inside: AtomicBool,
    p: AtomicPtr<T>,
    lock: Lock<()>,
}

impl<T> Default for BiasedLock<T> {
    /// For an M that is inside and holds no P.
    fn default() -> Self {
        Self {
            inside: AtomicBool::new(true),
            p: AtomicPtr::new(ptr::null_mut()),
            lock: Lock::new(()),
        }
    }
}

impl<T> BiasedLock<T> {
    /// The M's side. Returns the P, or null if it was retaken; and whether the M was already
    /// inside, for `leave`.
    #[inline(always)]
    pub(crate) fn enter(&self) -> (*mut T, bool) {
        let was_inside = self.inside.load(Ordering::Relaxed);
        self.inside.store(true, Ordering::Relaxed); // D1
        barrier::light(); // D2
        // Acquire: pairs with the Release in `set`.
        let p = self.p.load(Ordering::Acquire); // D3
        if p.is_null() {
            return (self.enter_slow(was_inside), was_inside);
        }
        (p, was_inside)
    }

    #[cold]
    fn enter_slow(&self, was_inside: bool) -> *mut T {
        // It has done nothing since D1, so it may be outside again.
        self.leave(was_inside);
        let _lock = self.wait_for_sysmon();
        self.inside.store(true, Ordering::Relaxed);
        self.p.load(Ordering::Acquire)
    }

    /// Blocks the thread during a retake.
    fn wait_for_sysmon(&self) -> impl Drop + '_ {
        if fork::is_child() {
            // Sysmon is not here, and may have held the lock.
            fatal!(
                "a goroutine went on in the child of a fork, which has none of the runtime's threads: \
                 call exec or _exit there, or fork before the runtime is built"
            );
        }
        self.lock.lock()
    }

    /// The M's side.
    #[inline(always)]
    pub(crate) fn leave(&self, was_inside: bool) {
        // Release: the M's use of the P comes before sysmon, which reads this
        // with Acquire, gives it to another M.
        self.inside.store(was_inside, Ordering::Release);
    }

    /// In the child of a fork: the M that forked holds no P any more.
    pub(crate) fn clear(&self) {
        self.p.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Only the M, inside.
    pub(crate) fn held(&self) -> *mut T {
        let mut p = self.p.load(Ordering::Acquire);
        if p.is_null() {
            // It may be null only during a retake.
            let _lock = self.wait_for_sysmon();
            p = self.p.load(Ordering::Acquire);
        }
        p
    }

    /// Null releases the P. Only the M, inside.
    pub(crate) fn set(&self, p: *mut T) {
        let _lock = self.lock.lock();
        // Release: pairs with the Acquire in `enter`.
        self.p.store(p, Ordering::Release);
    }

    /// Sysmon's side: retakes `p` if the M still holds it and runs a goroutine's code, and calls
    /// `f` before the M can notice that. If true, the caller holds `p`.
    pub(crate) fn retake(&self, p: *mut T, f: impl FnOnce()) -> bool {
        let _lock = self.lock.lock();
        let taken = self.revoke(p);
        if taken {
            f();
        }
        taken
    }

    /// As [`Self::retake`], but returns the P to the M after `f`. True if `f` was called.
    pub(crate) fn borrow(&self, p: *mut T, f: impl FnOnce()) -> bool {
        let _lock = self.lock.lock();
        let taken = self.revoke(p);
        if taken {
            f();
            // Release: the effects of `f` come before the M's next step.
            self.p.store(p, Ordering::Release);
        }
        taken
    }

    /// Steps D1 to D4 of sysmon's side, under the lock.
    fn revoke(&self, p: *mut T) -> bool {
        if self.p.load(Ordering::Acquire) != p {
            return false;
        }
        self.p.store(ptr::null_mut(), Ordering::Release); // D1
        barrier::heavy(); // D2
        // Acquire: pairs with the Release in `leave`.
        let inside = self.inside.load(Ordering::Acquire); // D3
        if inside {
            self.p.store(p, Ordering::Release); // D4
        }
        !inside
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn m_that_enters_while_its_processor_is_taken_waits_outside() {
        let lock = BiasedLock::<u32>::default();
        let mut value = 0;
        let p = &raw mut value;
        lock.set(p);
        lock.leave(false);
        let mut was_inside = true;
        std::thread::scope(|scope| {
            let taken = lock.borrow(p, || {
                scope.spawn(|| {
                    lock.enter();
                    lock.leave(false);
                });
                while !lock.lock.has_waiters() {
                    std::thread::yield_now();
                }
                was_inside = lock.inside.load(Ordering::Relaxed);
            });
            assert!(taken);
        });
        assert!(!was_inside, "a retake would have found it inside");
    }
}
