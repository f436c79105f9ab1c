//! A goroutine that parks while it unwinds, or in a panic hook.
//!
//! Std counts panics by thread. So while such a goroutine is parked, [`std::thread::panicking`]
//! would be true for the other goroutines of its thread. Their guards would poison their locks, and
//! a panic while a hook waits would end the process.
//!
//! | runtime   | a goroutine that parks while it unwinds                        |
//! |-----------|----------------------------------------------------------------|
//! | pinned    | takes its panics off its thread's count, and adds them again when it continues |
//! | migrating | stays on its thread ([`FLAG_LOCKED`]), because std holds the address of the thread's count while it calls a hook; so the thread runs no other goroutine |
//!
//! Std's `resume_unwind` adds a panic to the count and `catch_unwind` subtracts one.
//! [`arch::catch`] catches an exception without changing the count.
//!
//! | function         | for each panic                                          | count | spare exceptions |
//! |------------------|---------------------------------------------------------|-------|------------------|
//! | `take_panics`    | raises a spare exception; `catch_unwind` catches it     | −1    | −1               |
//! | `restore_panics` | `resume_unwind` raises an exception; `arch::catch` catches it | +1    | +1               |
//!
//! If no spare exception is left, a new thread makes an exception and ends. The count of that
//! thread stays 1, but no code reads it.
//!
//! If a hook waits and then panics, std does not end the process, because its count no longer says
//! that a hook runs.

use std::ffi::c_void;
use std::panic::{catch_unwind, resume_unwind};
use std::ptr;
use std::sync::mpsc;

use super::header::goroutine_of;
use super::{FLAG_LOCKED, FLAG_UNWINDING};
use crate::arch::{self, exception};
use crate::stack::StackHeader;
use crate::threads::{self, THREAD_STACK};
use crate::util::lock::Lock;

struct Spare(*mut c_void);

// SAFETY: an object on the heap that belongs to no thread.
unsafe impl Send for Spare {}

static SPARE: Lock<Vec<Spare>> = Lock::new(Vec::new());

/// A part of step 1 of a wait (the list in `goroutine/parkable.rs`), for a pinned goroutine whose
/// thread counts a panic.
#[cold]
#[inline(never)]
pub(crate) fn prepare_park(header: &StackHeader) {
    let g = goroutine_of(header);
    let panics = take_panics();
    if panics > 0 {
        header.panics.set(panics);
        g.set_flag(FLAG_UNWINDING);
    }
}

#[cold]
#[inline(never)]
pub(crate) fn end_park(header: &StackHeader) {
    let g = goroutine_of(header);
    if g.has_flag(FLAG_UNWINDING) {
        g.clear_flag(FLAG_UNWINDING);
        restore_panics(header.panics.replace(0));
    } else if header.pins.get() == 0 {
        g.clear_flag(FLAG_LOCKED);
    }
}

/// Calls `f`, in which other goroutines of the thread run, with no panic on the thread's count.
#[cold]
#[inline(never)]
pub(crate) fn without_panics<R>(f: impl FnOnce() -> R) -> R {
    let panics = take_panics();
    let result = f();
    restore_panics(panics);
    result
}

/// Takes all panics off the thread's count; returns their number.
fn take_panics() -> u16 {
    let mut panics = 0;
    // Miri cannot raise an exception. With `panic = "abort"` only a hook can park here, and the
    // process ends after the hook.
    while std::thread::panicking() && cfg!(all(panic = "unwind", not(miri))) {
        let spare = SPARE.lock().pop().unwrap_or_else(make_spare);
        let caught = catch_unwind(move || {
            let Spare(exception) = { spare };
            // SAFETY: a spare exception is not in flight.
            unsafe { exception::raise(exception) };
        });
        if caught.is_ok() {
            crate::fatal::fatal!("an exception met no frame that catches it");
        }
        panics += 1;
    }
    panics
}

fn restore_panics(panics: u16) {
    for _ in 0..panics {
        let spare = catch_one();
        SPARE.lock().push(spare);
    }
}

/// Adds a panic to the thread's count, and returns its exception.
fn catch_one() -> Spare {
    unsafe extern "C-unwind" fn panic(_: *mut c_void) {
        resume_unwind(Box::new(()))
    }
    // SAFETY: `panic` ignores its data.
    Spare(unsafe { arch::catch(panic, ptr::null_mut()) })
}

/// Blocks the calling thread until a new thread has made an exception.
fn make_spare() -> Spare {
    let (give, take) = mpsc::sync_channel(1);
    let made = threads::start("exception", THREAD_STACK, move || {
        // Cannot fail: the receiver lives until it has the exception.
        let _ = give.send(catch_one());
    });
    match made.map(|()| take.recv()) {
        Ok(Ok(spare)) => spare,
        Ok(Err(_)) => crate::fatal::fatal!("a thread ended without what it was to make"),
        Err(error) => crate::fatal::fatal!("{error}; a goroutine is to wait while it unwinds"),
    }
}

#[cfg(all(test, not(rt_loom), not(miri)))]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::thread::panicking;

    use super::*;

    struct OnDrop<F: FnMut()>(F);

    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    fn panics_and_is_caught() {
        assert!(catch_unwind(|| resume_unwind(Box::new(7))).is_err());
    }

    #[test]
    fn panics_are_taken_off_a_thread_and_put_back() {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _outer = OnDrop(|| {
                let inner = catch_unwind(AssertUnwindSafe(|| {
                    let _inner = OnDrop(|| {
                        assert!(panicking());
                        let panics = take_panics();
                        assert_eq!(panics, 2);
                        assert!(!panicking());
                        panics_and_is_caught();
                        assert!(!panicking());
                        restore_panics(panics);
                        assert!(panicking());
                    });
                    resume_unwind(Box::new("inner"))
                }));
                assert_eq!(inner.unwrap_err().downcast_ref(), Some(&"inner"));
                assert!(panicking());
            });
            resume_unwind(Box::new("outer"))
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"outer"));
        assert!(!panicking());
    }
}
