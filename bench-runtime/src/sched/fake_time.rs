//! The clock of a test, which moves when all wait.

use std::sync::atomic::Ordering;

use super::shared::{RunState, Shared};
use super::{dump, readied};
use crate::goroutine::JOIN_OPEN;

/// With fake time, when nothing can run: the time is that of the next
/// timer; if there is none, the thread that waits in `run` learns that nothing
/// will come. Says whether there is something to do now.
pub(crate) fn advance_fake_time(shared: &'static Shared) -> bool {
    let Some(now) = &shared.fake_now_ns else {
        return false;
    };
    if shared.blocked_count.load(Ordering::SeqCst) != 0 || shared.fd_waiters_count() != 0 {
        return false;
    }
    match shared.first_timer_ns() {
        u64::MAX => {
            if all_goroutines_wait(shared)
                && shared.change_run_state(RunState::Running, RunState::Stuck)
            {
                readied::release_joiners(shared, JOIN_OPEN);
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
fn all_goroutines_wait(shared: &'static Shared) -> bool {
    let count = shared.goroutines_count();
    if count == 0 {
        return false;
    }
    let all = dump::goroutines_of(shared);
    all.len() >= count && all.iter().all(|info| info.waits)
}
