//! Fake time: when the clock of a test advances, and what [`crate::synctest`] calls.

use std::ptr;

use super::join::release_joiners;
use crate::debug::info::{GoroutineInfo, infos_in};
use crate::goroutine::fake_clock::FakeClock;
use crate::goroutine::{JOIN_OPEN, Parkable, WaitReason};
use crate::sched::shared::{RunState, Shared};
use crate::sched::{current, park, prepare_park, readied};

/// Called by an M that has found nothing to run; true if it must search again. Does nothing while a
/// goroutine is in a blocking call or waits for a descriptor. If all other goroutines wait, readies
/// the goroutine in [`wait_until_others_block`]. Without such a goroutine, advances the clock to
/// the next timer. Without a timer too, ends the wait of the thread in `run`.
pub(super) fn advance(shared: &'static Shared) -> bool {
    let Some(clock) = &shared.fake_clock else {
        return false;
    };
    if shared.has_blocked() || shared.fd_waiters_count() != 0 {
        return false;
    }
    if let Some(who) = take_waiter_if_others_block(shared, clock) {
        readied::ready(who);
        return true;
    }
    match shared.first_timer_ns() {
        u64::MAX => {
            if all_waiting(shared).is_some()
                && shared.change_run_state(RunState::Running, RunState::Stuck)
            {
                release_joiners(shared, JOIN_OPEN);
            }
            false
        }
        next => {
            clock.advance_to(next);
            true
        }
    }
}

/// Takes the goroutine in [`wait_until_others_block`], if there is one and all other goroutines
/// wait.
fn take_waiter_if_others_block(shared: &'static Shared, clock: &FakeClock) -> Option<Parkable> {
    let mut bubble_waiters = clock.bubble_waiters();
    let first = bubble_waiters.iter_mut().find(|who| who.is_some())?;
    all_waiting(shared)?;
    first.take()
}

/// All goroutines; `None` if there are none, if one of them does not wait, or if a goroutine is
/// counted and not queued yet.
pub(super) fn all_waiting(shared: &'static Shared) -> Option<Vec<GoroutineInfo>> {
    let count = shared.goroutines_count();
    if count == 0 {
        return None;
    }
    let all = infos_in(shared.slab());
    (all.len() >= count && all.iter().all(|info| info.waits)).then_some(all)
}

/// See [`crate::synctest::wait`]. `at_end` is true for the main goroutine, at its end.
pub(crate) fn wait_until_others_block(at_end: bool) {
    let Some(clock) = clock().filter(|_| current::header().is_some()) else {
        panic!("synctest::wait outside a bubble: see Builder::fake_time");
    };
    let mut bubble_waiters = clock.bubble_waiters();
    if bubble_waiters[usize::from(at_end)].is_some() {
        drop(bubble_waiters);
        panic!("synctest::wait: another goroutine of the bubble waits in it already");
    }
    let me = prepare_park(WaitReason::Synctest, ptr::null());
    bubble_waiters[usize::from(at_end)] = Some(me);
    drop(bubble_waiters);
    park(me);
}

fn clock() -> Option<&'static FakeClock> {
    current::runtime()?.fake_clock.as_ref()
}

pub(crate) fn begin_ns() -> Option<u64> {
    clock().map(FakeClock::begin_ns)
}

pub(crate) fn passed_ns() -> Option<u64> {
    begin_ns().map(|begin| current::now_ns() - begin)
}
