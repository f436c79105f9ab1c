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
//! Those without a job wait on [`super::seats`]. One waits awake for its next job
//! where such waits were short, and the M that called it awake does for its
//! goroutine ([`super::luck`]): one at a time, and not where both were on the same
//! CPU. A call that takes no time, made in a loop, then wakes nobody: 0.6 us in
//! place of 5 to 40, on a host with two CPUs.
//!
//! The M's part needs no state of its own. The ready that the helper owes is mail
//! like any other's: an M that waits awake for it looks at the count, and after
//! that it comes to rest by the steps of [`super::idle`].
//!
//! # Rejected
//!
//! *A queue of jobs and a bounded number of helpers*: a job may wait for one
//! that would be behind it. So each job gets a helper at once.
//!
//! *On the goroutine's own M, where all calls from the same place were short*:
//! one that waits for a goroutine of that M, where for once it has to wait, would
//! wait for ever.

use super::luck::Luck;
use super::os_threads::{ThreadEnd, ThreadKind};
use super::runtime::Shared;
use super::seats::{Seat, Seats};
use crate::fatal::fatal;
use crate::goroutine::Parkable;
use crate::sys::fork;

/// So many rests must have been short before a helper waits awake again after
/// that was in vain: each costs a wake, and that a few times.
const BAD_LUCK: u16 = 64;

/// Bytes of a helper's stack: what a program's first thread has, for who calls
/// foreign code counts on as much.
pub(crate) const HELPER_STACK: usize = 8 << 20;

/// Work for a helper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Runs it: called once, with `data`. It does not unwind. Who waits for it is
    /// for the helper to ready, and may be gone with `data` then.
    pub(crate) run: unsafe fn(*mut ()) -> Option<Parkable>,
    pub(crate) data: *mut (),
}

// SAFETY: whoever makes a job says that another thread may run it.
unsafe impl Send for Job {}

/// The helpers of a runtime that have no job.
pub(crate) type Helpers = Seats<Job>;

impl Shared {
    /// Has a helper run a job, at once; true if it was awake.
    ///
    /// # Safety
    ///
    /// `data` stays valid for `run`, which another thread may call, until it
    /// has returned.
    pub(crate) unsafe fn help(&'static self, job: Job) -> bool {
        match self.helpers.call(job) {
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
        let seat = Seat::new();
        let luck = Luck::bad_for(BAD_LUCK);
        let mut next = Some(first);
        while let Some(job) = next {
            // SAFETY: by the promise of who called `help`.
            let who = unsafe { (job.run)(job.data) };
            if fork::is_child() {
                fatal!(
                    "a blocking call came back in the child of a fork, which has none of the \
                     runtime's threads: call exec or _exit there"
                );
            }
            // Who stops the runtime says so before it dismisses.
            let stays = || !self.is_stopping();
            next = self.helpers.wait(&seat, &luck, stays, || {
                if let Some(who) = who {
                    super::ready(who);
                }
            });
        }
        self.thread_ends(ThreadKind::Helper);
    }
}
