//! Helpers: plain threads that run what blocks for the goroutines of a pinned
//! runtime, and what a runtime must do outside every goroutine.
//!
//! A pinned goroutine in a blocking call would take every other goroutine of
//! its M with it, and for ever if the call waits for one of them. So the call
//! goes to a helper, and the goroutine parks.
//!
//! A job stays where its owner has it, mostly on the parked goroutine's stack,
//! and is reached by one helper until that one has run it. The stack stays as
//! it is meanwhile, also where the runtime stops: the goroutine has not ended.
//!
//! Helpers without a job are [`super::idle_threads`]. A helper spins for its next job
//! if its last waits were short, and an M that gave a job to a spinning helper spins
//! for the result ([`super::spin`]): one helper at a time, and not if both were on the
//! same CPU. A loop of short calls then needs no wake: 0.6 µs a call instead of 5 to
//! 40, on a host with two CPUs.
//!
//! The M's part needs no state of its own. The helper readies the goroutine through
//! the M's inbox, as any other thread does: a spinning M reads the length of its inbox,
//! and then rests by the steps of [`super::idle`].
//!
//! # Rejected
//!
//! *A queue of jobs and a bounded number of helpers*: a job may wait for a job
//! behind it in the queue. So each job gets a helper at once.
//!
//! *On the goroutine's own M, if all calls from the same place were short*: the
//! first call that waits for another goroutine of that M would wait for ever.

use super::idle_threads::{IdleThreads, JobSlot};
use super::os_threads::{ThreadEnd, ThreadKind};
use super::runtime::Shared;
use super::spin::AdaptiveSpin;
use crate::fatal::fatal;
use crate::goroutine::Parkable;
use crate::sys::fork;

/// Short sleeps before a helper spins again after a miss. A miss costs a few times
/// as much as the wake that a hit saves.
const SPIN_BACKOFF: u16 = 64;

/// Bytes of a helper's stack: as much as a program's first thread has, because foreign
/// code may need it.
pub(crate) const HELPER_STACK: usize = 8 << 20;

/// Work for a helper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Runs the job: called once, with `data`. Does not unwind. Returns the parkable
    /// that waits for the job; the helper readies it, and after that `data` may be gone.
    pub(crate) run: unsafe fn(*mut ()) -> Option<Parkable>,
    pub(crate) data: *mut (),
}

// SAFETY: the maker of a job promises that another thread may run it.
unsafe impl Send for Job {}

/// The helpers of a runtime that have no job.
pub(crate) type Helpers = IdleThreads<Job>;

impl Shared {
    /// Gives a job to a helper, which runs it at once; true if that helper was spinning.
    ///
    /// # Safety
    ///
    /// `data` stays valid for `run`, which another thread may call, until it
    /// has returned.
    pub(crate) unsafe fn help(&'static self, job: Job) -> bool {
        match self.helpers.assign(job) {
            Ok(awake) => awake,
            Err(job) => {
                self.start_thread(ThreadKind::Helper, "helper".into(), move || {
                    self.helper_main(job);
                    ThreadEnd::Usual
                });
                false
            }
        }
    }

    fn helper_main(&'static self, first: Job) {
        let slot = JobSlot::new();
        let spin = AdaptiveSpin::with_backoff(SPIN_BACKOFF);
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
            let stays = || !self.is_stopping();
            next = self.helpers.wait(&slot, &spin, stays, || {
                if let Some(who) = who {
                    super::ready(who);
                }
            });
        }
        self.thread_ends(ThreadKind::Helper);
    }
}
