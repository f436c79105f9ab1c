//! A thread's sleep while it has nothing to do: Go's `sysmonwait` and `sysmonnote`. A wake
//! that finds it awake is a fence and a load.
//!
//! | `word` | the thread                      |
//! |--------|---------------------------------|
//! | 0      | is awake                        |
//! | 1      | sleeps, or is about to          |

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use crate::sys::{barrier, futex};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SleepWhile {
    word: AtomicU32,
}

impl SleepWhile {
    /// Ends the sleep, after something was made visible that `idle` looks at.
    #[inline]
    pub(crate) fn wake(&self) {
        // SeqCst: after that; see `sleep`.
        fence(Ordering::SeqCst);
        if self.word.load(Ordering::Relaxed) == 1 {
            self.word.store(0, Ordering::Release);
            futex::wake(&self.word, 1);
        }
    }

    /// Sleeps while `idle`, for `timeout` at most; true if it is no longer idle, or
    /// was woken. Blocks the thread.
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
