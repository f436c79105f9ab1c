//! Helpers: plain threads that run the blocking calls of goroutines, and drop closures that no
//! goroutine can run. Each job gets a helper at once: if jobs were queued, one might wait for a job
//! behind it.
//!
//! A helper spins for its next job if its last waits were short, and an M that gave a job to a
//! spinning helper spins for the result ([`crate::threads::spin`]). Only one helper spins at a
//! time, and not on the CPU of the M. A loop of short calls then needs no wake: 0.6 µs a call
//! instead of 5 to 40.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::job::Job;
use super::machine::TIME_SLICE_NS;
use super::processor::{Processor, ThisP};
use super::shared::{Blocked, Shared};
use super::{readied, wake};
use crate::fatal::fatal;
use crate::goroutine::{Goroutine, Parkable};
use crate::stack::StackError;
use crate::sys::fork;
use crate::threads::ThreadEnd;
use crate::threads::count::ThreadKind;
use crate::threads::idle::JobSlot;
use crate::threads::spin::AdaptiveSpin;

/// Gives a job to a helper, which runs it at once; true if that helper was spinning.
///
/// # Safety
///
/// `data` stays valid for `run`, which another thread may call, until it has returned.
pub(crate) unsafe fn help(shared: &'static Shared, job: Job) -> bool {
    match shared.helpers.assign(job) {
        Ok(awake) => awake,
        Err(job) => {
            wake::start_thread(shared, ThreadKind::Helper, "helper".into(), move || {
                helper_main(shared, job);
                ThreadEnd::Usual
            });
            false
        }
    }
}

fn helper_main(shared: &'static Shared, first: Job) {
    let slot = JobSlot::new();
    let spin = AdaptiveSpin::default();
    let mut next = Some(first);
    while let Some(job) = next {
        // SAFETY: by the promise of the caller of `help`.
        let who = unsafe { (job.run)(job.data) };
        if fork::is_child() {
            fatal!(
                "a blocking call came back in the child of a fork, which has none of the \
                 runtime's threads: call exec or _exit there"
            );
        }
        // A stop sets `stopping` before `release_all`.
        let is_running = || !shared.is_stopping();
        next = shared.helpers.wait(&slot, &spin, is_running, || {
            if let Some(who) = who {
                readied::ready(who);
            }
        });
    }
}

/// Ends a goroutine that has not run, and for which there is no stack. A helper drops its closure,
/// because destructors may park. If there is no room for a helper's thread, the closure is dropped
/// here, and must not park. If too many helpers drop closures, the thread first waits for one of
/// them, but only for a time slice, because that helper may wait for this thread.
#[cold]
pub(crate) fn refuse_stack(
    shared: &'static Shared,
    p: ThisP,
    g: &'static Goroutine,
    error: StackError,
) {
    // Chosen, not measured.
    const MOST_REFUSED: usize = 16;
    struct Refused(Blocked, &'static Shared, &'static Goroutine, StackError);
    unsafe fn abandon(refused: *mut ()) -> Option<Parkable> {
        // SAFETY: made from a box below, and run once.
        let refused = *unsafe { Box::from_raw(refused.cast::<Refused>()) };
        // Counts as blocked until its joiner has been readied, so no deadlock is reported before.
        let Refused(_blocked, shared, g, error) = refused;
        readied::abandon(shared, g, Some(Box::new(error)));
        shared.refused_count.fetch_sub(1, Ordering::Relaxed);
        None
    }
    Processor::count(&p.ended_count, 1);
    if !error.leaves_room_for_a_thread() {
        return readied::abandon(shared, g, Some(Box::new(error)));
    }
    let begun = Instant::now();
    while shared.refused_count.load(Ordering::Relaxed) >= MOST_REFUSED
        && begun.elapsed() < Duration::from_nanos(TIME_SLICE_NS)
    {
        std::thread::sleep(Duration::from_micros(50));
    }
    shared.refused_count.fetch_add(1, Ordering::Relaxed);
    let blocked = Blocked::begin(shared);
    let refused = Box::into_raw(Box::new(Refused(blocked, shared, g, error)));
    // SAFETY: the box lives until the job has run; closures and errors may
    // go to another thread.
    unsafe {
        help(
            shared,
            Job {
                run: abandon,
                data: refused.cast(),
            },
        );
    }
}
