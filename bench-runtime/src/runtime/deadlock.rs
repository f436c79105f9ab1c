//! Deadlock: every goroutine waits for another, and nothing outside can end a wait.
//!
//! There is a deadlock if goroutines exist, none is runnable, no timer is armed, no goroutine
//! waits for a descriptor, no blocking call is in progress, the program listens for no signal,
//! and the process has no thread outside the runtime, which might hold the other end of a
//! channel.
//!
//! An M that is about to sleep checks this if every other M sleeps. So does a thread that is
//! about to wait in `Runtime::run`. If only an outside thread prevented a report, sysmon checks
//! again, at growing intervals, because that thread may have been ending.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Duration;

use super::{fake_time, trace};
use crate::debug::snapshot;
use crate::debug::stderr::{write_all, write_stacks_apart};
use crate::sched::idle::Lists;
use crate::sched::machine::TIME_SLICE_NS;
use crate::sched::shared::Shared;
use crate::sched::sysmon::{Round, Watch};
use crate::threads;

static IS_REPORTED: AtomicBool = AtomicBool::new(false);

static AWAITED: AtomicUsize = AtomicUsize::new(0);

/// While this exists, a signal may end a goroutine's wait.
#[derive(Debug)]
pub(crate) struct Awaited(());

impl Awaited {
    pub(crate) fn begin() -> Self {
        // SeqCst, as for everything that the deadlock check reads.
        AWAITED.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        AWAITED.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) fn check_deadlock(shared: &'static Shared) {
    report_or_find_outside_thread(shared);
}

/// Reports a deadlock and ends the process. Returns true if there is no deadlock only because the
/// process has a thread outside the runtime.
fn report_or_find_outside_thread(shared: &'static Shared) -> bool {
    if !shared.settings.detects_deadlock {
        return false;
    }
    // SeqCst: each caller has listed or counted itself as waiting before it reads here what the
    // other callers did. So the last of several callers sees all of them.
    fence(Ordering::SeqCst);
    // Odd while sysmon readies goroutines. If this is even, and the same at the end of this
    // function, sysmon readied none meanwhile.
    let ready_seq = shared.sysmon_ready_seq.load(Ordering::SeqCst);
    if !ready_seq.is_multiple_of(2)
        || !all_machines_sleep(shared)
        || !nothing_can_end_a_wait(shared)
    {
        return false;
    }
    if shared.goroutines_count() == 0 {
        return false;
    }
    if !no_outside_thread(shared) {
        return true;
    }
    // Reading the threads took a while, so the first checks are repeated.
    if !all_machines_sleep(shared) || !nothing_can_end_a_wait(shared) {
        return false;
    }
    let Some(goroutines) = fake_time::all_waiting(shared) else {
        return false;
    };
    if shared.sysmon_ready_seq.load(Ordering::SeqCst) != ready_seq {
        return false;
    }
    // Two Ms that fall asleep at the same time may both get here.
    if IS_REPORTED.swap(true, Ordering::Relaxed) {
        return false;
    }
    write_all(
        "fatal error: all goroutines are asleep - deadlock!\n\n",
        &goroutines,
    );
    snapshot::write_trace_file(0, || trace::read(shared));
    write_stacks_apart(shared.slab().in_use());
    // With Go's exit status. SAFETY: ends the process at once; destructors of a
    // program that cannot continue are not run, as in Go.
    unsafe { libc::_exit(2) }
}

/// As [`check_deadlock`], for an M that is about to sleep and is on the list of sleeping Ms.
/// Cheap checks come first.
pub(crate) fn check_before_sleep(shared: &'static Shared) {
    if !shared.settings.detects_deadlock {
        return;
    }
    // SeqCst: as in `report_or_find_outside_thread`.
    fence(Ordering::SeqCst);
    let asleep = all_on_lists(shared, &shared.idle.lock());
    if asleep && nothing_can_end_a_wait_except_own_fds(shared) && no_outside_thread(shared) {
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
    // An M that polls does not count as asleep: it may just have taken a goroutine out of the
    // poller.
    all_on_lists(shared, &lists) && asleep.all(|m| m.polls_in().is_none())
}

fn nothing_can_end_a_wait(shared: &'static Shared) -> bool {
    nothing_can_end_a_wait_except_own_fds(shared) && shared.fd_waiters_count() == 0
}

/// As [`nothing_can_end_a_wait`], but ignores descriptors in the pollers of single Ms.
fn nothing_can_end_a_wait_except_own_fds(shared: &'static Shared) -> bool {
    !shared.is_stopping()
        && shared.idle.spinning_count.load(Ordering::SeqCst) == 0
        && !shared.has_blocked()
        && shared.netpoll.waiters_count() == 0
        && shared.global.is_empty()
        && shared.first_timer_ns() == u64::MAX
        && AWAITED.load(Ordering::SeqCst) == 0
}

/// True if every thread of the process is an M, a helper or the sysmon of this runtime, is counted
/// in [`threads::counted`], or waits in `Runtime::run`.
fn no_outside_thread(shared: &'static Shared) -> bool {
    let count_ours = || {
        let ours = shared.threads.count() + 1 + threads::counted();
        ours as isize + shared.runners_count.load(Ordering::SeqCst)
    };
    let before = count_ours();
    let Some(all) = process_threads_count() else {
        return false;
    };
    // Takes the smaller of two counts: if a thread of the runtime ended in between, the larger
    // count would hide an outside thread.
    all <= before.min(count_ours())
}

/// The number of threads, from the links of `/proc/self/task`, which has two links more. Reading
/// its entries instead could miss threads while another thread ends.
fn process_threads_count() -> Option<isize> {
    let links = fs::metadata("/proc/self/task").ok()?.nlink();
    isize::try_from(links)
        .ok()?
        .checked_sub(2)
        .filter(|&threads| threads > 0)
}

/// Sysmon's further checks for a deadlock, while no P runs, after pauses that double.
#[derive(Debug, Default)]
pub(crate) struct Rechecks {
    next_ns: u64,
    /// `u64::MAX`: sysmon does not check again until a P has run.
    pause_ns: u64,
}

impl Watch for Rechecks {
    fn pause(&self, _: &'static Shared, now_ns: u64) -> Option<Duration> {
        let checks_again = self.pause_ns != u64::MAX;
        checks_again.then(|| Duration::from_nanos(self.next_ns.saturating_sub(now_ns)))
    }

    fn check(&mut self, shared: &'static Shared, round: &Round) {
        if round.running || round.picked {
            *self = Self::default();
        } else if round.now_ns >= self.next_ns {
            // An M that is not asleep may be about to put itself on the list of sleeping Ms.
            let check_again = report_or_find_outside_thread(shared) || !all_machines_sleep(shared);
            self.pause_ns = match check_again {
                true => self.pause_ns.saturating_mul(2).max(TIME_SLICE_NS),
                false => u64::MAX,
            };
            self.next_ns = round.now_ns.saturating_add(self.pause_ns);
        }
    }
}
