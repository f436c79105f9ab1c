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
//! - S1 puts its P on the idle list; if it was spinning, it is no longer counted as spinning;
//! - S2 heavy barrier;
//! - S3 checks every queue, the timers and its own inbox once more. If there is work,
//!   it takes an idle P, and spins if it did before. If no P is idle, the threads that took the Ps
//!   after S1 check the queues themselves;
//! - S4 sleeps.
//!
//! By the barriers either W3 sees the idle P, or S3 sees the work. W3 wakes no M if some M spins:
//! that M does S1 to S3 later. The spinner that finds work wakes the next one, so the number of
//! running Ms grows with the work, one at a time.
//!
//! # Wakes that do not pay
//!
//! A wake costs both threads as much as a hundred goroutines that do little. In a pinned runtime a
//! goroutine that spawns by `go` leaves W3 out while `unpaid_count` is [`UNPAID_MOST`] or more:
//!
//! | an M that such a goroutine or sysmon has woken to search | `unpaid_count` |
//! |------------------------------------------|-----------------|
//! | rests, having found nothing              | one more        |
//! | has nothing more to run, or loses the P that it was woken with, less than [`PAYS_NS`] after it got it | one more |
//! | the same, later than that                | 0               |
//!
//! No wake is lost by this. The spawner's M itself picks the new goroutine, by turns with those that
//! have started ([`super::pinned`]). While its P runs, sysmon makes a round after each sleep of a
//! millisecond. In each round sysmon does W3 if a P is idle while a goroutine is in the global
//! queue, or in the queue or the overflow of a running P. The woken M does W3 for the next M when it
//! finds work. Neither reads the count. The count only delays a wake, so it is changed without a
//! read-modify-write.
//!
//! Only the first of these events after a wake counts, and only such wakes do: not those by a
//! spinner, by a hand-over, or by a goroutine that is readied.

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::machine::Machine;
use super::processor::{Processor, ProcessorStatus};
use super::processor_set::ProcessorSet;
use crate::threads::spin::SLEEP_COST_NS;
use crate::util::lock::{Lock, LockGuard};

/// See *Wakes that do not pay*. Chosen, so that one small batch between larger ones does not end
/// the wakes.
const UNPAID_MOST: u32 = 4;

/// See *Wakes that do not pay*.
const PAYS_NS: u64 = SLEEP_COST_NS;

#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) processors: Vec<&'static Processor>,
    /// Sleeping Ms: the last one is woken first. Ms that poll are at the front.
    pub(crate) machines: VecDeque<&'static Machine>,
    /// Ms that sleep until the goroutine locked to them is readied.
    pub(crate) reserved: VecDeque<&'static Machine>,
    /// Ms that queue for a P, because they have goroutines that only they may run.
    pub(crate) p_waiters: VecDeque<&'static Machine>,
}

impl Lists {
    /// The place in `machines` of an M to which no goroutine is pinned.
    pub(super) fn vacant_machine(&self) -> Option<usize> {
        let is_vacant = |m: &&Machine| m.started_count() == 0 && !m.has_pinned_work();
        self.machines.iter().rposition(is_vacant)
    }

    /// The place in `machines` of the M with the fewest goroutines, of those without work.
    pub(super) fn emptiest_machine(&self) -> Option<usize> {
        let idle = (self.machines.iter().enumerate()).filter(|(_, m)| !m.has_pinned_work());
        idle.min_by_key(|(_, m)| m.started_count())
            .map(|(at, _)| at)
    }
}

pub(super) fn take(list: &mut VecDeque<&'static Machine>, m: &'static Machine) -> bool {
    let at = list.iter().position(|other| ptr::eq(*other, m));
    at.is_some_and(|at| list.remove(at).is_some())
}

/// The lengths of the lists are read without the lock.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    lists: Lock<Lists>,
    processors_count: AtomicU32,
    p_waiters_count: AtomicU32,
    /// Ps that are neither idle nor dead. Changed under the lock, before another thread
    /// gets the P.
    pub(super) running: ProcessorSet,
    /// Ms that search the other Ps for work, or were woken for this: Go's *spinning*.
    pub(crate) spinning_count: AtomicU32,
    /// How many wakes in a row, up to the last one, did not pay.
    unpaid_count: AtomicU32,
}

impl Idle {
    pub(crate) fn lock(&self) -> LockGuard<'_, Lists> {
        self.lists.lock()
    }

    /// Called only by the M's own thread.
    pub(crate) fn begin_spinning(&self, m: &Machine) {
        m.spinning.store(true, Ordering::Relaxed);
        self.spinning_count.fetch_add(1, Ordering::SeqCst);
    }

    /// True if the M was spinning. Called only by the M's own thread.
    pub(crate) fn end_spinning(&self, m: &Machine) -> bool {
        let spins = m.spinning.load(Ordering::Relaxed);
        if spins {
            m.spinning.store(false, Ordering::Relaxed);
            self.spinning_count.fetch_sub(1, Ordering::SeqCst);
        }
        spins
    }

    /// If no M spins, counts one, which the caller then wakes with `spinning` set.
    pub(super) fn claim_spinning(&self) -> bool {
        // AcqRel: only one waker continues.
        self.spinning_count
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    #[inline(always)]
    pub(super) fn wakes_pay(&self) -> bool {
        self.unpaid_count.load(Ordering::Relaxed) < UNPAID_MOST
    }

    /// Called when the M has nothing more to run, or loses its P; by its own thread, or by sysmon
    /// during a retake. `busy_ns`: how long it had something to run since it got its P.
    pub(super) fn note_wake(&self, m: &Machine, busy_ns: impl FnOnce() -> u64) {
        if !m.wake_is_noted.load(Ordering::Relaxed) {
            return;
        }
        m.wake_is_noted.store(false, Ordering::Relaxed);
        let unpaid = match busy_ns() < PAYS_NS {
            true => self.unpaid_count.load(Ordering::Relaxed).saturating_add(1),
            false => 0,
        };
        self.unpaid_count.store(unpaid, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn processors_count(&self) -> u32 {
        self.processors_count.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn p_waiters_count(&self) -> u32 {
        self.p_waiters_count.load(Ordering::Relaxed)
    }

    /// Makes `p` idle, or gives it to the first M that queues for a P.
    pub(crate) fn release(&self, lists: &mut Lists, p: &'static Processor) {
        if let Some(m) = self.pop_p_waiter(lists) {
            // Set also if the P was dead: otherwise `resize_to` would release it again.
            self.set_status(p, ProcessorStatus::Running);
            m.wake(Some(p));
            return;
        }
        self.set_status(p, ProcessorStatus::Idle);
        lists.processors.push(p);
        self.publish(lists);
    }

    /// Called under the lock.
    pub(super) fn set_status(&self, p: &Processor, status: ProcessorStatus) {
        match status {
            ProcessorStatus::Running => self.running.insert(p.id),
            ProcessorStatus::Idle | ProcessorStatus::Dead => self.running.remove(p.id),
        }
        p.set_status(status);
    }

    /// Stores the lengths for threads without the lock.
    fn publish(&self, lists: &Lists) {
        let (processors, p_waiters) = (lists.processors.len(), lists.p_waiters.len());
        // SeqCst: S1 before S2 also if the barriers are plain fences.
        self.processors_count
            .store(processors as u32, Ordering::SeqCst);
        self.p_waiters_count
            .store(p_waiters as u32, Ordering::Relaxed);
    }

    /// The caller then holds the P.
    pub(crate) fn acquire(&self, lists: &mut Lists) -> Option<&'static Processor> {
        let p = lists.processors.pop()?;
        self.publish(lists);
        self.set_status(p, ProcessorStatus::Running);
        Some(p)
    }

    /// As [`Self::acquire`], for this P; false if it is not idle.
    pub(crate) fn acquire_if_idle(&self, lists: &mut Lists, p: &'static Processor) -> bool {
        let Some(at) = lists.processors.iter().position(|q| ptr::eq(*q, p)) else {
            return false;
        };
        lists.processors.swap_remove(at);
        self.publish(lists);
        self.set_status(p, ProcessorStatus::Running);
        true
    }

    pub(crate) fn push_p_waiter(&self, lists: &mut Lists, m: &'static Machine) {
        lists.p_waiters.push_back(m);
        self.publish(lists);
    }

    pub(crate) fn pop_p_waiter(&self, lists: &mut Lists) -> Option<&'static Machine> {
        let m = lists.p_waiters.pop_front()?;
        self.publish(lists);
        Some(m)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::current;
    use super::super::shared::Shared;
    use super::*;
    use crate::{Runtime, go};

    /// Longer than any of these waits takes on a loaded machine.
    const LONG: Duration = Duration::from_secs(30);

    fn pinned_and_migrating(procs: usize) -> [Runtime; 2] {
        // SAFETY: no goroutine of these tests parks inside a thread-local's initialiser or scope.
        unsafe {
            [
                Runtime::builder().procs(procs).build(),
                Runtime::builder().procs(procs).migrating().build(),
            ]
        }
        .map(|runtime| runtime.expect("a runtime starts"))
    }

    fn shared_of(runtime: &Runtime) -> &'static Shared {
        runtime.run(|| current::runtime().expect("this is a goroutine"))
    }

    #[test]
    fn wakes_for_goroutines_from_outside_are_not_noted() {
        for runtime in pinned_and_migrating(4) {
            // A noted wake changes it.
            const KEPT: u32 = 1_000;
            let unpaid = &shared_of(&runtime).idle.unpaid_count;
            let before = runtime.metrics().wakes_count;
            let mut noted = 0;
            let began = Instant::now();
            while runtime.metrics().wakes_count < before + 100 {
                assert!(began.elapsed() < LONG, "no M is woken");
                unpaid.store(KEPT, Ordering::Relaxed);
                runtime.spawn(|| ()).join().expect("it does not panic");
                noted += u32::from(unpaid.load(Ordering::Relaxed) != KEPT);
            }
            // Sysmon may wake an M for a few of them, on a loaded host.
            assert!(noted < 10, "{noted}");
        }
    }

    #[test]
    fn wakes_for_goroutines_that_do_little_are_noted_where_they_may_be_skipped() {
        let [pinned, migrating] = pinned_and_migrating(2);
        let shared = shared_of(&pinned);
        let began = Instant::now();
        while shared.idle.wakes_pay() {
            assert!(began.elapsed() < LONG, "no wake is noted");
            pinned.run(|| (0..100).for_each(|_| go(|| ()).join().expect("it does not panic")));
        }
        migrating.run(|| (0..10_000).for_each(|_| go(|| ()).join().expect("it does not panic")));
        let unpaid = &shared_of(&migrating).idle.unpaid_count;
        assert_eq!(unpaid.load(Ordering::Relaxed), 0);
    }

    /// Otherwise the M would note it when it has another P, and measure from when it got that.
    #[test]
    fn wake_of_an_m_whose_p_is_retaken_is_noted_then() {
        let [pinned, _] = pinned_and_migrating(1);
        let unpaid = pinned.run(|| {
            let shared = current::runtime().expect("this is a goroutine");
            let header = current::header().expect("this is a goroutine");
            let m = current::last_machine_of(header);
            shared
                .idle
                .unpaid_count
                .store(UNPAID_MOST, Ordering::Relaxed);
            m.wake_is_noted.store(true, Ordering::Relaxed);
            let waits = go(|| ());
            let began = Instant::now();
            while m.wake_is_noted.load(Ordering::Relaxed) {
                assert!(began.elapsed() < LONG, "it is not noted");
            }
            let unpaid = shared.idle.unpaid_count.load(Ordering::Relaxed);
            waits.join().expect("it does not panic");
            unpaid
        });
        assert_eq!(unpaid, 0);
    }
}
