//! The end of a runtime:
//!
//! 1. `stopping` is set, and every M that sleeps is woken. An M ends at the next call of its
//!    goroutine into the runtime. Helpers without a job end too. The threads have [`GRACE`] for
//!    this or, if no goroutine is left, the time for which an idle thread is kept.
//! 2. The state becomes [`RunState::Stopped`]: from now on a join of a goroutine that has not
//!    ended returns an error.
//! 3. The thread that stops the runtime, or the runtime's last thread, drops the closures of
//!    goroutines that never started, and releases stacks, timers and descriptors. Stacks of
//!    goroutines that had started and not ended are never freed.
//! 4. When no user is left and no record is in use, the core is freed
//!    ([`crate::sched::lifetime`]).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::join::release_joiners;
use super::quit;
use crate::debug::info::{GoroutineInfo, infos_in};
use crate::debug::profile::GoroutineProfile;
use crate::goroutine::{FLAG_RUNTIME_STOPPED, FRESH, JOIN_LOST, Status};
use crate::sched::processor::ThisP;
use crate::sched::readied;
use crate::sched::shared::{RunState, Shared};
use crate::sys::fork;
use crate::threads::count::ThreadKind;
use crate::threads::idle;

/// How long a shutdown waits for goroutines that compute; longer under the thread sanitizer,
/// which is slow. Chosen, not measured.
const GRACE: Duration = Duration::from_millis(if cfg!(rt_tsan) { 5_000 } else { 200 });

/// The most goroutines in a leak report, because there may be a million. Chosen.
pub(crate) const LEAKS_SHOWN: usize = 1_000;

/// The goroutines that were left when a runtime was shut down.
///
/// A [`Context`](crate::context::Context) of the runtime still ends by its cancel or at its
/// deadline; its functions then run in threads. So a child process that the context ends is still
/// killed. The actions of [`time::after_func`](crate::time::after_func) and of other timers of
/// the runtime do not happen.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, Receiver, go, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// runtime.run(|| {
///     go!(Receiver::<()>::never().recv());
///     yield_now();
/// });
/// let left = runtime.shutdown();
/// assert_eq!(left.unfinished_count, 1);
/// for goroutine in &left.unfinished {
///     println!("{goroutine}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Goroutines that had not ended. Their stacks are never freed, and their destructors do not
    /// run: a lock that such a goroutine holds stays locked.
    pub unfinished_count: usize,
    /// The states of the first 1,000 of them: the leak report.
    pub unfinished: Vec<GoroutineInfo>,
    /// Their stacks, grouped by equal frames; only from
    /// [`Runtime::shutdown`](crate::Runtime::shutdown). The first report in a process takes some
    /// hundred milliseconds, to read the names of functions.
    pub stacks: GoroutineProfile,
    /// Threads that were still in a goroutine's code or in a blocking call when the time was up.
    pub threads_count: usize,
}

pub(crate) fn stop(shared: &'static Shared) -> Shutdown {
    // A fork's child has no threads to wait for.
    if !shared.begin_stop() || fork::is_child() {
        return Shutdown::default();
    }
    quit::no_dump_on_quit(shared);
    shared.attention.add();
    let began = Instant::now();
    loop {
        // An M may fall asleep at any time, so each round wakes those that sleep.
        let asleep: Vec<_> = {
            let mut lists = shared.idle.lock();
            let mut all: Vec<_> = lists.machines.drain(..).collect();
            all.extend(lists.reserved.drain(..));
            while let Some(m) = shared.idle.pop_p_waiter(&mut lists) {
                all.push(m);
            }
            all
        };
        for m in asleep {
            m.wake(None);
        }
        shared.helpers.release_all();
        for m in shared.machines() {
            m.interrupt_polling();
        }
        shared.sysmon_wait.wake();
        let grace = match shared.goroutines_count() {
            // The threads end by themselves, once the host lets them run.
            0 => idle::IDLE,
            _ => GRACE,
        };
        if shared.threads.count() == 0 || began.elapsed() >= grace {
            break;
        }
        shared.threads.wait_for_end(Duration::from_millis(1));
    }
    let threads_count = shared.threads.count();
    shared.set_stopped();
    let unfinished_count = shared.goroutines_count();
    let mut unfinished = infos_in(shared.slab());
    unfinished.truncate(LEAKS_SHOWN);
    // The last thread may have ended before the state was `Stopped`: then it did not clear up.
    clear_up(shared);
    release_joiners(shared, JOIN_LOST);
    Shutdown {
        unfinished_count,
        unfinished,
        stacks: GoroutineProfile::default(),
        threads_count,
    }
}

pub(crate) fn thread_ends(shared: &'static Shared, kind: ThreadKind) {
    shared.threads.end(kind);
    if shared.run_state() == RunState::Stopped {
        clear_up(shared);
    }
}

/// Called when no M runs any more.
fn abandon_fresh(shared: &'static Shared) {
    while shared.is_admitting() {
        std::thread::yield_now();
    }
    // Lists and the free list use the same link of a record, so the lists are emptied first. A
    // goroutine that has started may still be queued later; its record is not released here.
    shared.global.clear();
    shared.processors().for_each(|p| p.overflow.clear());
    let mut fresh = Vec::new();
    shared.slab().for_each(|g| {
        if g.status() == Status::Runnable && g.context.load(Ordering::Acquire) == FRESH {
            fresh.push(g);
        }
    });
    for g in fresh {
        readied::abandon(shared, g, None);
    }
}

/// Marks the goroutines that have started and not ended. The queues of locks and other
/// primitives, except for channels, skip them.
fn mark_unfinished(shared: &'static Shared) {
    for g in shared.slab().in_use() {
        g.set_flag(FLAG_RUNTIME_STOPPED);
    }
}

/// Clears up, if none of the threads of a stopped runtime is left. Returns when that is done,
/// even if another thread does it: the resources are available after a shutdown.
fn clear_up(shared: &'static Shared) {
    if shared.threads.count() == 0 {
        shared.clear_up(|| {
            abandon_fresh(shared);
            mark_unfinished(shared);
            release_resources(shared);
        });
    }
}

/// Called when no M runs any more.
fn release_resources(shared: &'static Shared) {
    for p in shared.processors() {
        // SAFETY: no M runs.
        unsafe { ThisP::new(p) }.drain_stacks();
        p.timers.retire(shared.now_ns());
    }
    shared.netpoll.retire();
    // The threads have ended: other runtimes may use their pollers.
    for m in shared.machines() {
        if let Some(own) = m.own_netpoll() {
            own.retire();
        }
    }
}
