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
use crate::sys::thread::{self, ThreadId};
use crate::threads::spin::AdaptiveSpin;
use crate::util::lock::Lock;
use crate::util::note::Note;

/// A list of goroutines that one thread uses. Others read its length.
#[derive(Debug, Default)]
pub(super) struct LocalQueue {
    list: UnsafeCell<List>,
    len: AtomicUsize,
}

impl LocalQueue {
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        // SAFETY: only the M's own thread calls this (`Machine`'s `Sync`), and no `f` in here calls
        // back.
        let list = unsafe { &mut *self.list.get() };
        let result = f(list);
        self.len.store(list.len(), Ordering::Relaxed);
        result
    }

    #[inline(always)]
    pub(super) fn push(&self, g: &'static Goroutine) {
        self.with(|list| list.push(g));
    }

    /// Takes the first.
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

/// In a pinned runtime: the runnable goroutines of an M, as its own thread reaches them.
#[derive(Debug, Default)]
pub(super) struct MachineQueues {
    /// The counterpart of a P's `run_next` in a migrating runtime.
    pub(super) run_next: AtomicPtr<Goroutine>,
    pub(super) runnable: LocalQueue,
    /// Hogs of this M, after their next call into the runtime.
    pub(super) preempted: LocalQueue,
}

impl MachineQueues {
    /// Puts a goroutine into `run_next`; the former one goes to the end of the queue.
    /// Without an atomic exchange: only one thread writes it.
    #[inline(always)]
    pub(super) fn set_run_next(&self, g: &'static Goroutine) {
        let old = self.run_next.load(Ordering::Relaxed);
        self.run_next
            .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
        // SAFETY: null or a record, which is type-stable.
        if let Some(old) = unsafe { old.as_ref() } {
            self.runnable.push(old);
        }
    }

    #[inline(always)]
    pub(super) fn has_preempted(&self) -> bool {
        self.preempted.len() != 0
    }
}

/// An M.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Machine {
    /// The P it holds, and the lock that lets sysmon retake it.
    p_lock: BiasedLock<Processor>,
    /// The context of its g0 stack, with the scheduler's loop, while a goroutine runs.
    pub(super) g0: AtomicUsize,
    pub(super) g0_fiber: G0,
    /// The goroutine that runs.
    pub(super) current: AtomicPtr<Goroutine>,
    /// In a pinned runtime: its runnable goroutines.
    queues: MachineQueues,
    /// In a pinned runtime: goroutines that started on it and have not ended.
    started: AtomicUsize,
    pub(crate) id: usize,
    /// The address of its runtime: see [`super::this_m`].
    pub(super) runtime: AtomicPtr<()>,
    /// It sleeps on this, unless it sleeps in a poller.
    note: Note,
    /// The P that its waker hands over.
    handed: AtomicPtr<Processor>,
    /// Its P was retaken, and it has had none since.
    pub(super) p_retaken: AtomicBool,
    /// When its P was retaken last, in nanoseconds.
    retaken_ns: AtomicU64,
    /// At that retake its goroutine had used the CPU, not waited.
    hogged: AtomicBool,
    /// The clock of its thread, once that runs.
    pub(crate) cpu_clock: OnceLock<CpuClock>,
    /// The kernel's number of its thread.
    pub(super) thread_id: OnceLock<ThreadId>,
    /// It is counted in `spinning_count` of [`super::idle::Idle`]. Set by itself, or by its waker
    /// before the wake.
    pub(crate) spinning: AtomicBool,
    /// In a pinned runtime: goroutines of this M that other threads have readied.
    inbox: Lock<List>,
    inbox_len: AtomicUsize,
    /// Whether it spins for its inbox before it rests.
    pub(super) inbox_spin: AdaptiveSpin,
    /// The helper that got its last job was spinning, so it will ready a goroutine soon.
    /// Own thread only.
    pub(crate) helper_was_spinning: AtomicBool,
    /// When it began to rest, in nanoseconds. Owner only.
    pub(super) rests_since_ns: AtomicU64,
    /// When it took up its P, in nanoseconds. Owner only, but sysmon reads.
    holds_since_ns: AtomicU64,
    /// How long it had its P, in nanoseconds, when others took it or got it
    /// before all of its work was done; zero after a rest.
    turn_ns: AtomicU64,
    /// The goroutine locked to this M, while it is parked.
    pub(super) locked: AtomicPtr<Goroutine>,
    /// The locked goroutine was readied.
    pub(super) locked_ready: AtomicBool,
    /// It may be asleep, or falls asleep unless it finds work: set before the
    /// heavy barrier of [`super::idle`], S2.
    pub(super) resting: AtomicBool,
    /// In a pinned runtime: the poller of its goroutines, once one has waited for a descriptor.
    netpoll: OnceLock<Netpoll>,
    /// The poller in which it sleeps, or will.
    polls_in: AtomicPtr<Netpoll>,
}

// SAFETY: the lists in `queues` are reached by the M's own thread only; all else is atomic or
// locked.
unsafe impl Sync for Machine {}

/// How long a goroutine may run while others wait, in nanoseconds: Go's figure. All shares
/// of time are a multiple or a part of it.
pub(crate) const TIME_SLICE_NS: u64 = 10_000_000;

impl Machine {
    pub(crate) fn new(id: usize, runtime: *const ()) -> Self {
        Self {
            id,
            runtime: AtomicPtr::new(runtime.cast_mut()),
            ..Self::default()
        }
    }

    /// In the child of a fork: its thread, which forked, only reaches its next call
    /// into the runtime.
    pub(super) fn clear_processor(&self) {
        self.p_lock.clear();
    }

    /// Comes into the runtime; see [`super::this_m::ThisM::enter`].
    ///
    /// # Safety
    ///
    /// Only its own thread.
    #[inline(always)]
    pub(super) unsafe fn enter(&self) -> (Option<&'static Processor>, bool) {
        let (p, was_inside) = self.p_lock.enter();
        // SAFETY: Ps live as long as their runtime's Ms.
        (unsafe { p.as_ref() }, was_inside)
    }

    /// Goes back to the goroutine's code.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    #[inline(always)]
    pub(super) unsafe fn leave(&self, was_inside: bool) {
        self.p_lock.leave(was_inside);
    }

    /// The P it holds.
    ///
    /// # Safety
    ///
    /// Only its own thread, inside the runtime.
    pub(super) unsafe fn held(&self) -> Option<&'static Processor> {
        // SAFETY: as in `enter`.
        unsafe { self.p_lock.held().as_ref() }
    }

    /// Takes a P, or releases it.
    ///
    /// # Safety
    ///
    /// Only its own thread, inside the runtime.
    pub(super) unsafe fn set_p(&self, p: Option<&'static Processor>) {
        if let Some(p) = p {
            // Before the lock shows it: a retake reads the M here.
            p.set_owner(Some(self.id));
            self.holds_since_ns
                .store(clock::now_ns(), Ordering::Relaxed);
        }
        self.p_lock
            .set(p.map_or(ptr::null_mut(), |p| ptr::from_ref(p).cast_mut()));
    }

    /// True if its thread sleeps in the kernel; false if that cannot be known.
    pub(crate) fn is_asleep(&self) -> bool {
        (self.thread_id.get()).is_some_and(|&thread| thread::is_asleep(thread))
    }

    /// The goroutine that runs on it; for another thread a guess.
    pub(crate) fn current_goroutine(&self) -> Option<&'static Goroutine> {
        // SAFETY: null or a record, which is type-stable.
        unsafe { self.current.load(Ordering::Relaxed).as_ref() }
    }

    /// The poller of its own, if it has one.
    pub(crate) fn own_netpoll(&self) -> Option<&Netpoll> {
        self.netpoll.get()
    }

    /// Its own poller, which is made now if there is none.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    pub(super) fn make_netpoll(&self) -> io::Result<&Netpoll> {
        if let Some(own) = self.netpoll.get() {
            return Ok(own);
        }
        let made = Netpoll::new()?;
        Ok(self.netpoll.get_or_init(|| made))
    }

    /// Notes the poller in which it is about to sleep.
    pub(super) fn set_polls_in(&self, netpoll: &'static Netpoll) {
        // SeqCst, as all accesses to the poller.
        self.polls_in
            .store(ptr::from_ref(netpoll).cast_mut(), Ordering::SeqCst);
    }

    /// How long it has had its P, in nanoseconds.
    pub(super) fn holds_for_ns(&self) -> u64 {
        clock::now_ns().saturating_sub(self.holds_since_ns.load(Ordering::Relaxed))
    }

    /// Records that its P was retaken, and whether from a hog, after its turn.
    pub(super) fn note_retaken(&self, hogged: bool, turn_ns: u64) {
        self.retaken_ns.store(clock::now_ns(), Ordering::Relaxed);
        self.hogged.store(hogged, Ordering::Relaxed);
        self.end_turn(if hogged { turn_ns } else { 0 });
    }

    /// When its P was retaken last, in nanoseconds; 0 for never.
    pub(crate) fn retaken_ns(&self) -> u64 {
        self.retaken_ns.load(Ordering::Relaxed)
    }

    /// True if the goroutine that it runs, or ran last, is a hog.
    pub(super) fn was_hogged(&self) -> bool {
        self.hogged.load(Ordering::Relaxed)
    }

    /// Notes how long it held the P that it loses, in nanoseconds; zero if it has no
    /// more work.
    pub(super) fn end_turn(&self, turn_ns: u64) {
        self.turn_ns.store(turn_ns, Ordering::Relaxed);
    }

    /// How long its last turn took, in nanoseconds: the M whose turn it is may keep the P for
    /// this time while this one is first in the queue for it. But no longer than a time slice, after
    /// which sysmon retakes a P.
    pub(super) fn fair_wait_ns(&self) -> u64 {
        self.turn_ns.load(Ordering::Relaxed).min(TIME_SLICE_NS)
    }

    /// Takes `p` away if the M still has it and runs a goroutine's code, and calls `f` before the
    /// M can find that out. Then the caller holds it.
    pub(crate) fn retake(&self, p: &'static Processor, f: impl FnOnce()) -> bool {
        self.p_lock.retake(ptr::from_ref(p).cast_mut(), f)
    }

    /// As [`Self::retake`], but returns the P to the M after `f`. True if `f` was called.
    pub(crate) fn borrow(&self, p: &'static Processor, f: impl FnOnce()) -> bool {
        self.p_lock.borrow(ptr::from_ref(p).cast_mut(), f)
    }

    /// Its queues.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    #[inline(always)]
    pub(super) unsafe fn queues(&self) -> &MachineQueues {
        &self.queues
    }

    /// How many goroutines wait in its queues, without its inbox and `run_next`; for another
    /// thread a guess.
    pub(crate) fn queued_count(&self) -> usize {
        self.queues.runnable.len() + self.queues.preempted.len()
    }

    /// How many goroutines have started on it and not ended; kept in a pinned
    /// runtime only. For another thread only a hint.
    #[inline(always)]
    pub(super) fn started_count(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// Counts a goroutine that starts on it, or ends. Only its own thread.
    #[inline(always)]
    pub(super) fn count_started(&self, by: isize) {
        let count = self.started_count().wrapping_add_signed(by);
        self.started.store(count, Ordering::Relaxed);
    }

    /// True if goroutines wait in a poller that only this M polls.
    pub(crate) fn has_own_fds(&self) -> bool {
        self.netpoll
            .get()
            .is_some_and(|own| own.waiters_count() != 0)
    }

    /// Undoes [`super::this_m::ThisM::begin_polling`].
    pub(crate) fn end_polling(&self) {
        self.polls_in.store(ptr::null_mut(), Ordering::SeqCst);
    }

    /// The poller in which it sleeps, between `begin_polling` and its end.
    pub(crate) fn polls_in(&self) -> Option<&'static Netpoll> {
        // SAFETY: null, or the poller of an M or of a runtime: neither is
        // freed while it has users; see `super::lifetime`.
        unsafe { self.polls_in.load(Ordering::SeqCst).as_ref() }
    }

    /// Ends its sleep in a poller, if it sleeps there.
    pub(crate) fn interrupt_polling(&self) {
        if let Some(netpoll) = self.polls_in() {
            netpoll.interrupt();
        }
    }

    /// Passes its own netpoll on to another runtime, if it made one; its thread has ended.
    pub(crate) fn retire_netpoll(&self) {
        if let Some(own) = self.netpoll.get() {
            own.retire();
        }
    }

    /// Puts a goroutine that only it may run into its inbox. The caller then wakes it.
    pub(crate) fn deliver(&self, g: &'static Goroutine) {
        let mut inbox = self.inbox.lock();
        inbox.push(g);
        self.inbox_len.store(inbox.len(), Ordering::Release);
        // It has work at once.
        self.end_turn(0);
    }

    /// True if goroutines are in its inbox.
    #[inline(always)]
    pub(crate) fn has_inbox(&self) -> bool {
        self.inbox_len.load(Ordering::Relaxed) != 0
    }

    /// Moves what is in its inbox to the end of its queue.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    pub(super) unsafe fn take_inbox(&self) {
        if self.has_inbox() {
            let mut inbox = self.inbox.lock();
            self.queues.runnable.append(&mut inbox);
            self.inbox_len.store(0, Ordering::Relaxed);
        }
    }

    /// Makes `g` the first that it runs. Only for the thread that has taken it, with nothing to run, off
    /// the list that it sleeps on, and wakes it next.
    pub(super) fn set_first(&self, g: &'static Goroutine) {
        debug_assert!(self.queues.run_next.load(Ordering::Relaxed).is_null());
        self.queues
            .run_next
            .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
    }

    /// True if goroutines that only it may run wait.
    pub(crate) fn has_pinned_work(&self) -> bool {
        self.has_short_work() || self.queues.has_preempted()
    }

    /// The same, without hogs.
    pub(super) fn has_short_work(&self) -> bool {
        self.has_inbox()
            || !self.queues.run_next.load(Ordering::Relaxed).is_null()
            || self.queues.runnable.len() != 0
    }

    /// Sleeps until woken; the P that the waker handed over, if any. Blocks the thread.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    pub(super) unsafe fn sleep(&self) -> Option<&'static Processor> {
        self.note.sleep();
        let p = self.handed.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: as in `enter`.
        unsafe { p.as_ref() }
    }

    /// Wakes it, also if it sleeps in a poller, with a P for it or without one. Only for the
    /// thread that took it off the list it sleeps on.
    pub(crate) fn wake(&self, p: Option<&'static Processor>) {
        self.handed.store(
            p.map_or(ptr::null_mut(), |p| ptr::from_ref(p).cast_mut()),
            Ordering::Release,
        );
        self.note.wake();
        self.interrupt_polling();
    }

    pub(crate) fn is_p_retaken(&self) -> bool {
        self.p_retaken.load(Ordering::Relaxed)
    }

    /// True if its P was retaken because its goroutine computed for long.
    pub(super) fn was_preempted(&self) -> bool {
        self.is_p_retaken() && self.was_hogged()
    }
}
