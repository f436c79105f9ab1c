//! The clock of a runtime: the host's, or in a test one that moves when all wait.

use std::sync::atomic::Ordering;

use super::runtime::Shared;
use super::shutdown::RunState;
use crate::goroutine::JOIN_OPEN;
use crate::sys::clock;

impl Shared {
    /// The clock of this runtime.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.fake_now_ns {
            None => clock::now_ns(),
            Some(now) => now.load(Ordering::Acquire),
        }
    }

    /// True where time or order are a test's.
    #[inline(always)]
    pub(crate) fn is_test(&self) -> bool {
        self.fake_now_ns.is_some() || self.order.is_some()
    }

    /// With fake time, when nothing can run: the time is that of the next
    /// timer; if there is none, the thread that waits in `run` learns that nothing
    /// will come. Says whether there is something to do now.
    pub(crate) fn advance_fake_time(&'static self) -> bool {
        let Some(now) = &self.fake_now_ns else {
            return false;
        };
        if self.blocked_count.load(Ordering::SeqCst) != 0 || self.fd_waiters_count() != 0 {
            return false;
        }
        match self.first_timer_ns() {
            u64::MAX => {
                if self.all_goroutines_wait()
                    && self.change_run_state(RunState::Running, RunState::Stuck)
                {
                    self.release_joiners(JOIN_OPEN);
                }
                false
            }
            next => {
                now.fetch_max(next, Ordering::AcqRel);
                true
            }
        }
    }

    /// False too while a thread has counted a goroutine that it has not queued yet.
    fn all_goroutines_wait(&'static self) -> bool {
        let count = self.goroutines_count();
        if count == 0 {
            return false;
        }
        let all = self.goroutines();
        all.len() >= count && all.iter().all(|info| info.waits)
    }
}
