//! Sysmon's deep sleep, until a P runs; Go's `sysmonwait` and `sysmonnote`.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use crate::sys::{barrier, futex};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SysmonWait {
    word: AtomicU32,
}

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

impl SysmonWait {
    /// Ends the sleep, after a P has begun to run.
    #[inline]
    pub(super) fn wake(&self) {
        // SeqCst: after the P's status; see `sleep`.
        fence(Ordering::SeqCst);
        if self.word.load(Ordering::Relaxed) == ASLEEP {
            self.word.store(AWAKE, Ordering::Release);
            futex::wake(&self.word, 1);
        }
    }

    /// Sleeps while `idle`, for `timeout` at most; true if it is idle no more, or was
    /// woken. Blocks the thread.
    pub(super) fn sleep(&self, timeout: Option<Duration>, idle: impl Fn() -> bool) -> bool {
        self.word.store(ASLEEP, Ordering::SeqCst);
        barrier::heavy();
        let asleep = || self.word.load(Ordering::Acquire) == ASLEEP && idle();
        while asleep() {
            futex::wait(&self.word, ASLEEP, timeout);
            if timeout.is_some() {
                break;
            }
        }
        let woken = !asleep();
        self.word.store(AWAKE, Ordering::Release);
        woken
    }
}
