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
//! A helper waits awake for its next job where such waits were short, and the M
//! that called it awake does for its goroutine ([`super::luck`]): one at a time,
//! and not where both were on the same CPU. A call that takes no time, made in a
//! loop, then wakes nobody: 0.6 us in place of 5 to 40, on a host with two CPUs.
//!
//! # Rejected
//!
//! *A queue of jobs and a bounded number of helpers*: a job may wait for one
//! that would be behind it. So each job gets a helper at once.
//!
//! *On the goroutine's own M, where all calls from the same place were short*:
//! one that waits for a goroutine of that M, where for once it has to wait, would
//! wait for ever.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use super::luck::{AWAKE_CHECK, Luck, SHORT_REST_NS};
use super::runtime::{Shared, ThreadKind};
use crate::goroutine::Parkable;
use crate::sys::{affinity, clock, futex};
use crate::util::lock::Lock;

/// A helper without a job ends after this time.
const IDLE: Duration = Duration::from_secs(5);

/// How long a helper waits awake for a job: some times what one takes that is
/// made in a loop.
const AWAKE_NS: u64 = 20_000;

/// So many rests must have been short before it tries again after that was in
/// vain: each costs a wake, and that a few times.
const BAD_LUCK: u16 = 64;

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

/// Where a helper without a job waits for one.
#[derive(Debug)]
struct Seat {
    /// `EMPTY` while the helper may sleep on it, `AWAKE` while it looks at it
    /// again and again; `CALLED` when it is to take the job.
    word: AtomicU32,
    /// `None` when called: to end.
    job: Lock<Option<Job>>,
    /// Where its last caller was.
    caller_cpu: AtomicI32,
}

const EMPTY: u32 = 0;
const CALLED: u32 = 1;
const AWAKE: u32 = 2;

impl Seat {
    /// True if the helper was awake.
    fn call(&self, job: Option<Job>) -> bool {
        *self.job.lock() = job;
        self.caller_cpu
            .store(affinity::current_cpu(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `next_job`.
        let awake = self.word.swap(CALLED, Ordering::Release) == AWAKE;
        if !awake {
            futex::wake(&self.word, 1);
        }
        awake
    }

    /// Waits awake for a call, and for none any more from then on; true if it
    /// came.
    fn wait_awake(&self) -> bool {
        let until = clock::now_ns() + AWAKE_NS;
        while clock::now_ns() < until {
            for _ in 0..AWAKE_CHECK {
                if self.word.load(Ordering::Relaxed) == CALLED {
                    return true;
                }
                std::hint::spin_loop();
            }
        }
        // Relaxed: what a call brings is behind its lock.
        self.word
            .compare_exchange(AWAKE, EMPTY, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
    }
}

/// The helpers of a runtime that have no job, or are about to have none; the one
/// that is awake, or else was idle last, last.
#[derive(Debug)]
pub(crate) struct Helpers {
    idle: Lock<Vec<Arc<Seat>>>,
    /// One of them waits awake.
    one_awake: AtomicBool,
}

impl Helpers {
    pub(crate) const fn new() -> Self {
        Self {
            idle: Lock::new(Vec::new()),
            one_awake: AtomicBool::new(false),
        }
    }

    /// Ends those who have no job.
    pub(crate) fn dismiss(&self) {
        let all = std::mem::take(&mut *self.idle.lock());
        for seat in all {
            seat.call(None);
        }
    }
}

impl Shared {
    /// Has a helper run a job, at once; true if it was awake.
    ///
    /// # Safety
    ///
    /// `data` stays valid for `run`, which another thread may call, until it
    /// has returned.
    pub(crate) unsafe fn help(&'static self, job: Job) -> bool {
        let idle = self.helpers.idle.lock().pop();
        match idle {
            Some(seat) => seat.call(Some(job)),
            None => {
                self.start_thread(ThreadKind::Helper, "helper".into(), None, move || {
                    self.helper_main(job);
                });
                false
            }
        }
    }

    fn helper_main(&'static self, first: Job) {
        let seat = Arc::new(Seat {
            word: AtomicU32::new(EMPTY),
            job: Lock::new(None),
            caller_cpu: AtomicI32::new(affinity::current_cpu()),
        });
        let luck = Luck::bad_for(BAD_LUCK);
        let mut next = Some(first);
        while let Some(job) = next {
            // SAFETY: by the promise of who called `help`.
            let who = unsafe { (job.run)(job.data) };
            next = self.next_job(&seat, &luck, who);
        }
        self.thread_ends(ThreadKind::Helper);
    }

    /// Readies who waited for the last job, and waits for the next. In the list of
    /// the idle before the ready: who is readied may call at once, and would wake
    /// or start another one. Blocks the thread.
    fn next_job(
        &'static self,
        seat: &Arc<Seat>,
        luck: &Luck,
        who: Option<Parkable>,
    ) -> Option<Job> {
        let helpers = &self.helpers;
        // Not where it would keep its caller off the CPU.
        let awake = luck.is_good()
            && seat.caller_cpu.load(Ordering::Relaxed) != affinity::current_cpu()
            && !helpers.one_awake.swap(true, Ordering::Relaxed);
        let began = clock::now_ns();
        seat.word
            .store(if awake { AWAKE } else { EMPTY }, Ordering::Relaxed);
        let stays = {
            let mut idle = helpers.idle.lock();
            // Under the lock: who stops the runtime dismisses after it said so.
            let stays = !self.is_stopping();
            if stays {
                // The one that is awake stays the last, which is called first.
                let others_last = !awake && helpers.one_awake.load(Ordering::Relaxed);
                let at = idle.len().saturating_sub(usize::from(others_last));
                idle.insert(at, seat.clone());
            }
            stays
        };
        if let Some(who) = who {
            super::ready(who);
        }
        if !stays {
            return None;
        }
        if awake {
            let called = seat.wait_awake();
            helpers.one_awake.store(false, Ordering::Relaxed);
            luck.has_waited(called);
        }
        // Acquire: pairs with the Release in `call`; the same below.
        if seat.word.load(Ordering::Acquire) == EMPTY {
            futex::wait(&seat.word, EMPTY, Some(IDLE));
            luck.has_slept(clock::now_ns() - began < SHORT_REST_NS);
        }
        if seat.word.load(Ordering::Acquire) == EMPTY {
            let mut idle = helpers.idle.lock();
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
