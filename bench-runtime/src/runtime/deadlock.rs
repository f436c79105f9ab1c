//! Deadlock: every goroutine waits for another, and nothing outside can end a
//! wait.
//!
//! An M that is about to sleep checks, at the moment when every other M sleeps too.
//! So does a thread that is about to wait in `Runtime::run`. If only a thread outside
//! the runtime prevented it, sysmon checks again, less and less often: that thread
//! may have been ending. There is a deadlock if, then, goroutines exist, none is
//! runnable, no timer is armed, no fd is waited for, no blocking call is in progress,
//! no goroutine listens for signals, and the process has no thread outside the
//! runtime. Any such thread might hold the other end of a channel, so with one there
//! is never an alarm.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Duration;

use super::fake_time;
use crate::debug::snapshot;
use crate::debug::stderr::{write_all, write_stacks_apart};
use crate::sched::idle::Lists;
use crate::sched::machine::TIME_SLICE_NS;
use crate::sched::shared::Shared;
use crate::sched::sysmon::{Round, Watch};
use crate::threads;

/// The process is about to end with the report.
static SAID: AtomicBool = AtomicBool::new(false);

/// How many [`Awaited`] there are.
static AWAITED: AtomicUsize = AtomicUsize::new(0);

/// While it lives, something outside of the runtimes may end a goroutine's wait: a signal.
#[derive(Debug)]
pub(crate) struct Awaited(());

impl Awaited {
    pub(crate) fn begin() -> Self {
        // SeqCst: as all that a search for a deadlock reads.
        AWAITED.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        AWAITED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Reports a deadlock and ends the process, if there is one.
pub(crate) fn check_deadlock(shared: &'static Shared) {
    is_deadlock_but_for_others(shared);
}

/// [`check_deadlock`]; true if only a thread that is not ours can still end a wait.
fn is_deadlock_but_for_others(shared: &'static Shared) -> bool {
    if !shared.settings.detects_deadlock {
        return false;
    }
    // SeqCst: an M has put itself on the list, or a thread has counted itself
    // as waiting, before it reads the other's mark.
    fence(Ordering::SeqCst);
    // Even while sysmon readies no goroutine; the same at the end, if there was no ready meanwhile.
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
    // Two Ms that fall asleep together both come here: one reports.
    if SAID.swap(true, Ordering::Relaxed) {
        return false;
    }
    write_all(
        "fatal error: all goroutines are asleep - deadlock!\n\n",
        &goroutines,
    );
    snapshot::write_if_asked(0, || shared.trace());
    write_stacks_apart(shared.records_in_use());
    // With Go's exit status. SAFETY: ends the process at once; destructors of a
    // program that cannot continue are not run, as in Go.
    unsafe { libc::_exit(2) }
}

/// [`check_deadlock`], by an M that has put itself on the list, each time that it rests. So what
/// takes as long with many Ms and Ps as with few comes first, and mostly says no.
pub(crate) fn check_at_rest(shared: &'static Shared) {
    if !shared.settings.detects_deadlock {
        return;
    }
    // SeqCst: as in `check_deadlock`.
    fence(Ordering::SeqCst);
    let asleep = all_on_lists(shared, &shared.idle.lock());
    if asleep && nothing_announced(shared) && no_outside_thread(shared) {
        check_deadlock(shared);
    }
}

fn all_on_lists(shared: &'static Shared, lists: &Lists) -> bool {
    let asleep = lists.machines.len() + lists.reserved.len();
    lists.p_waiters.is_empty() && asleep == shared.threads.machines_count()
}

fn all_machines_sleep(shared: &'static Shared) -> bool {
    let lists = shared.idle.lock();
    let mut asleep = lists.machines.iter().chain(&lists.reserved);
    // The M that polls may just have taken a goroutine out of the poller.
    all_on_lists(shared, &lists) && asleep.all(|m| m.polls_in().is_none())
}

fn nothing_can_come(shared: &'static Shared) -> bool {
    nothing_announced(shared) && shared.fd_waiters_count() == 0
}

/// [`nothing_can_come`], but for the descriptors of single Ms.
fn nothing_announced(shared: &'static Shared) -> bool {
    !shared.is_stopping()
        && shared.idle.spinning_count.load(Ordering::SeqCst) == 0
        && shared.blocked_count.load(Ordering::SeqCst) == 0
        && shared.netpoll.waiters_count() == 0
        && shared.global.is_empty()
        && shared.first_timer_ns() == u64::MAX
        && AWAITED.load(Ordering::SeqCst) == 0
}

/// True if every thread of the process is an M, a sysmon or a helper of
/// ours, or waits in `Runtime::run`.
fn no_outside_thread(shared: &'static Shared) -> bool {
    let count_ours = || {
        let ours = shared.threads.count() + 1 + threads::counted();
        ours as isize + shared.runners_count.load(Ordering::SeqCst)
    };
    let before = count_ours();
    let Some(all) = threads_of_process() else {
        return false;
    };
    // Before and after: a thread of the runtime may have ended in between, or left
    // the count, and an outside thread would be counted in its place.
    all <= before.min(count_ours())
}

/// The number of threads of the process: the directory that lists them has this
/// many links, and two of its own. To read it would miss threads while another
/// ends.
fn threads_of_process() -> Option<isize> {
    let links = fs::metadata("/proc/self/task").ok()?.nlink();
    isize::try_from(links)
        .ok()?
        .checked_sub(2)
        .filter(|&threads| threads > 0)
}

/// Sysmon's further checks for a deadlock, while no P runs: after a pause that is twice as long
/// each time.
#[derive(Debug, Default)]
pub(crate) struct Rechecks {
    next_ns: u64,
    pause_ns: u64,
}

impl Watch for Rechecks {
    fn pause(&self, _: &'static Shared, now_ns: u64) -> Option<Duration> {
        let is_due = self.pause_ns != u64::MAX;
        is_due.then(|| Duration::from_nanos(self.next_ns.saturating_sub(now_ns)))
    }

    fn check(&mut self, shared: &'static Shared, round: &Round) {
        if round.running || round.picked {
            *self = Self::default();
        } else if round.now_ns >= self.next_ns {
            // An M without a P may be on its way to the list.
            let may_be = is_deadlock_but_for_others(shared) || !all_machines_sleep(shared);
            self.pause_ns = match may_be {
                true => self.pause_ns.saturating_mul(2).max(TIME_SLICE_NS),
                false => u64::MAX,
            };
            self.next_ns = round.now_ns.saturating_add(self.pause_ns);
        }
    }
}
