//! M: an OS thread that runs goroutines while it holds a P.

use std::cell::UnsafeCell;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::biased_lock::BiasedLock;
use super::processor::Processor;
use crate::goroutine::{Goroutine, List};
use crate::netpoll::Netpoll;
use crate::stack::fiber::G0;
use crate::sys::clock::{self, CpuClock};
use crate::sys::thread::{self, State, ThreadId};
use crate::threads::spin::AdaptiveSpin;
use crate::util::atomic_ref::AtomicRef;
use crate::util::lock::Lock;
use crate::util::note::Note;

/// Only the M's own thread uses the list; other threads read its length.
#[derive(Debug, Default)]
pub(super) struct LocalQueue {
    list: UnsafeCell<List>,
    len: AtomicUsize,
}

impl LocalQueue {
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        // SAFETY: only the M's own thread calls this (`Machine`'s `Sync`), and no `f` calls back.
        let list = unsafe { &mut *self.list.get() };
        let result = f(list);
        self.len.store(list.len(), Ordering::Relaxed);
        result
    }

    #[inline(always)]
    pub(super) fn push(&self, g: &'static Goroutine) {
        self.with(|list| list.push(g));
    }

    #[inline(always)]
    pub(super) fn pop(&self) -> Option<&'static Goroutine> {
        self.with(List::pop)
    }

    fn append(&self, other: &mut List) {
        self.with(|list| list.append(other));
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct MachineQueues {
    /// The goroutine that runs next, like a P's `run_next` in a migrating runtime.
    pub(super) run_next: AtomicRef<Goroutine>,
    pub(super) runnable: LocalQueue,
    /// Hogs of this M, after their next call into the runtime.
    pub(super) hogs: LocalQueue,
}

impl MachineQueues {
    /// The goroutine that was there goes to the end of the queue. No atomic exchange is needed:
    /// only one thread writes `run_next`.
    #[inline(always)]
    pub(super) fn set_run_next(&self, g: &'static Goroutine) {
        let old = self.run_next.load(Ordering::Relaxed);
        self.run_next.store(Some(g), Ordering::Relaxed);
        if let Some(old) = old {
            self.runnable.push(old);
        }
    }

    #[inline(always)]
    pub(super) fn has_hogs(&self) -> bool {
        self.hogs.len() != 0
    }
}

/// Other threads reach this part of an M only by its methods, the M's own thread by
/// [`ThisM::own`](super::this_m::ThisM::own).
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) p_lock: BiasedLock<Processor>,
    /// The context of the g0 stack, while a goroutine runs.
    pub(super) g0: AtomicUsize,
    pub(super) g0_fiber: G0,
    /// In a pinned runtime.
    pub(super) queues: MachineQueues,
}

#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Machine {
    own: Own,
    pub(super) current: AtomicRef<Goroutine>,
    /// In a pinned runtime: goroutines that started on it and have not ended.
    started: AtomicUsize,
    pub(crate) id: usize,
    /// See [`super::this_m`].
    pub(super) runtime: AtomicPtr<()>,
    /// The thread sleeps on this, or in a poller.
    note: Note,
    /// The P that its waker hands over.
    handed_p: AtomicRef<Processor>,
    /// Its P was retaken, and it has had no P since.
    pub(super) p_retaken: AtomicBool,
    retaken_ns: AtomicU64,
    /// Its P was last retaken from a hog.
    hogged: AtomicBool,
    /// The clock of its thread, once that runs.
    pub(crate) cpu_clock: OnceLock<CpuClock>,
    pub(super) thread_id: OnceLock<ThreadId>,
    /// Counted in `spinning_count` of [`super::idle::Idle`]. Set by the M, or by its waker before
    /// the wake.
    pub(crate) spinning: AtomicBool,
    /// It was woken by [`wake_one_noted`](super::wake::wake_one_noted), holds the P that it got by
    /// that, and has not noted yet whether the wake paid. Set by its waker before the wake.
    pub(super) wake_is_noted: AtomicBool,
    /// In a pinned runtime: goroutines of this M that other threads have readied.
    inbox: Lock<List>,
    inbox_len: AtomicUsize,
    pub(super) inbox_spin: AdaptiveSpin,
    /// The helper that got this M's last job was spinning, so it will ready the goroutine soon.
    /// Own thread only.
    pub(crate) helper_was_spinning: AtomicBool,
    /// Own thread only.
    pub(super) rests_since_ns: AtomicU64,
    /// The own thread stores, sysmon loads.
    pub(super) holds_since_ns: AtomicU64,
    /// How long it held its last P. Zero if it had no work left then, or if its inbox has got a
    /// goroutine since.
    last_hold_ns: AtomicU64,
    /// The goroutine locked to this M, while it is parked.
    pub(super) locked: AtomicRef<Goroutine>,
    pub(super) locked_ready: AtomicBool,
    /// It sleeps, or will sleep if it finds no work. Set before the heavy barrier of
    /// [`super::idle`], S2.
    pub(super) resting: AtomicBool,
    /// In a pinned runtime, once one of its goroutines has waited for a descriptor.
    netpoll: OnceLock<Netpoll>,
    /// The poller in which it sleeps, or will. All accesses are SeqCst.
    polls_in: AtomicRef<Netpoll>,
}

// SAFETY: the lists in `queues` are changed by the M's own thread only; all else is atomic or
// locked.
unsafe impl Sync for Machine {}

/// How long a goroutine may run while others wait: Go's figure.
pub(crate) const TIME_SLICE_NS: u64 = 10_000_000;

impl Machine {
    pub(crate) fn new(id: usize, runtime: *const ()) -> Self {
        Self {
            id,
            runtime: AtomicPtr::new(runtime.cast_mut()),
            ..Self::default()
        }
    }

    /// # Safety
    ///
    /// Only its own thread.
    #[inline(always)]
    pub(super) unsafe fn own(&self) -> &Own {
        &self.own
    }

    /// What the kernel says of its thread. Reads a file.
    pub(crate) fn thread_state(&self) -> State {
        (self.thread_id.get()).map_or(State::Unknown, |&id| thread::state_of(id))
    }

    pub(crate) fn current_goroutine(&self) -> Option<&'static Goroutine> {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn own_netpoll(&self) -> Option<&Netpoll> {
        self.netpoll.get()
    }

    pub(super) fn make_netpoll(&self) -> io::Result<&Netpoll> {
        if let Some(own) = self.netpoll.get() {
            return Ok(own);
        }
        let made = Netpoll::new()?;
        Ok(self.netpoll.get_or_init(|| made))
    }

    pub(super) fn set_polls_in(&self, netpoll: Option<&'static Netpoll>) {
        self.polls_in.store(netpoll, Ordering::SeqCst);
    }

    pub(super) fn holds_for_ns(&self) -> u64 {
        clock::now_ns().saturating_sub(self.holds_since_ns.load(Ordering::Relaxed))
    }

    /// `last_hold_ns`: how long it held the P.
    pub(super) fn note_retaken(&self, hogged: bool, last_hold_ns: u64) {
        self.retaken_ns.store(clock::now_ns(), Ordering::Relaxed);
        self.hogged.store(hogged, Ordering::Relaxed);
        self.set_last_hold_ns(if hogged { last_hold_ns } else { 0 });
    }

    /// 0 for never.
    pub(crate) fn retaken_ns(&self) -> u64 {
        self.retaken_ns.load(Ordering::Relaxed)
    }

    /// How long it held the P that it loses; zero if it has no work left.
    pub(super) fn set_last_hold_ns(&self, last_hold_ns: u64) {
        self.last_hold_ns.store(last_hold_ns, Ordering::Relaxed);
    }

    /// How long it held its last P, a time slice at most. While it is the first M that queues for a
    /// P, another M may keep its P for as long.
    pub(super) fn fair_wait_ns(&self) -> u64 {
        self.last_hold_ns.load(Ordering::Relaxed).min(TIME_SLICE_NS)
    }

    /// As [`BiasedLock::retake`].
    pub(crate) fn retake(&self, p: &'static Processor, f: impl FnOnce()) -> bool {
        self.own.p_lock.retake(ptr::from_ref(p).cast_mut(), f)
    }

    /// As [`BiasedLock::borrow`].
    pub(crate) fn borrow(&self, p: &'static Processor, f: impl FnOnce()) -> bool {
        self.own.p_lock.borrow(ptr::from_ref(p).cast_mut(), f)
    }

    /// The goroutines in its two lists; those in its inbox and `run_next` are not counted.
    pub(crate) fn queued_count(&self) -> usize {
        self.own.queues.runnable.len() + self.own.queues.hogs.len()
    }

    #[inline(always)]
    pub(super) fn started_count(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// 1: a goroutine starts on it; -1: one ends. Only its own thread.
    #[inline(always)]
    pub(super) fn count_started(&self, by: isize) {
        let count = self.started_count().wrapping_add_signed(by);
        self.started.store(count, Ordering::Relaxed);
    }

    pub(super) fn awaited_netpoll(&self) -> Option<&Netpoll> {
        let own = self.netpoll.get()?;
        (own.waiters_count() != 0).then_some(own)
    }

    pub(crate) fn polls_in(&self) -> Option<&'static Netpoll> {
        self.polls_in.load(Ordering::SeqCst)
    }

    pub(crate) fn interrupt_polling(&self) {
        if let Some(netpoll) = self.polls_in() {
            netpoll.interrupt();
        }
    }

    /// For a goroutine that only it may run. The caller then wakes the M.
    pub(crate) fn push_to_inbox(&self, g: &'static Goroutine) {
        let mut inbox = self.inbox.lock();
        inbox.push(g);
        self.inbox_len.store(inbox.len(), Ordering::Release);
        // It has work from now on, so it need not wait as long as before.
        self.set_last_hold_ns(0);
    }

    #[inline(always)]
    pub(crate) fn has_inbox(&self) -> bool {
        self.inbox_len.load(Ordering::Relaxed) != 0
    }

    pub(super) fn take_inbox(&self, queue: &LocalQueue) {
        if self.has_inbox() {
            let mut inbox = self.inbox.lock();
            queue.append(&mut inbox);
            self.inbox_len.store(0, Ordering::Relaxed);
        }
    }

    /// Only for an M that sleeps and has nothing to run: the caller has taken it off the list of
    /// sleeping Ms, and wakes it next.
    pub(super) fn set_first(&self, g: &'static Goroutine) {
        let former = self.own.queues.run_next.swap(Some(g), Ordering::Relaxed);
        debug_assert!(former.is_none());
    }

    /// True if goroutines wait that only it may run.
    pub(crate) fn has_pinned_work(&self) -> bool {
        self.has_work_besides_hogs() || self.own.queues.has_hogs()
    }

    /// As [`Self::has_pinned_work`], without hogs.
    pub(super) fn has_work_besides_hogs(&self) -> bool {
        self.has_inbox()
            || !self.own.queues.run_next.is_none(Ordering::Relaxed)
            || self.own.queues.runnable.len() != 0
    }

    /// Returns the P that the waker has given it, if any. Only its own thread, which this blocks.
    pub(super) fn sleep_for_p(&self) -> Option<&'static Processor> {
        self.note.sleep();
        self.handed_p.swap(None, Ordering::Acquire)
    }

    /// Wakes it, also out of a poller, and gives it `p`. Only for the thread that has taken it off
    /// the list on which it sleeps.
    pub(crate) fn wake(&self, p: Option<&'static Processor>) {
        self.handed_p.store(p, Ordering::Release);
        self.note.wake();
        self.interrupt_polling();
    }

    pub(crate) fn is_p_retaken(&self) -> bool {
        self.p_retaken.load(Ordering::Relaxed)
    }

    /// Its P was retaken from a hog, and it has had no P since.
    pub(super) fn is_retaken_from_hog(&self) -> bool {
        self.is_p_retaken() && self.hogged.load(Ordering::Relaxed)
    }
}
