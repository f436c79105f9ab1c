//! A thread's sleep while it has nothing to do: Go's `sysmonwait` and `sysmonnote`. To wake a
//! thread that is awake costs a fence and a load.
//!
//! | `word` | the thread                      |
//! |--------|---------------------------------|
//! | 0      | is awake                        |
//! | 1      | sleeps, or is about to          |

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use crate::sys::{barrier, futex};

#[derive(Debug, Default)]
pub(crate) struct SleepWhile {
    word: AtomicU32,
}

impl SleepWhile {
    /// The caller has first made the change that `idle` reads.
    #[inline]
    pub(crate) fn wake(&self) {
        // SeqCst: orders that change before the load; pairs with the barrier in `sleep`.
        fence(Ordering::SeqCst);
        if self.word.load(Ordering::Relaxed) == 1 {
            self.word.store(0, Ordering::Release);
            futex::wake(&self.word, 1);
        }
    }

    /// Sleeps while `idle()` is true, for `timeout` at most. True if `idle()` is no longer true, or
    /// the thread was woken. Blocks the thread.
    pub(crate) fn sleep(&self, timeout: Option<Duration>, idle: impl Fn() -> bool) -> bool {
        self.word.store(1, Ordering::SeqCst);
        barrier::heavy();
        let asleep = || self.word.load(Ordering::Acquire) == 1 && idle();
        while asleep() {
            futex::wait(&self.word, 1, timeout);
            if timeout.is_some() {
                break;
            }
        }
        let woken = !asleep();
        self.word.store(0, Ordering::Release);
        woken
    }
}
