//! Idle threads of a pool: each has a slot in a list, and gets its next job there.
//!
//! | `word`     | in the list | means                                             |
//! |------------|-------------|---------------------------------------------------|
//! | `SPINNING` | yes         | its thread spins on the word                      |
//! | `SLEEPING` | yes         | its thread sleeps on the word, or is about to     |
//! | either     | no          | a job is about to be assigned, or the thread runs |
//! | `ASSIGNED` | no          | the thread takes the content of `job`             |
//!
//! The thread that removes a slot from the list, under the list's lock, assigns it: a caller with a
//! job, or the slot's own thread, which then ends without one. So a slot is assigned once for each
//! time that it was listed.
//!
//! 1. The thread stores `SPINNING` or `SLEEPING`, and then adds its slot to the list. The lock of
//!    the list publishes the word.
//! 2. A caller removes the slot, stores the job, then swaps `ASSIGNED` in, and wakes the thread if
//!    the word was `SLEEPING`. The wake may come late, when the thread has run that job and sleeps
//!    again: that sleep ends early and is resumed.
//! 3. A thread that spun in vain exchanges `SPINNING` for `SLEEPING` before it sleeps. The exchange
//!    fails if a job was assigned meanwhile. The futex compares the word once more, so an
//!    assignment between the two prevents the sleep.
//! 4. A thread that has slept for [`IDLE`] removes its slot and ends. If the slot is no longer
//!    listed, a caller has it, and the thread waits for that assignment.
//!
//! At most one thread spins. Its slot is last in the list, and the last slot is assigned first.
//! `one_spinning` is a hint.

use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::spin::{AdaptiveSpin, SPIN_CHECK};
use crate::shim::fixed::AtomicU32;
use crate::shim::{AtomicBool, AtomicI32, Ordering, hint};
use crate::sys::{affinity, clock, futex};
use crate::util::lock::Lock;

/// A thread without a job ends after this time. Chosen, not measured.
pub(crate) const IDLE: Duration = Duration::from_secs(5);

/// How long a thread spins for a job, and its caller for the result: several times the length of a
/// short job, so that a caller in a loop finds the thread spinning. SPEED.md has the gain.
pub(crate) const SPIN_NS: u64 = 20_000;

const SLEEPING: u32 = 0;
const ASSIGNED: u32 = 1;
const SPINNING: u32 = 2;

#[derive(Debug)]
pub(crate) struct JobSlot<J> {
    word: AtomicU32,
    /// `None` with `ASSIGNED`: the thread ends.
    job: Lock<Option<J>>,
    caller_cpu: AtomicI32,
}

impl<J> JobSlot<J> {
    /// A slot for a new thread. Its caller runs on the current CPU.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU32::new(SLEEPING),
            job: Lock::new(None),
            caller_cpu: AtomicI32::new(affinity::current_cpu()),
        })
    }

    /// Step 2. True if the thread was spinning.
    fn assign(&self, job: Option<J>) -> bool {
        *self.job.lock() = job;
        self.caller_cpu
            .store(affinity::current_cpu(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `is_assigned`.
        let spinning = self.word.swap(ASSIGNED, Ordering::Release) == SPINNING;
        if !spinning {
            futex::wake(&self.word, 1);
        }
        spinning
    }

    fn is_assigned(&self) -> bool {
        // Acquire: pairs with the Release in `assign`.
        self.word.load(Ordering::Acquire) == ASSIGNED
    }

    /// Spins for a job, and then stores `SLEEPING`; true if a job came. Blocks the thread for
    /// [`SPIN_NS`] at most.
    fn spin(&self) -> bool {
        let until = clock::now_ns() + SPIN_NS;
        while clock::now_ns() < until {
            for _ in 0..SPIN_CHECK {
                if self.is_assigned() {
                    return true;
                }
                hint::spin_loop();
            }
        }
        // Step 3. Relaxed: the job is read after `is_assigned`.
        self.word
            .compare_exchange(SPINNING, SLEEPING, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
    }

    /// Blocks the thread for [`IDLE`] at most.
    fn sleep(&self) {
        let until = clock::now_ns() + IDLE.as_nanos() as u64;
        while !self.is_assigned() {
            let now = clock::now_ns();
            if now >= until {
                return;
            }
            futex::wait(
                &self.word,
                SLEEPING,
                Some(Duration::from_nanos(until - now)),
            );
        }
    }
}

#[derive(Debug)]
pub(crate) struct IdleThreads<J> {
    /// The last is the spinning thread or, if none spins, the thread that was added last.
    list: Lock<Vec<Arc<JobSlot<J>>>>,
    one_spinning: AtomicBool,
}

impl<J> IdleThreads<J> {
    pub(crate) fn new() -> Self {
        Self {
            list: Lock::new(Vec::new()),
            one_spinning: AtomicBool::new(false),
        }
    }

    /// Gives a job to an idle thread; true if that thread was spinning.
    ///
    /// # Errors
    ///
    /// The job, if no thread is idle.
    pub(crate) fn assign(&self, job: J) -> Result<bool, J> {
        let last = self.list.lock().pop();
        match last {
            Some(slot) => Ok(slot.assign(Some(job))),
            None => Err(job),
        }
    }

    pub(crate) fn release_all(&self) {
        let all = std::mem::take(&mut *self.list.lock());
        for slot in all {
            slot.assign(None);
        }
    }

    /// Waits for a job; `None`: the thread must end. `may_wait`, called under the lock of the list,
    /// decides whether the thread may wait, so a [`Self::release_all`] that begins later finds the
    /// slot. `after_listing` is called then, even if the thread may not wait: a goroutine that it
    /// readies may assign a job to this thread at once. Blocks the thread.
    pub(crate) fn wait(
        &self,
        slot: &Arc<JobSlot<J>>,
        spin: &AdaptiveSpin,
        may_wait: impl FnOnce() -> bool,
        after_listing: impl FnOnce(),
    ) -> Option<J> {
        // A thread on its caller's CPU does not spin, because it would take that CPU from the
        // caller.
        let spins = spin.should_spin()
            && slot.caller_cpu.load(Ordering::Relaxed) != affinity::current_cpu()
            && !self.one_spinning.swap(true, Ordering::Relaxed);
        let began = clock::now_ns();
        let may_wait = self.enlist(slot, spins, may_wait);
        after_listing();
        if !may_wait {
            return None;
        }
        if spins {
            let hit = slot.spin();
            self.one_spinning.store(false, Ordering::Relaxed);
            spin.note_spin(hit);
        }
        if !slot.is_assigned() {
            slot.sleep();
            spin.note_sleep(clock::now_ns() - began);
        }
        if !slot.is_assigned() && self.remove(slot) {
            return None;
        }
        while !slot.is_assigned() {
            // A caller has removed the slot and is about to assign it.
            futex::wait(&slot.word, SLEEPING, None);
        }
        slot.job.lock().take()
    }

    /// Step 1. Returns false, and does not list the slot, if `may_wait` returns false.
    fn enlist(&self, slot: &Arc<JobSlot<J>>, spins: bool, may_wait: impl FnOnce() -> bool) -> bool {
        let word = if spins { SPINNING } else { SLEEPING };
        slot.word.store(word, Ordering::Relaxed);
        let mut list = self.list.lock();
        if !may_wait() {
            return false;
        }
        let other_spins = !spins && self.one_spinning.load(Ordering::Relaxed);
        let at = list.len().saturating_sub(usize::from(other_spins));
        list.insert(at, slot.clone());
        true
    }

    /// Step 4. False: a caller has removed the slot.
    fn remove(&self, slot: &JobSlot<J>) -> bool {
        let mut list = self.list.lock();
        let at = list.iter().position(|other| ptr::eq(&**other, slot));
        at.map(|at| list.remove(at)).is_some()
    }
}
