//! An M without its P: why the P was retaken, how it is handed to another M, and how the
//! goroutine that still runs acquires one again.
//!
//! A P is taken from an M that runs a goroutine's code for too long while work
//! waits (by sysmon; a hog and a blocking system call look alike), and given
//! away by an M whose goroutine says that it will block ([`super::blocking`]).
//! The goroutine goes on, on its own OS thread, beside the others; at its next
//! call into the runtime it queues up for a P again. Nothing is interrupted in
//! mid-instruction.

use std::sync::atomic::Ordering;

use super::current::{self, goroutine_of, machine_of};
use super::global_queue::Priority;
use super::machine::Machine;
use super::processor::Processor;
use super::run_loop::leave_for_g0;
use super::runtime::{Counter, Shared};
use super::unwinding;
use crate::goroutine::{FLAG_LOCKED, Status, WaitReason};
use crate::stack::StackHeader;

/// Ms of the process whose P was retaken and that have none since.
static RETAKEN: Counter = Counter::new();

/// A preemption check, made at the end of each operation that does not park: if the P
/// was retaken, the goroutine queues for one; else it would run on beside the others
/// without a limit. Only for a caller that holds no lock of the runtime.
#[inline(always)]
pub(crate) fn give_way() {
    if RETAKEN.get() != 0 {
        give_way_slow();
    }
}

#[cold]
#[inline(never)]
fn give_way_slow() {
    let Some(header) = current::header() else {
        return;
    };
    // Another status: it is enqueued somewhere and about to park, or in a
    // blocking call, which needs no P.
    if !machine_of(header).is_p_retaken() || goroutine_of(header).status() != Status::Running {
        return;
    }
    // The mark is set before the retake: a goroutine that entered at each call from
    // then on would be inside whenever sysmon tries.
    if !machine_of(header).has_lost_processor() {
        return;
    }
    let (p, was_inside) = machine_of(header).enter();
    if p.is_none() && !was_inside {
        reacquire_p(header);
    }
    machine_of(header).leave(was_inside);
}

/// Acquires a P for the goroutine on this stack, which is inside without one, as Go's
/// `exitsyscall`: an idle one at once, else by queueing for one or through the global
/// queue. It may return on another M. In a pinned runtime goroutines that wait for its
/// thread run first. Blocks the goroutine.
#[cold]
#[inline(never)]
pub(crate) fn reacquire_p(header: &'static StackHeader) -> &'static Processor {
    if machine_of(header).shared.pinned && std::thread::panicking() {
        return unwinding::without_panics(|| reacquire_p_slow(header));
    }
    reacquire_p_slow(header)
}

/// [`reacquire_p`] of a goroutine that does not unwind, or that keeps its thread.
fn reacquire_p_slow(header: &'static StackHeader) -> &'static Processor {
    let mut has_waited = false;
    loop {
        let m = machine_of(header);
        let shared = m.shared;
        let g = goroutine_of(header);
        let held = m.held();
        if let Some(p) = held
            && !(has_waited && m.has_mail())
        {
            return p;
        }
        if shared.pinned && m.has_pinned_work() && !shared.is_stopping() {
            g.set_status(Status::Runnable);
            // SAFETY: our own M.
            unsafe {
                match has_waited || m.was_preempted() {
                    true => m.push_preempted(g),
                    false => m.push_pinned(g),
                }
            }
            leave_for_g0(header, m, g);
            has_waited = false;
            continue;
        }
        if let Some(p) = held {
            return p;
        }
        let mut lists = shared.idle.lock();
        if shared.is_stopping() {
            drop(lists);
            // For ever: its stack stays as it is, the thread ends.
            g.head
                .reason
                .store(WaitReason::Suspend as u8, Ordering::Relaxed);
            g.set_status(Status::Waiting);
            leave_for_g0(header, m, g);
            continue;
        }
        if let Some(p) = shared.idle.acquire(&mut lists) {
            drop(lists);
            m.set_p(Some(p));
            shared.wake_sysmon();
            g.set_status(Status::Running);
            return p;
        }
        // One that unwinds keeps its thread: the count of panics is there.
        if shared.pinned || g.has_flag(FLAG_LOCKED) || std::thread::panicking() {
            has_waited = m.was_preempted();
            shared.idle.wait_for_p(&mut lists, m);
            drop(lists);
            m.sleep();
            continue;
        }
        drop(lists);
        g.set_status(Status::Runnable);
        match m.was_preempted() && Priority::of(g) == Priority::Normal {
            true => shared.submit_preempted(g),
            false => shared.submit(g),
        }
        leave_for_g0(header, m, g);
    }
}

impl Machine {
    /// Marks its P as about to be retaken, so that [`give_way`] checks. False if it was
    /// marked before: then the caller must not unmark it.
    pub(crate) fn mark_retaken(&self) -> bool {
        let first = !self.p_retaken.swap(true, Ordering::Relaxed);
        if first {
            RETAKEN.add();
            self.shared.retaken_count.add();
        }
        first
    }

    /// Unmarks it: the P was not retaken, or the M holds one again, or it ends.
    #[inline]
    pub(crate) fn unmark_retaken(&self) {
        if self.is_p_retaken() && self.p_retaken.swap(false, Ordering::Relaxed) {
            RETAKEN.sub();
            self.shared.retaken_count.sub();
        }
    }

    pub(super) fn is_p_retaken(&self) -> bool {
        self.p_retaken.load(Ordering::Relaxed)
    }

    /// True if its P was retaken because its goroutine computed for long.
    fn was_preempted(&self) -> bool {
        self.is_p_retaken() && self.was_hogged()
    }
}

impl Shared {
    /// Gives a P that the caller holds to another M, or to the idle list if
    /// there is nothing to do with it.
    pub(crate) fn hand_off(&'static self, p: &'static Processor) {
        let mut lists = self.idle.lock();
        if p.has_work() || !self.global.is_empty() {
            return self.start_machine(&mut lists, p, false);
        }
        // An M must watch fds and timers.
        let unwatched = self.poller.load(Ordering::Acquire).is_null()
            && (self.netpoll.waiters_count() != 0 || self.first_timer_ns() != u64::MAX);
        let nobody_looks = self.idle.processors_count() == 0
            && self
                .idle
                .spinning_count
                .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if nobody_looks {
            return self.start_machine(&mut lists, p, true);
        }
        if unwatched {
            return self.start_machine(&mut lists, p, false);
        }
        self.idle.release(&mut lists, p);
    }

    /// An M on its own stack gives its P away, if it has one.
    pub(crate) fn give_up_processor(&'static self, m: &'static Machine) {
        if let Some(p) = m.held() {
            m.set_p(None);
            self.hand_off_or_retire(p);
        }
    }
}
