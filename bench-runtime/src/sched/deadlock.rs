//! Deadlock: every goroutine waits for another, and nothing outside can end a
//! wait.
//!
//! An M that is about to sleep checks, at the moment when every other M sleeps
//! too, and a thread that is about to wait in `Runtime::run`. Where only a thread
//! that is not ours was in the way, sysmon checks again, less and less often: the
//! thread may have been just ending. There is a deadlock if, then, goroutines
//! exist, none is runnable, no timer is armed, no fd is waited for, no blocking
//! call is under way, no goroutine listens for signals, and the process has no thread
//! that is not ours: any other thread might hold the other end of a channel, so
//! with one there is never an alarm.

use super::fake_time;
use super::os_threads;
use super::report::write_all;
use super::report::write_stacks_apart;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use super::shared::Shared;
use super::{signals, trace};

/// The process is about to end with the report.
static SAID: AtomicBool = AtomicBool::new(false);

/// Reports a deadlock and ends the process, if there is one. True if only a
/// thread that is not ours can still end a wait.
pub(crate) fn check_deadlock(shared: &'static Shared) -> bool {
    if !shared.detects_deadlock {
        return false;
    }
    // SeqCst: an M has put itself on the list, or a thread has counted
    // itself as one that waits, before it looks for the other's mark.
    fence(Ordering::SeqCst);
    // Even while sysmon readies no goroutine; the same at
    // the end, if it had none meanwhile.
    let ready_seq = shared.sysmon_ready_seq.load(Ordering::SeqCst);
    if !ready_seq.is_multiple_of(2) || !all_machines_sleep(shared) || !nothing_can_come(shared) {
        return false;
    }
    if shared.goroutines_count() == 0 {
        return false;
    }
    if !no_outside_thread(shared) {
        return true;
    }
    // Reading the threads took a while: still so?
    if !all_machines_sleep(shared) || !nothing_can_come(shared) {
        return false;
    }
    let Some(goroutines) = fake_time::all_waiting(shared) else {
        return false;
    };
    if shared.sysmon_ready_seq.load(Ordering::SeqCst) != ready_seq {
        return false;
    }
    // Two Ms that fall asleep together both come here: one says it.
    if SAID.swap(true, Ordering::Relaxed) {
        return false;
    }
    write_all(
        "fatal error: all goroutines are asleep - deadlock!\n\n",
        &goroutines,
    );
    trace::write_if_asked(shared, 0);
    write_stacks_apart(shared);
    // With Go's exit status.
    // SAFETY: ends the process at once; destructors of a program that
    // cannot go on are not run, as in Go.
    unsafe { libc::_exit(2) }
}

fn all_machines_sleep(shared: &'static Shared) -> bool {
    let lists = shared.idle.lock();
    let asleep = lists.machines.len() + lists.reserved.len();
    // The M that polls may just have taken a goroutine out of the poller.
    lists.p_waiters.is_empty()
        && asleep == shared.machines_count()
        && lists
            .machines
            .iter()
            .chain(&lists.reserved)
            .all(|m| m.polls_in().is_none())
}

fn nothing_can_come(shared: &'static Shared) -> bool {
    !shared.is_stopping()
        && shared.idle.spinning_count.load(Ordering::SeqCst) == 0
        && shared.blocked_count.load(Ordering::SeqCst) == 0
        && shared.fd_waiters_count() == 0
        && shared.global.is_empty()
        && shared.first_timer_ns() == u64::MAX
        && !signals::may_come()
}

/// True if every thread of the process is an M, a sysmon or a helper of
/// ours, or waits in `Runtime::run`.
fn no_outside_thread(shared: &'static Shared) -> bool {
    let count_ours = || {
        let ours = shared.threads_count() + 1 + os_threads::counted();
        ours as isize + shared.runners_count.load(Ordering::SeqCst)
    };
    let before = count_ours();
    let Some(all) = threads_of_process() else {
        return false;
    };
    // Before and after: one of ours may have ended in between, or left the count, and
    // an outside thread would be taken for it.
    all <= before.min(count_ours())
}

/// How many threads the process has: the directory that lists them has so many
/// links, and two of its own. To read it would miss threads while another ends.
fn threads_of_process() -> Option<isize> {
    let links = fs::metadata("/proc/self/task").ok()?.nlink();
    isize::try_from(links)
        .ok()?
        .checked_sub(2)
        .filter(|&threads| threads > 0)
}

/// Between the first two further checks of sysmon for a deadlock; then twice as long
/// each time. Chosen, not measured.
const FIRST_PAUSE_NS: u64 = 20_000_000;
/// After so long a pause it checks no more. Chosen, not measured.
const LAST_PAUSE_NS: u64 = 5_000_000_000;

/// Sysmon's further checks for a deadlock, while no P runs.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    next_ns: u64,
    pause_ns: u64,
}

impl Rechecks {
    /// Checks, if it is time; the pause until the next check, if there is to be one.
    pub(super) fn check(&mut self, shared: &'static Shared, now_ns: u64) -> Option<Duration> {
        if self.pause_ns > LAST_PAUSE_NS {
            return None;
        }
        if now_ns >= self.next_ns {
            self.pause_ns = match check_deadlock(shared) {
                true => (2 * self.pause_ns).max(FIRST_PAUSE_NS),
                false => u64::MAX,
            };
            self.next_ns = now_ns.saturating_add(self.pause_ns);
        }
        (self.pause_ns <= LAST_PAUSE_NS).then(|| Duration::from_nanos(self.next_ns - now_ns))
    }
}
