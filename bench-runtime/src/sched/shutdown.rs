//! The end of a runtime: how it stops, what its handles answer afterwards, and
//! what it gives back.
//!
//! 1. `stopping` is set; every M switches to g0 at its next call and ends, woken if
//!    it sleeps. Helpers without a job end. All have [`GRACE`] to do so,
//!    or [`IDLE_GRACE`].
//! 2. The state is [`RunState::Stopped`]: a join of a goroutine that has not ended
//!    returns an error, also a join that begins later.
//! 3. The thread that stops the runtime, or its last thread, drops the closures that never started, and gives back stacks,
//!    timers and descriptors. Stacks of goroutines that had started and not
//!    ended stay as they are for ever.
//! 4. When no user is left and no record is in use, the core is freed and the
//!    records go to other runtimes ([`super::lifetime`]).

use super::clear_up;
use super::dump;
use super::dump::GoroutineInfo;
use super::readied;
use super::report;
use super::shared::RunState;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::profile::GoroutineProfile;
use super::shared::Shared;
use crate::goroutine::JOIN_LOST;
use crate::sys::fork;

/// How long a shutdown waits for goroutines in mid-computation. Under the thread
/// sanitizer all takes longer. Chosen, not measured.
const GRACE: Duration = Duration::from_millis(if cfg!(rt_tsan) { 5_000 } else { 200 });

/// The same where no goroutine is left: its own threads end by themselves, once
/// the host lets them run. Chosen, not measured.
const IDLE_GRACE: Duration = Duration::from_secs(5);

/// Goroutines that a leak report names. Chosen: not a million lines.
pub(super) const LEAKS_SHOWN: usize = 1_000;

/// What was left when a runtime was shut down.
///
/// A [`Context`](crate::context::Context) that was made on the runtime goes on: it ends by its
/// cancel or at its deadline, and its functions run in threads. So its children are still
/// killed. What [`time::after_func`](crate::time::after_func) and the other timers of the runtime
/// were to do is not done.
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
    /// Goroutines that had not ended. Their stacks stay as they are for ever;
    /// nothing of them runs again, and no destructor of theirs: a lock that one
    /// holds stays locked.
    pub unfinished_count: usize,
    /// What the first 1,000 of them were doing: the leak report.
    pub unfinished: Vec<GoroutineInfo>,
    /// Their stacks, equal ones once. To read their names takes some hundred
    /// milliseconds once a process, and only [`Runtime::shutdown`](crate::Runtime::shutdown) does it.
    pub stacks: GoroutineProfile,
    /// Threads still in a goroutine's code when the time was up.
    pub threads_count: usize,
}

/// See [`crate::Runtime::shutdown`].
pub(super) fn stop(shared: &'static Shared) -> Shutdown {
    // A fork's child has no threads to wait for.
    if shared.stopping.swap(true, Ordering::SeqCst) || fork::is_child() {
        return Shutdown::default();
    }
    report::no_dump_on_quit(shared);
    shared.attention.add();
    let began = Instant::now();
    loop {
        // Ms come to rest at any time; those that did are woken, to end.
        let resting: Vec<_> = {
            let mut lists = shared.idle.lock();
            let mut all: Vec<_> = lists.machines.drain(..).collect();
            all.append(&mut lists.reserved);
            while let Some(m) = shared.idle.pop_p_waiter(&mut lists) {
                all.push(m);
            }
            all
        };
        for m in resting {
            m.wake(None);
        }
        shared.helpers.release_all();
        shared
            .machines
            .lock()
            .iter()
            .for_each(|m| m.interrupt_polling());
        shared.wake_sysmon();
        let threads = shared.lock_threads();
        let grace = match shared.goroutines_count() {
            0 => IDLE_GRACE,
            _ => GRACE,
        };
        if threads.all() == 0 || began.elapsed() >= grace {
            break;
        }
        let wait = Duration::from_millis(1);
        drop(shared.thread_ended.wait_timeout(threads, wait));
    }
    let threads_count = shared.lock_threads().all();
    shared
        .run_state
        .store(RunState::Stopped as u8, Ordering::SeqCst);
    let unfinished_count = shared.goroutines_count();
    // Not a million lines.
    let mut unfinished = dump::goroutines_of(shared);
    unfinished.truncate(LEAKS_SHOWN);
    // Perhaps none is left by now, and the last one saw no stop.
    clear_up::clear_up(shared);
    readied::release_joiners(shared, JOIN_LOST);
    Shutdown {
        unfinished_count,
        unfinished,
        stacks: GoroutineProfile::default(),
        threads_count,
    }
}
