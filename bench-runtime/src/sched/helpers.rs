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
//! # Rejected
//!
//! *A queue of jobs and a bounded number of helpers*: a job may wait for one
//! that would be behind it. So each job gets a helper at once.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::runtime::{Shared, ThreadKind};
use crate::sys::futex;
use crate::util::lock::Lock;

/// A helper without a job ends after this time.
const IDLE: Duration = Duration::from_secs(5);

/// Work for a helper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Runs it: called once, with `data`. It does not unwind.
    pub(crate) run: unsafe fn(*mut ()),
    pub(crate) data: *mut (),
}

// SAFETY: whoever makes a job says that another thread may run it.
unsafe impl Send for Job {}

/// Where a helper without a job waits for one.
#[derive(Debug)]
struct Seat {
    /// Changes from `EMPTY` when the helper is to look.
    word: AtomicU32,
    /// `None` after a change: to end.
    job: Lock<Option<Job>>,
}

const EMPTY: u32 = 0;
const CALLED: u32 = 1;

impl Seat {
    fn call(&self, job: Option<Job>) {
        *self.job.lock() = job;
        // Release: pairs with the Acquire in `wait`.
        self.word.store(CALLED, Ordering::Release);
        futex::wake(&self.word, 1);
    }
}

/// The helpers of a runtime that have no job, the last one idle last.
#[derive(Debug)]
pub(crate) struct Helpers {
    idle: Lock<Vec<Arc<Seat>>>,
}

impl Helpers {
    pub(crate) const fn new() -> Self {
        Self {
            idle: Lock::new(Vec::new()),
        }
    }

    /// Ends those who have no job.
    pub(crate) fn dismiss(&self) {
        let all = std::mem::take(&mut *self.idle.lock());
        all.into_iter().for_each(|seat| seat.call(None));
    }
}

impl Shared {
    /// Has a helper run a job, at once.
    ///
    /// # Safety
    ///
    /// `data` stays valid for `run`, which another thread may call, until it
    /// has returned.
    pub(crate) unsafe fn help(&'static self, job: Job) {
        let idle = self.helpers.idle.lock().pop();
        match idle {
            Some(seat) => seat.call(Some(job)),
            None => self.start_thread(ThreadKind::Helper, "helper".into(), None, move || {
                self.helper_main(job);
            }),
        }
    }

    fn helper_main(&'static self, first: Job) {
        let seat = Arc::new(Seat {
            word: AtomicU32::new(EMPTY),
            job: Lock::new(None),
        });
        let mut next = Some(first);
        while let Some(job) = next {
            // SAFETY: by the promise of who called `help`.
            unsafe { (job.run)(job.data) };
            next = self.next_job(&seat);
        }
        self.thread_ends(ThreadKind::Helper);
    }

    /// Blocks the thread.
    fn next_job(&'static self, seat: &Arc<Seat>) -> Option<Job> {
        seat.word.store(EMPTY, Ordering::Relaxed);
        {
            let mut idle = self.helpers.idle.lock();
            // Under the lock: who stops the runtime dismisses after it said so.
            if self.is_stopping() {
                return None;
            }
            idle.push(seat.clone());
        }
        futex::wait(&seat.word, EMPTY, Some(IDLE));
        // Acquire: pairs with the Release in `call`.
        if seat.word.load(Ordering::Acquire) == EMPTY {
            let mut idle = self.helpers.idle.lock();
            if let Some(at) = idle.iter().position(|other| ptr::eq(&**other, &**seat)) {
                // Enough time has passed, or a wake came from nowhere.
                idle.remove(at);
                return None;
            }
            drop(idle);
            // Called this very moment.
            while seat.word.load(Ordering::Acquire) == EMPTY {
                futex::wait(&seat.word, EMPTY, None);
            }
        }
        seat.job.lock().take()
    }
}
