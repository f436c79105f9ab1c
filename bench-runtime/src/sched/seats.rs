//! Where threads without a job wait for one, each on a seat of its own.
//!
//! | `word`   | in the list | means                                                |
//! |----------|-------------|------------------------------------------------------|
//! | `AWAKE`  | yes         | its thread looks at it again and again               |
//! | `EMPTY`  | yes         | its thread sleeps, or is about to                    |
//! | either   | no          | a call is on its way, or nobody sits there           |
//! | `CALLED` | no          | the call has come; the thread takes what is in `job` |
//!
//! Whoever takes a seat off the list, under its lock, owes the call: a caller who
//! then makes it, or the thread itself, which leaves without one. So a seat is
//! called once for each time that its thread sat down.
//!
//! 1. The thread stores `AWAKE` or `EMPTY` while nobody can call it, and puts the
//!    seat into the list, whose lock shows the word to who takes it off.
//! 2. A caller takes it off, stores the job, then swaps `CALLED` in; it wakes the
//!    thread if the word was `EMPTY`. It may do that when the thread has been to
//!    that job and back: then a sleep ends early and goes on.
//! 3. A thread that has waited awake in vain exchanges `AWAKE` for `EMPTY` before
//!    it sleeps; that fails where it was called meanwhile. The futex looks at the
//!    word once more, so that a call between the two is no sleep.
//! 4. A thread that has slept for too long takes its seat off the list and leaves.
//!    It is not there: a caller has it, whose call is waited for.
//!
//! One thread at a time waits awake, and sits at the end of the list, which is
//! called first. `one_awake` is a guess for whoever reads it.

use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::luck::{AWAKE_CHECK, Luck, SHORT_REST_NS};
use crate::shim::fixed::AtomicU32;
use crate::shim::{AtomicBool, AtomicI32, Ordering, hint};
use crate::sys::{affinity, clock, futex};
use crate::util::lock::Lock;

/// A thread without a job leaves after this time.
const IDLE: Duration = Duration::from_secs(5);

/// How long it waits awake: some times what a job takes that is made in a loop.
const AWAKE_NS: u64 = 20_000;

const EMPTY: u32 = 0;
const CALLED: u32 = 1;
const AWAKE: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Seat<J> {
    word: AtomicU32,
    /// `None` when called: to leave.
    job: Lock<Option<J>>,
    /// Where its last caller was.
    caller_cpu: AtomicI32,
}

impl<J> Seat<J> {
    /// For a thread that has been started from this CPU.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU32::new(EMPTY),
            job: Lock::new(None),
            caller_cpu: AtomicI32::new(affinity::current_cpu()),
        })
    }

    /// Step 2. True if the thread was awake.
    fn call(&self, job: Option<J>) -> bool {
        *self.job.lock() = job;
        self.caller_cpu
            .store(affinity::current_cpu(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `is_called`.
        let awake = self.word.swap(CALLED, Ordering::Release) == AWAKE;
        if !awake {
            futex::wake(&self.word, 1);
        }
        awake
    }

    fn is_called(&self) -> bool {
        // Acquire: pairs with the Release in `call`.
        self.word.load(Ordering::Acquire) == CALLED
    }

    /// Waits awake for a call, and for none any more from then on; true if it
    /// came.
    fn wait_awake(&self) -> bool {
        let until = clock::now_ns() + AWAKE_NS;
        while clock::now_ns() < until {
            for _ in 0..AWAKE_CHECK {
                if self.is_called() {
                    return true;
                }
                hint::spin_loop();
            }
        }
        // Step 3. Relaxed: what a call brings is looked at after `is_called`.
        self.word
            .compare_exchange(AWAKE, EMPTY, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
    }

    /// Sleeps until a call comes or until it has slept for long.
    fn sleep(&self) {
        let until = clock::now_ns() + IDLE.as_nanos() as u64;
        while !self.is_called() {
            let now = clock::now_ns();
            if now >= until {
                return;
            }
            futex::wait(&self.word, EMPTY, Some(Duration::from_nanos(until - now)));
        }
    }
}

/// The seats of those who have no job, or are about to have none.
#[derive(Debug)]
pub(crate) struct Seats<J> {
    /// The one that is awake, or else sat down last, last.
    list: Lock<Vec<Arc<Seat<J>>>>,
    one_awake: AtomicBool,
}

impl<J> Seats<J> {
    pub(crate) fn new() -> Self {
        Self {
            list: Lock::new(Vec::new()),
            one_awake: AtomicBool::new(false),
        }
    }

    /// Gives somebody a job, and says whether that one was awake.
    ///
    /// # Errors
    ///
    /// The job, where nobody waits for one.
    pub(crate) fn call(&self, job: J) -> Result<bool, J> {
        let last = self.list.lock().pop();
        match last {
            Some(seat) => Ok(seat.call(Some(job))),
            None => Err(job),
        }
    }

    /// Has all leave who wait.
    pub(crate) fn dismiss(&self) {
        let all = std::mem::take(&mut *self.list.lock());
        for seat in all {
            seat.call(None);
        }
    }

    /// Waits for a job; `None`: to leave. `stays` is asked once no `dismiss` that
    /// begins later can miss this one. `seated` is called when a job may come:
    /// whom it readies may call at once, and would wake or start another thread.
    /// Blocks the thread.
    pub(super) fn wait(
        &self,
        seat: &Arc<Seat<J>>,
        luck: &Luck,
        stays: impl FnOnce() -> bool,
        seated: impl FnOnce(),
    ) -> Option<J> {
        // Not where it would keep its caller off the CPU.
        let awake = luck.is_good()
            && seat.caller_cpu.load(Ordering::Relaxed) != affinity::current_cpu()
            && !self.one_awake.swap(true, Ordering::Relaxed);
        let began = clock::now_ns();
        let stays = self.sit_down(seat, awake, stays);
        seated();
        if !stays {
            return None;
        }
        if awake {
            let called = seat.wait_awake();
            self.one_awake.store(false, Ordering::Relaxed);
            luck.has_waited(called);
        }
        if !seat.is_called() {
            seat.sleep();
            luck.has_slept(clock::now_ns() - began < SHORT_REST_NS);
        }
        if !seat.is_called() && self.take_off(seat) {
            return None;
        }
        while !seat.is_called() {
            // Called this very moment.
            futex::wait(&seat.word, EMPTY, None);
        }
        seat.job.lock().take()
    }

    /// Step 1, unless the thread does not stay.
    fn sit_down(&self, seat: &Arc<Seat<J>>, awake: bool, stays: impl FnOnce() -> bool) -> bool {
        let word = if awake { AWAKE } else { EMPTY };
        seat.word.store(word, Ordering::Relaxed);
        let mut list = self.list.lock();
        if !stays() {
            return false;
        }
        let others_last = !awake && self.one_awake.load(Ordering::Relaxed);
        let at = list.len().saturating_sub(usize::from(others_last));
        list.insert(at, seat.clone());
        true
    }

    /// Step 4. False: a caller has it.
    fn take_off(&self, seat: &Seat<J>) -> bool {
        let mut list = self.list.lock();
        let at = list.iter().position(|other| ptr::eq(&**other, seat));
        at.map(|at| list.remove(at)).is_some()
    }
}
