//! Idle Ps, sleeping Ms, and the queue of Ms that wait for a P.
//!
//! # Going to sleep and waking, without losing a wake-up
//!
//! A thread that makes work visible:
//!
//! - W1 puts it in a queue;
//! - W2 light barrier;
//! - W3 if a P is idle and no M spins, wakes one M with it, counted as
//!   spinning.
//!
//! An M without work:
//!
//! - S1 puts its P on the idle list, and if it was spinning takes itself off
//!   that count;
//! - S2 heavy barrier;
//! - S3 checks every queue, the timers and its own inbox once more; if there is work,
//!   it takes an idle P and continues as a spinner; if it gets none, every P is held,
//!   and the thread that took one after S1 checks the queues itself;
//! - S4 sleeps.
//!
//! By the barriers either W3 sees the idle P, or S3 sees the work; W3 skips the
//! wake only if some M spins, and that one does S1 to S3 after it. The spinner
//! that finds work wakes the next one, so that the number of running Ms grows
//! with the work, one at a time.

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::machine::Machine;
use super::processor::{Processor, ProcessorStatus};
use super::processor_set::ProcessorSet;
use crate::util::lock::{Lock, LockGuard};

/// The lists.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) processors: Vec<&'static Processor>,
    /// The last one went to sleep last; an M that polls is at the front.
    pub(crate) machines: VecDeque<&'static Machine>,
    /// Ms that sleep until the goroutine locked to them is readied.
    pub(crate) reserved: Vec<&'static Machine>,
    /// Ms with work that only they may do, which queue for a P.
    pub(crate) p_waiters: VecDeque<&'static Machine>,
}

impl Lists {
    /// Takes a sleeping M off its list, if it is there.
    pub(crate) fn take_machine(&mut self, m: &'static Machine) -> bool {
        let at = self.machines.iter().position(|other| ptr::eq(*other, m));
        at.is_some_and(|at| self.machines.remove(at).is_some())
    }

    /// The place in the list of a sleeping M to which no goroutine is pinned.
    pub(crate) fn vacant_machine(&self) -> Option<usize> {
        let is_vacant = |m: &&Machine| m.started_count() == 0 && !m.has_pinned_work();
        self.machines.iter().rposition(is_vacant)
    }

    /// Takes a sleeping M to which no goroutine is pinned.
    pub(crate) fn take_vacant_machine(&mut self) -> Option<&'static Machine> {
        let at = self.vacant_machine()?;
        self.machines.remove(at)
    }

    /// The same for an M that waits for its locked goroutine.
    pub(crate) fn take_reserved(&mut self, m: &'static Machine) -> bool {
        let at = self.reserved.iter().position(|other| ptr::eq(*other, m));
        if let Some(at) = at {
            self.reserved.swap_remove(at);
        }
        at.is_some()
    }
}

/// The lists and their lengths, which are read without the lock.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    lists: Lock<Lists>,
    processors_count: AtomicU32,
    p_waiters_count: AtomicU32,
    /// Ps that are neither idle nor dead. Changed under the lock, before another thread
    /// gets the P.
    pub(super) running: ProcessorSet,
    /// Ms that search the other Ps for work, and those that were woken for this; Go's *spinning*.
    /// An M that spins for its inbox and a helper that spins for a job are not counted by that.
    pub(crate) spinning_count: AtomicU32,
}

impl Idle {
    pub(crate) fn lock(&self) -> LockGuard<'_, Lists> {
        self.lists.lock()
    }

    /// Counts an M as spinning. Only its own thread.
    pub(crate) fn begin_spinning(&self, m: &Machine) {
        m.spinning.store(true, Ordering::Relaxed);
        self.spinning_count.fetch_add(1, Ordering::SeqCst);
    }

    /// Undoes [`Self::begin_spinning`]; true if the M was spinning. Only its own thread.
    pub(crate) fn end_spinning(&self, m: &Machine) -> bool {
        let spins = m.spinning.load(Ordering::Relaxed);
        if spins {
            m.spinning.store(false, Ordering::Relaxed);
            self.spinning_count.fetch_sub(1, Ordering::SeqCst);
        }
        spins
    }

    /// How many Ps are idle.
    #[inline(always)]
    pub(crate) fn processors_count(&self) -> u32 {
        self.processors_count.load(Ordering::Relaxed)
    }

    /// How many Ms queue for a P.
    #[inline(always)]
    pub(crate) fn p_waiters_count(&self) -> u32 {
        self.p_waiters_count.load(Ordering::Relaxed)
    }

    /// Adds a P to the idle ones, or hands it to the first M that queues for one.
    pub(crate) fn release(&self, lists: &mut Lists, p: &'static Processor) {
        if let Some(m) = self.pop_p_waiter(lists) {
            // Also for one that was dead: `resize_to` would hand out a dead P once more.
            self.set_status(p, ProcessorStatus::Running);
            m.wake(Some(p));
            return;
        }
        self.set_status(p, ProcessorStatus::Idle);
        lists.processors.push(p);
        self.publish(lists);
    }

    /// A P that no M has dies. Under the lock.
    pub(super) fn lay_down(&self, p: &Processor) {
        self.set_status(p, ProcessorStatus::Dead);
    }

    fn set_status(&self, p: &Processor, status: ProcessorStatus) {
        match status {
            ProcessorStatus::Running => self.running.insert(p.id),
            ProcessorStatus::Idle | ProcessorStatus::Dead => self.running.remove(p.id),
        }
        p.set_status(status);
    }

    /// Makes the lengths of the lists visible to threads without the lock.
    fn publish(&self, lists: &Lists) {
        let (processors, p_waiters) = (lists.processors.len(), lists.p_waiters.len());
        // SeqCst: S1 before S2 also if the barriers are plain fences.
        self.processors_count
            .store(processors as u32, Ordering::SeqCst);
        self.p_waiters_count
            .store(p_waiters as u32, Ordering::Relaxed);
    }

    /// Takes an idle P; the caller holds it.
    pub(crate) fn acquire(&self, lists: &mut Lists) -> Option<&'static Processor> {
        let p = lists.processors.pop()?;
        self.publish(lists);
        self.set_status(p, ProcessorStatus::Running);
        Some(p)
    }

    /// Takes a certain P off the idle list, if it is there.
    pub(crate) fn withdraw(&self, lists: &mut Lists, p: &'static Processor) -> bool {
        let Some(at) = lists.processors.iter().position(|q| ptr::eq(*q, p)) else {
            return false;
        };
        lists.processors.swap_remove(at);
        self.publish(lists);
        self.set_status(p, ProcessorStatus::Running);
        true
    }

    /// Puts an M into the queue for a P.
    pub(crate) fn wait_for_p(&self, lists: &mut Lists, m: &'static Machine) {
        lists.p_waiters.push_back(m);
        self.publish(lists);
    }

    /// Takes the first M that queues for a P.
    pub(crate) fn pop_p_waiter(&self, lists: &mut Lists) -> Option<&'static Machine> {
        let m = lists.p_waiters.pop_front()?;
        self.publish(lists);
        Some(m)
    }
}
