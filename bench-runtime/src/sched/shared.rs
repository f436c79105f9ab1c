//! The state that all Ms and Ps of a runtime share.

use std::io;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
};
use std::sync::{Once, OnceLock};

use super::global_queue::GlobalQueue;
use super::idle::Idle;
use super::job::Helpers;
use super::lifetime::{GONE, Lifetime};
use super::machine::Machine;
use super::poller::Poller;
use super::processor::{Processor, ThisP};
use super::procs::Procs;
use super::settings::Settings;
use super::sites::Sites;
use crate::goroutine::fake_clock::FakeClock;
use crate::goroutine::{Goroutine, Status, slab};
use crate::netpoll::Netpoll;
use crate::recorder::event::{Event, Kind};
use crate::recorder::{Recorder, id_of};
use crate::stack::Class;
use crate::sys::thread::State;
use crate::sys::topology::Topology;
use crate::sys::{affinity, clock};
use crate::threads::ThreadEnd;
use crate::threads::count::{ThreadKind, Threads};
use crate::util::counter::Counter;
use crate::util::lock::Lock;
use crate::util::rng::Rng;
use crate::util::sleep_while::SleepWhile;

/// Functions of files that this file cannot import.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    pub(crate) machine: fn(&'static Machine) -> ThreadEnd,
    pub(crate) goroutine: unsafe extern "C" fn(usize) -> !,
    /// Called by an M that has found nothing to run; true if it must look again.
    pub(crate) on_idle: fn(&'static Shared) -> bool,
    /// Called by an M that is about to sleep.
    pub(crate) on_rest: fn(&'static Shared),
    pub(crate) thread_ends: fn(&'static Shared, ThreadKind),
}

/// Whether the goroutines that have not ended can still end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RunState {
    Running,
    /// Only with fake time: they can end only after an outside thread acts.
    Stuck,
    Stopped,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) wakes_count: AtomicU64,
    pub(crate) retakes_count: AtomicU64,
    pub(crate) hog_retakes_count: AtomicU64,
    pub(crate) rescues_count: AtomicU64,
}

/// Counts as a user of a runtime's core while it lives.
#[derive(Debug)]
pub(crate) struct User(&'static Shared);

impl User {
    pub(crate) fn shared(&self) -> &'static Shared {
        self.0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        Shared::release(self.0);
    }
}

/// Counts a goroutine as blocked while it lives.
pub(crate) struct Blocked(&'static Shared);

impl Blocked {
    pub(crate) fn begin(shared: &'static Shared) -> Self {
        shared.blocked_count.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.blocked_count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// While it lives, a thread that is no M may queue goroutines that have not started. A shutdown
/// waits for its end before it drops such goroutines.
pub(super) struct Admission(&'static Shared);

impl Admission {
    /// `None` if the runtime stops.
    pub(super) fn begin(shared: &'static Shared) -> Option<Self> {
        // SeqCst: before the load below. A shutdown first stores `stopping`, then loads this.
        shared.admissions_count.fetch_add(1, Ordering::SeqCst);
        let admission = Self(shared);
        (!shared.stopping.load(Ordering::SeqCst)).then_some(admission)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        // Release: pairs with the load in `is_admitting`.
        self.0.admissions_count.fetch_sub(1, Ordering::Release);
    }
}

/// How long it lives: [`super::lifetime`].
#[derive(Debug)]
pub(crate) struct Shared {
    lifetime: Lifetime,
    /// How many goroutines of the high class wait, and one more once the runtime stops.
    pub(crate) attention: Counter,
    /// Ms whose P was retaken, and that have had none since.
    pub(crate) retaken_count: Counter,
    /// See [`super::migrating`].
    pub(super) eager: AtomicBool,
    /// A P was retaken from a hog not long ago.
    pub(super) has_recent_hog: AtomicBool,
    pub(super) procs: Procs,
    pub(crate) idle: Idle,
    pub(crate) global: GlobalQueue,
    pub(crate) netpoll: Netpoll,
    pub(crate) poller: Poller,
    slab: OnceLock<slab::Slab>,
    outside: Lock<slab::Cache>,
    spawned_outside: AtomicU64,
    pub(super) next_id: AtomicU64,
    pub(super) machines: Lock<Vec<&'static Machine>>,
    pub(crate) threads: Threads,
    pub(crate) helpers: Helpers,
    pub(crate) sites: Sites,
    default_class: Class,
    pub(crate) settings: Settings,
    pub(super) topology: Topology,
    pub(crate) sysmon_wait: SleepWhile,
    /// Odd while sysmon takes goroutines out of timers or the netpoller and readies them.
    pub(crate) sysmon_ready_seq: AtomicU64,
    stopping: AtomicBool,
    cleared_up: Once,
    admissions_count: AtomicUsize,
    /// Goroutines without a stack whose closures helpers drop.
    pub(super) refused_count: AtomicUsize,
    blocked_count: AtomicUsize,
    /// Plain threads that wait in `Runtime::run`.
    pub(crate) runners_count: AtomicIsize,
    pub(crate) metrics: Counts,
    pub(crate) recorder: Recorder,
    pub(crate) fake_clock: Option<FakeClock>,
    /// Chooses the next goroutine, if the order is seeded.
    pub(super) order: Option<Lock<Rng>>,
    pub(super) entries: Entries,
    /// A [`RunState`].
    run_state: AtomicU8,
}

impl Shared {
    pub(crate) fn new(
        settings: &Settings,
        (all_procs, default_class): (Procs, Class),
        entries: Entries,
    ) -> io::Result<&'static Self> {
        let shared: &'static Self = Box::leak(Box::new(Self {
            lifetime: Lifetime::default(),
            attention: Counter::default(),
            retaken_count: Counter::default(),
            eager: AtomicBool::new(false),
            has_recent_hog: AtomicBool::new(false),
            procs: all_procs,
            idle: Idle::default(),
            global: GlobalQueue::default(),
            netpoll: Netpoll::new()?,
            poller: Poller::default(),
            slab: OnceLock::new(),
            outside: Lock::new(slab::Cache::new()),
            spawned_outside: AtomicU64::new(0),
            next_id: AtomicU64::new(1),
            machines: Lock::new(Vec::new()),
            threads: Threads::new(settings.max_threads),
            helpers: Helpers::new(),
            sites: Sites::default(),
            default_class,
            settings: settings.clone(),
            topology: if settings.reads_files {
                Topology::read(&affinity::cpus())
            } else {
                Topology::flat()
            },
            sysmon_wait: SleepWhile::default(),
            sysmon_ready_seq: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            cleared_up: Once::new(),
            admissions_count: AtomicUsize::new(0),
            refused_count: AtomicUsize::new(0),
            blocked_count: AtomicUsize::new(0),
            runners_count: AtomicIsize::new(0),
            metrics: Counts::default(),
            recorder: Recorder::new(settings.trace_level()),
            fake_clock: (settings.fake_time).then(|| FakeClock::new(clock::now_ns())),
            entries,
            order: settings.seed.map(|seed| Lock::new(Rng::new(seed))),
            run_state: AtomicU8::new(RunState::Running as u8),
        }));
        // The first users are the handle and sysmon.
        shared.lifetime.users.store(2, Ordering::Relaxed);
        shared.slab.get_or_init(|| {
            slab::Slab::new(
                ptr::from_ref(shared).cast(),
                shared.settings.shrink_options.compact,
            )
        });
        Ok(shared)
    }

    /// The M that holds this P, or held it just before.
    pub(crate) fn owner_of(&self, p: &Processor) -> Option<&'static Machine> {
        self.machines.lock().get(p.owner()?).copied()
    }

    /// What the kernel says of the thread of this M.
    pub(crate) fn thread_state_of(&self, m: &Machine) -> State {
        match self.settings.reads_files {
            true => m.thread_state(),
            false => State::Unknown,
        }
    }

    pub(crate) fn fd_waiters_count(&'static self) -> usize {
        let own = |m: &&'static Machine| m.own_netpoll().map_or(0, Netpoll::waiters_count);
        let machines: usize = self.machines.lock().iter().map(own).sum();
        machines + self.netpoll.waiters_count()
    }

    #[inline(always)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn begin_stop(&self) -> bool {
        // SeqCst: see `Admission`.
        !self.stopping.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn is_admitting(&self) -> bool {
        self.admissions_count.load(Ordering::SeqCst) != 0
    }

    /// The end of a shutdown: `f` releases all resources. Only the first call calls `f`; other
    /// calls wait for its end.
    pub(crate) fn clear_up(&self, f: impl FnOnce()) {
        self.cleared_up.call_once(f);
    }

    pub(crate) fn has_blocked(&self) -> bool {
        self.blocked_count.load(Ordering::SeqCst) != 0
    }

    /// Includes Ms that have ended.
    pub(crate) fn machines(&self) -> Vec<&'static Machine> {
        self.machines.lock().clone()
    }

    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        (self.fake_clock.as_ref()).map_or_else(clock::now_ns, FakeClock::now_ns)
    }

    #[inline(always)]
    pub(crate) fn is_test(&self) -> bool {
        self.fake_clock.is_some() || self.order.is_some()
    }

    pub(crate) fn user(&'static self) -> User {
        // Relaxed: the core exists now, and the thread that frees it synchronises with the end of
        // each use.
        self.lifetime.users.fetch_add(1, Ordering::Relaxed);
        User(self)
    }

    /// The caller touches nothing of the runtime afterwards.
    pub(crate) fn release(this: &'static Self) {
        let users = &this.lifetime.users;
        let mut count = users.load(Ordering::Acquire);
        loop {
            let frees = count == 1 && this.can_be_freed();
            let next = if frees { GONE } else { count - 1 };
            // AcqRel: every user's writes come before the freeing.
            match users.compare_exchange_weak(count, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if frees => break,
                Ok(_) => return,
                Err(now) => count = now,
            }
        }
        // SAFETY: no user is left and no record is in use, so by the rule of `lifetime` no thread
        // comes.
        unsafe { free(ptr::from_ref(this).cast_mut()) };
    }

    /// For the last user: true if the runtime's resources are released and no record is in use.
    fn can_be_freed(&'static self) -> bool {
        if !self.cleared_up.is_completed() || self.lifetime.in_use.load(Ordering::Relaxed) > 1 {
            return false;
        }
        let mut in_use = 0;
        self.slab()
            .for_each(|g| in_use += usize::from(g.status() != Status::Idle));
        // Only half of the number is stored: updates may be lost, and a number that stays too high
        // would keep the core for ever.
        self.lifetime.in_use.store(in_use / 2, Ordering::Relaxed);
        // Acquire: pairs with the Release of `before_release`. A thread that released a record and
        // still uses the core is counted in `users`.
        fence(Ordering::Acquire);
        in_use == 0
    }

    /// Before an outside user releases a record.
    pub(super) fn before_release(&self) {
        let in_use = &self.lifetime.in_use;
        let count = in_use.load(Ordering::Relaxed);
        if count != 0 {
            in_use.store(count - 1, Ordering::Relaxed);
        }
        // Release: a thread that sees the record idle also sees this user counted.
        fence(Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn slab(&'static self) -> &'static slab::Slab {
        match self.slab.get() {
            Some(slab) => slab,
            None => crate::fatal::fatal!("a runtime without a slab"),
        }
    }

    #[inline(always)]
    pub(crate) fn stack_class(&self, g: &Goroutine) -> Class {
        match g.details() {
            None => self.default_class,
            Some(details) => details.class().unwrap_or(self.default_class),
        }
    }

    #[inline(always)]
    pub(crate) fn recycle(&'static self, p: ThisP, g: &'static Goroutine) {
        g.drop_details();
        g.set_status(Status::Idle);
        p.put_record(self.slab(), g);
    }

    pub(crate) fn recycle_outside(&'static self, g: &'static Goroutine) {
        let _user = self.user();
        g.drop_details();
        self.before_release();
        g.set_status(Status::Idle);
        self.slab().put(g);
    }

    /// For a thread without a P.
    pub(crate) fn take_record_outside(&'static self) -> &'static Goroutine {
        self.spawned_outside.fetch_add(1, Ordering::Relaxed);
        self.outside.lock().take(self.slab())
    }

    pub(crate) fn goroutines_count(&'static self) -> usize {
        let sum = |count: fn(&Processor) -> &AtomicU64| -> u64 {
            let counts = self.processors().map(count);
            counts.map(|count| count.load(Ordering::Acquire)).sum()
        };
        // The ends are read first, so the difference is never below the true number.
        let ended = sum(|p| &p.ended_count);
        let outside = self.spawned_outside.load(Ordering::Relaxed);
        let spawned = outside + sum(|p| &p.spawned_count);
        spawned.saturating_sub(ended) as usize
    }

    #[inline(always)]
    pub(crate) fn procs(&self) -> usize {
        self.procs.number()
    }

    /// Includes dead Ps: they may have timers.
    pub(crate) fn processors(&'static self) -> impl Iterator<Item = &'static Processor> {
        (0..self.procs.made_count()).filter_map(|index| self.procs.get(index))
    }

    pub(crate) fn first_timer_ns(&'static self) -> u64 {
        let mut first = u64::MAX;
        self.procs
            .for_each_timed(|p| first = first.min(p.timers.next_ns()));
        first
    }

    /// `u64::MAX` means that there is no timer.
    pub(super) fn is_due(&self, timer_ns: u64) -> bool {
        timer_ns != u64::MAX && timer_ns <= self.now_ns()
    }

    #[inline]
    pub(crate) fn run_state(&self) -> RunState {
        // SeqCst: see `join::wait_for`.
        match self.run_state.load(Ordering::SeqCst) {
            0 => RunState::Running,
            1 => RunState::Stuck,
            _ => RunState::Stopped,
        }
    }

    pub(crate) fn set_stopped(&self) {
        self.run_state
            .store(RunState::Stopped as u8, Ordering::SeqCst);
    }

    pub(crate) fn change_run_state(&self, from: RunState, to: RunState) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.run_state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Records that a P was retaken from `m`, which held it at `before_ns`. The event has that
    /// time, or the time of the P's last event: with a later one `m` could seem to have two Ps.
    pub(super) fn record_retake(&self, p: &Processor, m: &Machine, before_ns: u64) {
        let hog = m.current_goroutine().map_or(0, id_of);
        let last = p.recorder.ring.last().and_then(Event::unpack);
        let at_ns = last.map_or(before_ns, |last| last.at_ns.max(before_ns));
        p.recorder
            .record_at(Event::new(at_ns, Kind::Retake, hog, m.id as u64));
    }
}

/// Frees a runtime's core, its Ms and its Ps, and makes its records available to other runtimes.
///
/// # Safety
///
/// None of them is in use, now or later.
unsafe fn free(shared: *mut Shared) {
    // SAFETY: made by `Box::leak` in `Shared::new`, and not in use by the promise.
    let shared = unsafe { Box::from_raw(shared) };
    if let Some(slab) = shared.slab.get() {
        // SAFETY: every record is on a free list, and by the promise none is taken any more.
        unsafe { slab.retire() };
    }
    for m in shared.machines.lock().drain(..) {
        // SAFETY: made by `Box::leak` in `new_machine`; its thread has ended.
        drop(unsafe { Box::from_raw(ptr::from_ref::<Machine>(m).cast_mut()) });
    }
}
