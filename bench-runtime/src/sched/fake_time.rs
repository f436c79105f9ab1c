//! The clock of a test, which moves when all wait.

use std::sync::atomic::Ordering;

use super::dump::{self, GoroutineInfo};
use super::readied;
use super::shared::{RunState, Shared};
use crate::goroutine::{JOIN_OPEN, Parkable};

/// With fake time, when nothing can run: the goroutine that waits for that goes on;
/// without one, the time is that of the next timer; without a timer, the thread that
/// waits in `run` learns that nothing will come. Says whether there is something to do now.
pub(crate) fn advance_fake_time(shared: &'static Shared) -> bool {
    let Some(now) = &shared.fake_now_ns else {
        return false;
    };
    if shared.blocked_count.load(Ordering::SeqCst) != 0 || shared.fd_waiters_count() != 0 {
        return false;
    }
    if let Some(who) = waits_for_rest(shared) {
        readied::ready(who);
        return true;
    }
    match shared.first_timer_ns() {
        u64::MAX => {
            if all_waiting(shared).is_some()
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

/// The goroutine that waits for all others to wait, if they do.
fn waits_for_rest(shared: &'static Shared) -> Option<Parkable> {
    let mut rest = shared.rest.lock();
    let first = rest.iter_mut().find(|who| who.is_some())?;
    all_waiting(shared)?;
    first.take()
}

/// The goroutines, if there are some and all of them wait. None too while a thread
/// has counted a goroutine that it has not queued yet.
pub(super) fn all_waiting(shared: &'static Shared) -> Option<Vec<GoroutineInfo>> {
    let count = shared.goroutines_count();
    if count == 0 {
        return None;
    }
    let all = dump::goroutines_of(shared);
    (all.len() >= count && all.iter().all(|info| info.waits)).then_some(all)
}
