//! An event for which a thread sleeps: Go's note. Each sleep consumes one wake.
//!
//! | `word` | meaning                                            |
//! |--------|----------------------------------------------------|
//! | 0      | no wake has come; the thread may sleep             |
//! | 1      | a wake has come, and no sleep has consumed it yet  |

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::sys::{clock, futex};

/// Only one thread may sleep on it.
#[derive(Debug, Default)]
pub(crate) struct Note {
    word: AtomicU32,
}

impl Note {
    pub(crate) const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
        }
    }

    /// Blocks the thread until a wake comes, and consumes it.
    pub(crate) fn sleep(&self) {
        self.sleep_until(u64::MAX);
    }

    /// As [`Self::sleep`], until `deadline_ns` at the latest; false if no wake has come by then.
    pub(crate) fn sleep_until(&self, deadline_ns: u64) -> bool {
        // Acquire: pairs with the Release in `wake`.
        while self.word.swap(0, Ordering::Acquire) == 0 {
            let mut timeout = None;
            if deadline_ns != u64::MAX {
                let now = clock::now_ns();
                if now >= deadline_ns {
                    return false;
                }
                timeout = Some(Duration::from_nanos(deadline_ns - now));
            }
            futex::wait(&self.word, 0, timeout);
        }
        true
    }

    /// Ends the sleep, or the next sleep if the thread does not sleep now.
    pub(crate) fn wake(&self) {
        // Release: pairs with the Acquire in `sleep_until`.
        self.word.store(1, Ordering::Release);
        futex::wake(&self.word, 1);
    }
}
