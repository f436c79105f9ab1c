//! M: an OS thread that runs goroutines while it holds a P.

use std::cell::UnsafeCell;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::biased_lock::BiasedLock;
use super::fiber::G0;
use super::processor::Processor;
use super::spin::AdaptiveSpin;
use crate::goroutine::{Goroutine, List};
use crate::netpoll::Netpoll;
use crate::sys::clock::{self, CpuClock};
use crate::sys::futex;
use crate::sys::thread::{self, ThreadId};
use crate::util::lock::Lock;

/// An M.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Machine {
    /// The P it holds, and the lock that lets sysmon retake it.
    p_lock: BiasedLock<Processor>,
    /// The context of its g0 stack, where the scheduler's loop runs, while a goroutine
    /// runs.
    pub(crate) g0: AtomicUsize,
    pub(super) g0_fiber: G0,
    /// The goroutine that runs.
    pub(crate) current: AtomicPtr<Goroutine>,
    /// In a pinned runtime, what `run_next` is in a migrating one. Owner only.
    pub(crate) run_next: AtomicPtr<Goroutine>,
    /// In a pinned runtime: readied goroutines of this M, by itself.
    pinned: UnsafeCell<List>,
    /// Its length, for sysmon.
    pinned_len: AtomicUsize,
    /// In a pinned runtime: those of them whose P was retaken. Owner only.
    preempted: UnsafeCell<List>,
    /// Its length, for sysmon.
    preempted_len: AtomicUsize,
    /// What was taken out of the inbox and has not run. Owner only.
    mail: UnsafeCell<List>,
    /// In a pinned runtime: goroutines that started on it and have not ended.
    started: AtomicUsize,
    /// A fresh goroutine that is to start on another M. Owner only.
    pub(super) set_aside: AtomicPtr<Goroutine>,
    /// One that this M, which was woken for it, is to start before all others.
    /// Its waker, then the owner.
    pub(super) assigned: AtomicPtr<Goroutine>,
    pub(crate) id: usize,
    /// The address of its runtime: see [`super::this_m`].
    pub(super) runtime: *const (),
    /// Asleep or woken; see `sleep`.
    word: AtomicU32,
    /// Handed over by the thread that wakes it.
    handed: AtomicPtr<Processor>,
    /// Its P was retaken, and it has had none since.
    pub(super) p_retaken: AtomicBool,
    /// When its P was retaken last, in nanoseconds.
    retaken_ns: AtomicU64,
    /// At that retake its goroutine had used the CPU, not waited.
    hogged: AtomicBool,
    /// Of its thread, once that runs.
    pub(super) cpu_clock: OnceLock<CpuClock>,
    /// The kernel's number of it, too.
    pub(super) thread_id: OnceLock<ThreadId>,
    /// Counted as spinning. Set by itself, or by its waker before the wake.
    pub(crate) spinning: AtomicBool,
    /// Readied by others.
    inbox: Lock<List>,
    /// How many are in there or in `mail`.
    mail_len: AtomicUsize,
    /// Whether it spins for mail before it rests.
    pub(super) mail_spin: AdaptiveSpin,
    /// The helper that got its last job was spinning, so mail will come soon. Owner
    /// only.
    pub(super) helper_was_spinning: AtomicBool,
    /// When it began to rest, in nanoseconds. Owner only.
    pub(super) rests_since_ns: AtomicU64,
    /// When it took up its P, in nanoseconds. Owner only, but sysmon reads.
    holds_since_ns: AtomicU64,
    /// How long it had its P, in nanoseconds, when others took it or got it
    /// before all of its work was done; zero after a rest.
    turn_ns: AtomicU64,
    /// The goroutine locked to this M, while it is parked.
    pub(crate) locked: AtomicPtr<Goroutine>,
    /// It was readied.
    pub(crate) locked_ready: AtomicBool,
    /// It may be asleep, or falls asleep unless it sees work: set before the
    /// heavy barrier of [`super::idle`], S2.
    pub(crate) resting: AtomicBool,
    /// In a pinned runtime: where its goroutines wait for descriptors, once
    /// one has.
    netpoll: OnceLock<Netpoll>,
    /// The poller in which it sleeps, or will.
    polls_in: AtomicPtr<Netpoll>,
}

// SAFETY: `pinned`, `preempted` and `mail` are reached by the M's own thread only; all
// else is atomic or locked; `runtime` is an address.
unsafe impl Sync for Machine {}
// SAFETY: as above.
unsafe impl Send for Machine {}

/// The most that an M queues for a P because its own turn was long, in nanoseconds:
/// after that sysmon retakes one.
const FAIR_WAIT_NS: u64 = 10_000_000;

const ASLEEP: u32 = 0;
const WOKEN: u32 = 1;

impl Machine {
    pub(crate) fn new(id: usize, runtime: *const ()) -> Self {
        Self {
            p_lock: BiasedLock::new(),
            g0: AtomicUsize::new(0),
            g0_fiber: G0::default(),
            current: AtomicPtr::new(ptr::null_mut()),
            run_next: AtomicPtr::new(ptr::null_mut()),
            pinned: UnsafeCell::new(List::new()),
            pinned_len: AtomicUsize::new(0),
            preempted: UnsafeCell::new(List::new()),
            preempted_len: AtomicUsize::new(0),
            mail: UnsafeCell::new(List::new()),
            started: AtomicUsize::new(0),
            set_aside: AtomicPtr::new(ptr::null_mut()),
            assigned: AtomicPtr::new(ptr::null_mut()),
            id,
            runtime,
            word: AtomicU32::new(ASLEEP),
            handed: AtomicPtr::new(ptr::null_mut()),
            p_retaken: AtomicBool::new(false),
            retaken_ns: AtomicU64::new(0),
            hogged: AtomicBool::new(false),
            cpu_clock: OnceLock::new(),
            thread_id: OnceLock::new(),
            spinning: AtomicBool::new(false),
            inbox: Lock::new(List::new()),
            mail_len: AtomicUsize::new(0),
            mail_spin: AdaptiveSpin::with_backoff(16),
            helper_was_spinning: AtomicBool::new(false),
            rests_since_ns: AtomicU64::new(0),
            holds_since_ns: AtomicU64::new(0),
            turn_ns: AtomicU64::new(0),
            locked: AtomicPtr::new(ptr::null_mut()),
            locked_ready: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            netpoll: OnceLock::new(),
            polls_in: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// In the child of a fork: its thread, which forked, goes on no further than to its
    /// next call into the runtime.
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

    /// True if it has no P.
    ///
    /// # Safety
    ///
    /// Only its own thread, outside too.
    pub(super) unsafe fn has_lost_processor(&self) -> bool {
        self.p_lock.has_lost()
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

    /// Takes up a P, or lets go of it.
    ///
    /// # Safety
    ///
    /// Only its own thread, inside the runtime.
    pub(super) unsafe fn set_p(&self, p: Option<&'static Processor>) {
        if let Some(p) = p {
            // Before the lock shows it: a retake looks here for the M.
            p.set_owner(Some(self.id));
            self.holds_since_ns
                .store(clock::now_ns(), Ordering::Relaxed);
        }
        self.p_lock
            .set(p.map_or(ptr::null_mut(), |p| ptr::from_ref(p).cast_mut()));
    }

    /// True if its thread sleeps in the kernel; where that cannot be known, false.
    pub(super) fn is_asleep(&self) -> bool {
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

    /// The poller of its own, which it gets now if it has none.
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

    /// Notes that its P was retaken, and whether from a hog, after so long.
    pub(super) fn note_retaken(&self, hogged: bool, turn_ns: u64) {
        self.retaken_ns.store(clock::now_ns(), Ordering::Relaxed);
        self.hogged.store(hogged, Ordering::Relaxed);
        self.end_turn(if hogged { turn_ns } else { 0 });
    }

    /// When its P was retaken last, in nanoseconds; 0 for never.
    pub(super) fn retaken_ns(&self) -> u64 {
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

    /// How long its last turn took, in nanoseconds: so long the M whose turn it is may
    /// keep the P while this one is first in the queue for it.
    pub(super) fn fair_wait_ns(&self) -> u64 {
        self.turn_ns.load(Ordering::Relaxed).min(FAIR_WAIT_NS)
    }

    /// Takes `p` away if the M still has it and runs a goroutine's code. Then
    /// the caller holds it.
    pub(crate) fn retake(&self, p: &'static Processor) -> bool {
        self.p_lock.retake(ptr::from_ref(p).cast_mut())
    }

    /// As [`Self::retake`], but gives the P back after `f`. Says whether `f`
    /// was called.
    pub(crate) fn borrow(&self, p: &'static Processor, f: impl FnOnce()) -> bool {
        self.p_lock.borrow(ptr::from_ref(p).cast_mut(), f)
    }

    /// In a pinned runtime: appends to what it has readied for itself.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    #[inline]
    pub(crate) unsafe fn push_pinned(&self, g: &'static Goroutine) {
        // SAFETY: by the caller's promise no other reference is in use.
        let pinned = unsafe { &mut *self.pinned.get() };
        pinned.push(g);
        self.pinned_len.store(pinned.len(), Ordering::Relaxed);
    }

    /// In a pinned runtime: takes the first of what it has readied for itself.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    #[inline]
    pub(crate) unsafe fn pop_pinned(&self) -> Option<&'static Goroutine> {
        // SAFETY: by the caller's promise no other reference is in use.
        let pinned = unsafe { &mut *self.pinned.get() };
        let first = pinned.pop();
        self.pinned_len.store(pinned.len(), Ordering::Relaxed);
        first
    }

    /// In a pinned runtime: appends to those that ran for so long that its P was
    /// retaken.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    pub(super) unsafe fn push_preempted(&self, g: &'static Goroutine) {
        // SAFETY: by the caller's promise no other reference is in use.
        let preempted = unsafe { &mut *self.preempted.get() };
        preempted.push(g);
        self.preempted_len.store(preempted.len(), Ordering::Relaxed);
    }

    /// In a pinned runtime: takes the first of those.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    pub(super) unsafe fn pop_preempted(&self) -> Option<&'static Goroutine> {
        // SAFETY: by the caller's promise no other reference is in use.
        let preempted = unsafe { &mut *self.preempted.get() };
        let first = preempted.pop();
        self.preempted_len.store(preempted.len(), Ordering::Relaxed);
        first
    }

    /// True if there are such.
    #[inline(always)]
    pub(super) fn has_preempted(&self) -> bool {
        self.preempted_len.load(Ordering::Relaxed) != 0
    }

    /// How many it has readied for itself, beside the one in `run_next` and
    /// those that were preempted.
    #[inline(always)]
    pub(crate) fn pinned_len(&self) -> usize {
        self.pinned_len.load(Ordering::Relaxed)
    }

    /// How many wait for it, but for mail and the one in `run_next`; for
    /// another thread a guess.
    pub(super) fn pinned_count(&self) -> usize {
        self.pinned_len() + self.preempted_len.load(Ordering::Relaxed)
    }

    /// How many goroutines have started on it and not ended; kept in a pinned
    /// runtime only. For another thread a guess.
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

    /// True if goroutines wait in a poller that only this M looks into.
    pub(crate) fn has_own_fds(&self) -> bool {
        self.netpoll
            .get()
            .is_some_and(|own| own.waiters_count() != 0)
    }

    /// The other end of [`super::this_m::ThisM::begin_polling`].
    pub(crate) fn end_polling(&self) {
        self.polls_in.store(ptr::null_mut(), Ordering::SeqCst);
    }

    /// The poller that it is in between the two.
    pub(crate) fn polls_in(&self) -> Option<&'static Netpoll> {
        // SAFETY: null, or the poller of an M or of a runtime: neither is
        // freed while it has users; see `super::lifetime`.
        unsafe { self.polls_in.load(Ordering::SeqCst).as_ref() }
    }

    /// Ends its sleep in a poller, if that is where it sleeps.
    pub(crate) fn interrupt_polling(&self) {
        if let Some(netpoll) = self.polls_in() {
            netpoll.interrupt();
        }
    }

    /// Lets another runtime have the netpoll of its own, if it made one; its
    /// thread has ended.
    pub(crate) fn retire_netpoll(&self) {
        if let Some(own) = self.netpoll.get() {
            own.retire();
        }
    }

    /// Hands it a goroutine that only it may run. The caller then nudges it.
    pub(crate) fn deliver(&self, g: &'static Goroutine) {
        let mut inbox = self.inbox.lock();
        inbox.push(g);
        self.mail_len.fetch_add(1, Ordering::Release);
        // An M that gets mail has work at once.
        self.end_turn(0);
    }

    /// True if others delivered something that has not run.
    #[inline(always)]
    pub(crate) fn has_mail(&self) -> bool {
        self.mail_len.load(Ordering::Relaxed) != 0
    }

    /// Takes the first of what others delivered.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    pub(crate) unsafe fn pop_mail(&self) -> Option<&'static Goroutine> {
        // SAFETY: by the caller's promise no other reference is in use.
        let mail = unsafe { &mut *self.mail.get() };
        if mail.len() == 0 {
            mail.append(&mut self.inbox.lock());
        }
        let first = mail.pop()?;
        self.mail_len.fetch_sub(1, Ordering::Relaxed);
        Some(first)
    }

    /// True if goroutines that only it may run wait.
    pub(crate) fn has_pinned_work(&self) -> bool {
        self.has_light_work() || self.has_preempted()
    }

    /// The same, beside those whose P was retaken.
    pub(super) fn has_light_work(&self) -> bool {
        self.has_mail()
            || !self.run_next.load(Ordering::Relaxed).is_null()
            || self.pinned_len() != 0
    }

    /// Sleeps until woken; the P that the waker handed over, if any. Blocks the thread.
    ///
    /// # Safety
    ///
    /// Only its own thread.
    pub(super) unsafe fn sleep(&self) -> Option<&'static Processor> {
        // Acquire: pairs with the Release in `wake`.
        while self.word.swap(ASLEEP, Ordering::Acquire) != WOKEN {
            futex::wait(&self.word, ASLEEP, None);
        }
        let p = self.handed.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: as in `enter`.
        unsafe { p.as_ref() }
    }

    /// Wakes it, with a P for it or without one. Only for the thread that took it off the list
    /// it sleeps on.
    pub(crate) fn wake(&self, p: Option<&'static Processor>) {
        self.handed.store(
            p.map_or(ptr::null_mut(), |p| ptr::from_ref(p).cast_mut()),
            Ordering::Release,
        );
        // Release: pairs with the Acquire in `sleep`.
        self.word.store(WOKEN, Ordering::Release);
        futex::wake(&self.word, 1);
    }

    pub(super) fn is_p_retaken(&self) -> bool {
        self.p_retaken.load(Ordering::Relaxed)
    }

    /// True if its P was retaken because its goroutine computed for long.
    pub(super) fn was_preempted(&self) -> bool {
        self.is_p_retaken() && self.was_hogged()
    }
}
