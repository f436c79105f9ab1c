//! A closure that runs once, in the first caller.
//!
//! | `state`   | meaning                              |
//! |-----------|--------------------------------------|
//! | `NEW`     | the closure has not begun            |
//! | `RUNNING` | the closure runs; other callers wait |
//! | `DONE`    | the closure has returned or unwound  |

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::waiting::{Woken, park_in};
use crate::goroutine::{WaitQueue, WaitReason};
use crate::sched;
use crate::util::quick_lock::QuickLock;

const NEW: u32 = 0;
const RUNNING: u32 = 1;
const DONE: u32 = 2;

/// Runs one closure, once.
///
/// A closure that panics, or ends its goroutine, counts as done, as in Go: it
/// is not run again. [`OnceCell`](super::OnceCell) remembers such a panic.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Once;
///
/// let once = Once::new();
/// let mut times = 0;
/// once.call(|| times += 1);
/// once.call(|| times += 1);
/// assert_eq!(times, 1);
/// ```
pub struct Once {
    state: AtomicU32,
    queue: QuickLock<WaitQueue>,
}

impl Once {
    /// A `Once` that has not been called.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(NEW),
            queue: QuickLock::new(WaitQueue::new()),
        }
    }

    /// Runs the closure if this is the first call; otherwise waits until the first call is over.
    /// Blocks the goroutine; for ever if the closure calls `call` of the same `Once`.
    ///
    /// # Panics
    ///
    /// The first call panics as the closure does.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Once;
    ///
    /// static START: Once = Once::new();
    ///
    /// fn connect() {
    ///     START.call(|| println!("this is printed once"));
    /// }
    ///
    /// connect();
    /// connect();
    /// assert!(START.is_done());
    /// ```
    #[inline]
    pub fn call(&self, f: impl FnOnce()) {
        if !self.done() && self.begin() {
            let _finish = Finish(self);
            f();
        }
    }

    /// True once the first call is over.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done = self.done();
        if !done {
            sched::give_way();
        }
        done
    }

    #[inline]
    fn done(&self) -> bool {
        // Acquire: pairs with the Release in `Finish`.
        self.state.load(Ordering::Acquire) == DONE
    }

    /// True if the caller must run the closure, false if the first call is over.
    #[cold]
    fn begin(&self) -> bool {
        let queue = self.queue.lock();
        match self.state.load(Ordering::Acquire) {
            NEW => {
                self.state.store(RUNNING, Ordering::Relaxed);
                true
            }
            RUNNING => {
                let object = ptr::from_ref(self).cast();
                park_in(queue, WaitReason::Once, object, ptr::null_mut());
                false
            }
            _ => false,
        }
    }
}

/// Ends the first call, also when it unwinds.
struct Finish<'a>(&'a Once);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        // Release: pairs with the Acquire in `done`.
        self.0.state.store(DONE, Ordering::Release);
        let (woken, _) = Woken::all_of(&mut queue);
        drop(queue);
        woken.ready();
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}
