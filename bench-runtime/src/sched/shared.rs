//! A runtime: what its Ms and Ps share.

use std::io;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
use std::sync::{Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError};

use super::global_queue::GlobalQueue;
use super::hogs::Hogs;
use super::idle::Idle;
use super::job::Helpers;
use super::latency;
use super::lifetime::{GONE, Lifetime};
use super::machine::Machine;
use super::os_threads::{ThreadEnd, ThreadKind, Threads};
use super::poller::Poller;
use super::processor::{Processor, ThisP};
use super::procs::Procs;
use super::settings::{Settings, ShrinkOptions};
use super::sysmon_wait::SysmonWait;
use super::topology::Topology;
use crate::goroutine::{Goroutine, Parkable, Status, slab};
use crate::netpoll::Netpoll;
use crate::recorder::event::{Event, Kind};
use crate::recorder::{NAME_WORDS, Recorder, id_of, site_event};
use crate::stack::Class;
use crate::sys::{affinity, clock};
use crate::util::lock::Lock;
use crate::util::rng::Rng;

/// A count that lies on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counter(AtomicU32);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn sub(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Which scheduler a runtime has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchedulerKind {
    /// [`super::pinned`].
    Pinned,
    /// [`super::migrating`].
    Migrating,
}

/// What its threads and its goroutines run, which imports all below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    /// An M's thread.
    pub(super) machine: fn(&'static Machine) -> ThreadEnd,
    /// The outermost frame of a goroutine's stack.
    pub(super) goroutine: unsafe extern "C" fn(usize) -> !,
}

/// Whether goroutines that have not ended can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RunState {
    Running,
    /// With fake time: not before a thread outside does something.
    Stuck,
    /// Never: the runtime has stopped.
    Stopped,
}

/// What happened since the start, for [`Metrics`](crate::Metrics).
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) wakes_count: AtomicU64,
    pub(crate) retakes_count: AtomicU64,
    pub(crate) hog_retakes_count: AtomicU64,
    pub(crate) rescues_count: AtomicU64,
}

/// A user of a runtime's core, while it lives.
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
pub(super) struct Blocked(&'static Shared);

impl Blocked {
    pub(super) fn begin(shared: &'static Shared) -> Self {
        shared.blocked_count.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.blocked_count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What all Ms and Ps of a runtime share; [`super::lifetime`] says how long.
#[derive(Debug)]
pub(crate) struct Shared {
    lifetime: Lifetime,
    /// Which scheduler it has; asked by [`super::scheduler`] alone.
    pub(super) kind: SchedulerKind,
    /// Something of the high class waits, or the runtime stops.
    pub(crate) attention: Counter,
    /// Ms whose P was retaken, and that have had none since.
    pub(crate) retaken_count: Counter,
    /// Readied goroutines go where idle Ps find them at once.
    pub(crate) eager: AtomicU32,
    /// A P was retaken not long ago.
    pub(crate) hogs_about: AtomicBool,
    pub(super) procs: Procs,
    pub(crate) idle: Idle,
    pub(crate) global: GlobalQueue,
    pub(crate) netpoll: Netpoll,
    /// The M that waits in it.
    pub(super) poller: Poller,
    pub(crate) slab: OnceLock<slab::Slab>,
    /// Records for spawns from outside.
    outside: Lock<slab::Cache>,
    spawned_outside: AtomicU64,
    pub(crate) next_id: AtomicU64,
    pub(super) machines: Lock<Vec<&'static Machine>>,
    threads: Mutex<Threads>,
    pub(super) thread_ended: Condvar,
    pub(super) max_threads: usize,
    pub(crate) helpers: Helpers,
    pub(super) hogs: Hogs,
    default_class: Class,
    pub(crate) shrink_options: ShrinkOptions,
    pub(crate) topology: Topology,
    reads_files: bool,
    pub(crate) sysmon_wait: SysmonWait,
    /// A sequence number, odd while sysmon takes goroutines out of timers or the
    /// netpoller and readies them.
    pub(crate) sysmon_ready_seq: AtomicU64,
    pub(super) stopping: AtomicBool,
    pub(super) cleared_up: Once,
    /// Spawns from outside that are under way.
    pub(super) admitting: AtomicUsize,
    /// Goroutines without a stack whose closures helpers drop.
    pub(super) refusing: AtomicUsize,
    /// Goroutines inside `blocking`.
    pub(crate) blocked_count: AtomicUsize,
    /// Plain threads that wait in `Runtime::run`.
    pub(crate) runners_count: AtomicIsize,
    pub(crate) detects_deadlock: bool,
    pub(super) warns_of_blocked: bool,
    pub(crate) metrics: Counts,
    pub(crate) recorder: Recorder,
    /// Times goroutines that become runnable from outside.
    pub(super) sample: latency::Sample,
    /// The clock, where time is fake.
    pub(super) fake_now_ns: Option<AtomicU64>,
    /// What that clock showed first.
    pub(super) fake_begin_ns: u64,
    /// The goroutines that wait, with fake time, for all others to wait: one that called for
    /// that, and then the main one at its end.
    pub(super) rest: Lock<[Option<Parkable>; 2]>,
    /// Chooses the next goroutine, where the order is seeded.
    pub(crate) order: Option<Lock<Rng>>,
    pub(super) entries: Entries,
    /// Whether goroutines that have not ended can.
    pub(super) run_state: AtomicU8,
}

impl Shared {
    /// A runtime whose threads have not started yet, and the number of its Ps.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    pub(super) fn new(
        settings: &Settings,
        (all_procs, default_class): (Procs, Class),
        entries: Entries,
    ) -> io::Result<&'static Self> {
        let began_ns = clock::now_ns();
        let shared: &'static Self = Box::leak(Box::new(Self {
            // The handle and sysmon.
            lifetime: Lifetime::new(2),
            kind: match settings.migrating {
                true => SchedulerKind::Migrating,
                false => SchedulerKind::Pinned,
            },
            attention: Counter::default(),
            retaken_count: Counter::default(),
            eager: AtomicU32::new(0),
            hogs_about: AtomicBool::new(false),
            procs: all_procs,
            idle: Idle::default(),
            global: GlobalQueue::new(),
            netpoll: Netpoll::new()?,
            poller: Poller::default(),
            slab: OnceLock::new(),
            outside: Lock::new(slab::Cache::new()),
            spawned_outside: AtomicU64::new(0),
            next_id: AtomicU64::new(1),
            machines: Lock::new(Vec::new()),
            threads: Mutex::new(Threads::default()),
            thread_ended: Condvar::new(),
            max_threads: settings.max_threads,
            helpers: Helpers::new(),
            hogs: Hogs::default(),
            default_class,
            shrink_options: settings.shrink_options,
            topology: if settings.reads_files {
                Topology::read(&affinity::cpus())
            } else {
                Topology::flat()
            },
            reads_files: settings.reads_files,
            sysmon_wait: SysmonWait::default(),
            sysmon_ready_seq: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            cleared_up: Once::new(),
            admitting: AtomicUsize::new(0),
            refusing: AtomicUsize::new(0),
            blocked_count: AtomicUsize::new(0),
            runners_count: AtomicIsize::new(0),
            detects_deadlock: settings.detects_deadlock,
            warns_of_blocked: settings.warns_of_blocked && !settings.migrating,
            metrics: Counts::default(),
            recorder: Recorder::new(settings.trace_level()),
            sample: latency::Sample::default(),
            fake_now_ns: settings.fake_time.then(|| AtomicU64::new(began_ns)),
            fake_begin_ns: began_ns,
            rest: Lock::new([None; 2]),
            entries,
            order: settings.seed.map(|seed| Lock::new(Rng::new(seed))),
            run_state: AtomicU8::new(RunState::Running as u8),
        }));
        shared.slab.get_or_init(|| {
            slab::Slab::new(ptr::from_ref(shared).cast(), shared.shrink_options.compact)
        });
        Ok(shared)
    }

    /// The M that holds this P; stale once it is read.
    pub(super) fn owner_of(&self, p: &Processor) -> Option<&'static Machine> {
        self.machines.lock().get(p.owner()?).copied()
    }

    /// A P has begun to run: ends sysmon's deep sleep.
    #[inline]
    pub(crate) fn wake_sysmon(&self) {
        self.sysmon_wait.wake();
    }

    /// Whether the runtime may open files to look at the host.
    pub(super) fn reads_files(&self) -> bool {
        self.reads_files
    }

    /// How many goroutines wait for a descriptor, in whichever poller.
    pub(crate) fn fd_waiters_count(&'static self) -> usize {
        let own = |m: &&'static Machine| m.own_netpoll().map_or(0, Netpoll::waiters_count);
        let machines: usize = self.machines.lock().iter().map(own).sum();
        machines + self.netpoll.waiters_count()
    }

    /// True from the moment a shutdown begins.
    #[inline(always)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The clock of this runtime.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.fake_now_ns {
            None => clock::now_ns(),
            Some(now) => now.load(Ordering::Acquire),
        }
    }

    /// True where time or order are a test's.
    #[inline(always)]
    pub(crate) fn is_test(&self) -> bool {
        self.fake_now_ns.is_some() || self.order.is_some()
    }

    /// Counts the caller as a user.
    pub(crate) fn user(&'static self) -> User {
        // Relaxed: by the rule of the module the core is there now, and the thread that
        // frees it synchronises with the end of each use.
        self.lifetime.users.fetch_add(1, Ordering::Relaxed);
        User(self)
    }

    /// The end of a use that was counted. Nothing of the runtime is touched
    /// by the caller after it.
    pub(crate) fn release(this: &'static Self) {
        let users = &this.lifetime.users;
        let mut count = users.load(Ordering::Acquire);
        loop {
            let frees = count == 1 && this.nobody_can_come();
            let next = if frees { GONE } else { count - 1 };
            // AcqRel: what any user did comes before the freeing.
            match users.compare_exchange_weak(count, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if frees => break,
                Ok(_) => return,
                Err(now) => count = now,
            }
        }
        // SAFETY: no user is left and no record is in use, so by the rule of
        // the module no thread comes.
        unsafe { free(ptr::from_ref(this).cast_mut()) };
    }

    /// For the last user: true if all is given back and no record is in use.
    fn nobody_can_come(&'static self) -> bool {
        if !self.cleared_up.is_completed() || self.lifetime.in_use.load(Ordering::Relaxed) > 1 {
            return false;
        }
        let mut in_use = 0;
        self.slab()
            .for_each(|g| in_use += usize::from(g.status() != Status::Idle));
        // Half of them: it need not be exact, but must not stay too high.
        self.lifetime.in_use.store(in_use / 2, Ordering::Relaxed);
        // Acquire: pairs with the Release of `given_back`; a thread that gave a record
        // back and is still here is seen in `users`.
        fence(Ordering::Acquire);
        in_use == 0
    }

    /// A user from outside is about to give a record back.
    pub(super) fn gives_back(&self) {
        let in_use = &self.lifetime.in_use;
        let count = in_use.load(Ordering::Relaxed);
        if count != 0 {
            in_use.store(count - 1, Ordering::Relaxed);
        }
        // Release: it counts as a user before the record is seen to be idle.
        fence(Ordering::Release);
    }

    /// The slab of this runtime's records.
    #[inline(always)]
    pub(crate) fn slab(&'static self) -> &'static slab::Slab {
        match self.slab.get() {
            Some(slab) => slab,
            None => crate::fatal::fatal!("a runtime without a slab"),
        }
    }

    /// The kind of stack a goroutine runs on.
    #[inline(always)]
    pub(crate) fn stack_class(&self, g: &Goroutine) -> Class {
        match g.details() {
            None => self.default_class,
            Some(details) => details.class().unwrap_or(self.default_class),
        }
    }

    /// Takes back the record of a goroutine that is over, from an M with a P.
    #[inline(always)]
    pub(crate) fn recycle(&'static self, p: ThisP, g: &'static Goroutine) {
        g.drop_details();
        g.set_status(Status::Idle);
        p.put_record(self.slab(), g);
    }

    /// As [`Self::recycle`], from anywhere.
    pub(crate) fn recycle_outside(&'static self, g: &'static Goroutine) {
        let _user = self.user();
        g.drop_details();
        self.gives_back();
        g.set_status(Status::Idle);
        self.slab().put(g);
    }

    /// An unused record, for a thread without a P.
    pub(crate) fn take_record_outside(&'static self) -> &'static Goroutine {
        self.spawned_outside.fetch_add(1, Ordering::Relaxed);
        self.outside.lock().take(self.slab())
    }

    /// The records of those that have not ended, as far as they can be seen.
    pub(super) fn records_in_use(&'static self) -> Vec<&'static Goroutine> {
        let mut all = Vec::new();
        self.slab().for_each(|g| {
            if !matches!(g.status(), Status::Idle | Status::Dead) {
                all.push(g);
            }
        });
        all
    }

    /// Goroutines that have not ended.
    pub(crate) fn goroutines_count(&'static self) -> usize {
        let mut ended = 0u64;
        let mut spawned = self.spawned_outside.load(Ordering::Relaxed);
        // Ends first, so that the difference never falls below the truth.
        self.for_each_processor(|p| ended += p.ended_count.load(Ordering::Acquire));
        self.for_each_processor(|p| spawned += p.spawned_count.load(Ordering::Acquire));
        usize::try_from(spawned.saturating_sub(ended)).unwrap_or(0)
    }

    /// GOMAXPROCS.
    #[inline(always)]
    pub(crate) fn procs(&self) -> usize {
        self.procs.number()
    }

    /// True while GOMAXPROCS follows the host.
    pub(crate) fn procs_follow_host(&self) -> bool {
        self.procs.follow_host()
    }

    /// A P by its number.
    pub(crate) fn processor(&'static self, index: usize) -> Option<&'static Processor> {
        self.procs.get(index)
    }

    /// The P that always exists.
    pub(crate) fn first_processor(&'static self) -> &'static Processor {
        match self.processor(0) {
            Some(p) => p,
            None => crate::fatal::fatal!("a runtime without a P"),
        }
    }

    /// Every P that was ever made, dead ones too: they may have timers.
    pub(crate) fn for_each_processor(&'static self, mut f: impl FnMut(&'static Processor)) {
        for index in 0..self.procs.made_count() {
            if let Some(p) = self.processor(index) {
                f(p);
            }
        }
    }

    /// The earliest timer of all Ps.
    pub(crate) fn first_timer_ns(&'static self) -> u64 {
        let mut first = u64::MAX;
        self.for_each_processor(|p| first = first.min(p.timers.next_ns()));
        first
    }

    /// Whether goroutines that have not ended can.
    #[inline]
    pub(crate) fn run_state(&self) -> RunState {
        // SeqCst: see `spawn::wait_for`.
        match self.run_state.load(Ordering::SeqCst) {
            0 => RunState::Running,
            1 => RunState::Stuck,
            _ => RunState::Stopped,
        }
    }

    pub(super) fn change_run_state(&self, from: RunState, to: RunState) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.run_state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    pub(super) fn lock_threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ms whose thread runs.
    pub(crate) fn machines_count(&self) -> usize {
        self.lock_threads().machines
    }

    /// Ms and helpers whose thread runs.
    pub(crate) fn threads_count(&self) -> usize {
        self.lock_threads().all()
    }

    /// How many goroutines may run on without a P at once: each has a thread,
    /// and the rest of them is for calls that say that they block.
    pub(super) fn max_hogs(&self) -> usize {
        (self.max_threads / 2).max(1)
    }

    /// The last act of a thread of the runtime.
    pub(crate) fn thread_ends(&'static self, kind: ThreadKind) {
        // Notified under the lock, so that no waiter misses it.
        let mut threads = self.lock_threads();
        *threads.of(kind) -= 1;
        self.thread_ended.notify_all();
        drop(threads);
    }

    /// A goroutine was spawned from outside; no other thread knows of it yet.
    pub(super) fn note_spawn_outside(&self, g: &'static Goroutine) {
        if self.recorder.watch() == 0 {
            return;
        }
        let ring = self.recorder.others.lock();
        let at_ns = clock::now_ns();
        ring.push(Event::new(at_ns, Kind::Spawn, id_of(g), 0).pack());
        if let Some(site) = g.site() {
            ring.push(site_event(at_ns, site).pack());
        }
        let text = g.details().and_then(|details| details.text());
        for eight in text
            .unwrap_or_default()
            .as_bytes()
            .chunks(8)
            .take(NAME_WORDS)
        {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            let word = u64::from_le_bytes(word);
            let kind = Kind::Name;
            ring.push(Event { at_ns, kind, word }.pack());
        }
    }

    /// A goroutine became runnable without a P, and is in no queue yet.
    pub(super) fn note_ready_outside(&self, g: &'static Goroutine) {
        self.sample.begin(g);
        if self.recorder.watch() != 0 {
            self.record(Kind::Ready, id_of(g), 0);
        }
    }

    /// Records an event that no P's holder does.
    #[cold]
    pub(crate) fn record(&self, kind: Kind, subject: u64, detail: u64) {
        // Under the lock, so that the ring is in the order of time.
        let ring = self.recorder.others.lock();
        ring.push(Event::new(clock::now_ns(), kind, subject, detail).pack());
    }

    /// Records that a P was retaken from `m`; the caller holds the P, and did not
    /// yet at `before_ns`. That time stands, or the last thing that `m` did
    /// there: later `m` may have another P, and it has only one at a time.
    pub(super) fn record_retake(&self, p: &Processor, m: &Machine, before_ns: u64) {
        let hog = m.current_goroutine().map_or(0, id_of);
        let last = p.ring.last().and_then(Event::unpack);
        let at_ns = last.map_or(before_ns, |last| last.at_ns.max(before_ns));
        p.record_at(Event::new(at_ns, Kind::Retake, hog, m.id as u64));
    }
}

/// Frees a runtime's core, its Ms and its Ps, and lets other runtimes have its
/// records.
///
/// # Safety
///
/// None of them is in use, now or later.
unsafe fn free(shared: *mut Shared) {
    // SAFETY: made by `Box::leak` in `start`, and not in use by the promise.
    let shared = unsafe { Box::from_raw(shared) };
    if let Some(slab) = shared.slab.get() {
        // SAFETY: every record is on a free list, and by the promise none is
        // taken any more.
        unsafe { slab.retire() };
    }
    for m in shared.machines.lock().drain(..) {
        // SAFETY: made by `Box::leak` in `new_machine`; its thread has ended.
        drop(unsafe { Box::from_raw(ptr::from_ref::<Machine>(m).cast_mut()) });
    }
}
