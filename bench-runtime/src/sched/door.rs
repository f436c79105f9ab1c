//! The door between an M that runs a goroutine's code and sysmon, which may
//! take the M's P away from it (see [`super::preempt`]). The M's side has no
//! locked instruction.
//!
//! | the M                              | sysmon, holding `lock`              |
//! |------------------------------------|-------------------------------------|
//! | D1 `inside = true`                 | D1 `p = null`                       |
//! | D2 light barrier                   | D2 heavy barrier                    |
//! | D3 read `p`: not null: go on       | D3 read `inside`: false: P is taken |
//! | D4 null: take `lock`, read again   | D4 true: `p` back to what it was    |
//!
//! By the barriers at least one side sees the other's D1. While `inside` is
//! true and D3 gave a P, nobody takes it. Whoever else stores to `p` is the M
//! itself, holding `lock`.
//!
//! The same source is modelled by loom: `tests/loom.rs`.

use std::ptr;

use crate::fatal::fatal;
use crate::shim::{AtomicBool, AtomicPtr, Ordering};
use crate::sys::{barrier, fork};
use crate::util::lock::Lock;

/// See the module.
#[derive(Debug)]
pub(crate) struct Door<T> {
    /// True while the M's code is the runtime's.
    inside: AtomicBool,
    /// What the M holds, as its fast side reads it.
    p: AtomicPtr<T>,
    lock: Lock<()>,
}

impl<T> Door<T> {
    /// That of an M inside, without a P.
    pub(crate) fn new() -> Self {
        Self {
            inside: AtomicBool::new(true),
            p: AtomicPtr::new(ptr::null_mut()),
            lock: Lock::new(()),
        }
    }

    /// The M's side: comes in. Null if the P was retaken. Says also whether it
    /// was inside already, for `leave`.
    #[inline(always)]
    pub(crate) fn enter(&self) -> (*mut T, bool) {
        let was_inside = self.inside.load(Ordering::Relaxed);
        self.inside.store(true, Ordering::Relaxed); // D1
        barrier::light(); // D2
        // Acquire: pairs with the Release in `set`.
        let p = self.p.load(Ordering::Acquire); // D3
        if p.is_null() {
            return (self.behind_lock(), was_inside);
        }
        (p, was_inside)
    }

    /// The M's side, without coming in, which would keep sysmon from taking the
    /// P at that moment: true if it is gone. Waits for a sysmon that is at it.
    pub(crate) fn has_lost(&self) -> bool {
        self.p.load(Ordering::Relaxed).is_null() && self.behind_lock().is_null()
    }

    /// D4 of the M's side.
    #[cold]
    fn behind_lock(&self) -> *mut T {
        if fork::is_child() {
            // Sysmon is not here, and may have held the lock.
            fatal!(
                "a goroutine went on in the child of a fork, which has none of the runtime's threads: \
                 call exec or _exit there, or fork before the runtime is built"
            );
        }
        let _lock = self.lock.lock();
        self.p.load(Ordering::Acquire)
    }

    /// The M's side: goes back to the goroutine's code.
    #[inline(always)]
    pub(crate) fn leave(&self, was_inside: bool) {
        // Release: what was done with the P is done before sysmon, which reads
        // this with Acquire, gives it to another M.
        self.inside.store(was_inside, Ordering::Release);
    }

    /// In the child of a fork: the M, which forked, finds that it has nothing.
    pub(crate) fn shut(&self) {
        self.p.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// What is held. Only the M, inside.
    pub(crate) fn held(&self) -> *mut T {
        let p = self.p.load(Ordering::Acquire);
        if p.is_null() { self.behind_lock() } else { p }
    }

    /// Takes up a P, or lets go of it. Only the M, inside.
    pub(crate) fn set(&self, p: *mut T) {
        let _lock = self.lock.lock();
        // Release: pairs with the Acquire in `enter`.
        self.p.store(p, Ordering::Release);
    }

    /// Sysmon's side: takes `p` away if the M still has it and runs a
    /// goroutine's code. Then the caller holds it.
    pub(crate) fn retake(&self, p: *mut T) -> bool {
        let _lock = self.lock.lock();
        self.close_for(p)
    }

    /// As [`Self::retake`], but gives the P back after `f`. Says whether `f`
    /// was called.
    pub(crate) fn borrow(&self, p: *mut T, f: impl FnOnce()) -> bool {
        let _lock = self.lock.lock();
        let taken = self.close_for(p);
        if taken {
            f();
            // Release: what `f` did comes before the M's next step.
            self.p.store(p, Ordering::Release);
        }
        taken
    }

    /// Steps D1 to D4 of sysmon's side, under the lock.
    fn close_for(&self, p: *mut T) -> bool {
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
