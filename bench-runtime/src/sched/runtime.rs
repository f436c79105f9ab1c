//! A runtime: what its Ms and Ps share, how it starts, changes size and stops.

use std::io;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::api::Metrics;
use super::blocking::Blocked;
use super::builder::Builder;
use super::global_queue::{GlobalClass, GlobalQueue, Priority};
use super::helpers::{Helpers, Job};
use super::hogs::Hogs;
use super::idle::{Idle, Lists};
use super::latency;
use super::lifetime::Lifetime;
use super::machine::Machine;
use super::processor::{Processor, ProcessorStatus};
use super::run_loop::machine_main;
use super::shutdown::Outlook;
use super::spawn;
use super::stacks::StackCare;
use super::sysmon::Bed;
use super::topology::Topology;
use super::trace::{Recorder, event::Kind};
use crate::goroutine::{Goroutine, JOIN_OPEN, List, Parkable, Status, slab};
use crate::netpoll::Netpoll;
use crate::stack::{Class, StackError};
use crate::sys::{affinity, barrier, cgroup, clock};
use crate::util::lock::Lock;
use crate::util::rng::Rng;

/// GOMAXPROCS is at most this.
const MAX_PROCS: usize = 4096;

/// Threads a runtime may have, unless the builder says otherwise: Go's figure.
pub(super) const MAX_THREADS: usize = 10_000;

/// Stack of an M's own thread: the scheduler's loop and timer callbacks.
const HOME_STACK: usize = 256 * 1024;

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

/// Threads of a runtime that have not ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Threads {
    machines: usize,
    helpers: usize,
}

impl Threads {
    /// Those that run the program's code.
    pub(super) fn all(self) -> usize {
        self.machines + self.helpers
    }

    fn of(&mut self, kind: ThreadKind) -> &mut usize {
        match kind {
            ThreadKind::Machine => &mut self.machines,
            ThreadKind::Helper => &mut self.helpers,
        }
    }
}

/// What a thread of a runtime is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ThreadKind {
    Machine,
    Helper,
}

/// What happened since the start, for [`Metrics`].
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) wakes_count: AtomicU64,
    pub(crate) retakes_count: AtomicU64,
    pub(crate) hog_retakes_count: AtomicU64,
    pub(crate) rescues_count: AtomicU64,
}

/// What all Ms and Ps of a runtime share; [`super::lifetime`] says how long.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) lifetime: Lifetime,
    /// Started goroutines stay with their M.
    pub(crate) pinned: bool,
    /// Something of the high class waits, or the runtime stops.
    pub(crate) attention: Counter,
    /// Ms whose P was retaken and that have none since.
    pub(crate) robbed: Counter,
    /// Readied goroutines go where idle Ps find them at once.
    pub(crate) eager: AtomicU32,
    /// A P was retaken not long ago.
    pub(crate) hogs_about: AtomicBool,
    procs: AtomicUsize,
    processors: Box<[OnceLock<Box<Processor>>]>,
    /// Ps that exist: all below this index.
    processors_made: AtomicUsize,
    pub(crate) idle: Idle,
    pub(crate) global: GlobalQueue,
    pub(crate) netpoll: Netpoll,
    /// The M that waits in the netpoller.
    pub(crate) poller: AtomicPtr<Machine>,
    /// Until when; 0 while nobody does.
    pub(crate) poll_until_ns: AtomicU64,
    pub(crate) last_poll_ns: AtomicU64,
    /// The poller's buffer, kept for its memory.
    pub(crate) polled: Lock<Vec<Parkable>>,
    pub(crate) slab: OnceLock<slab::Slab>,
    /// Records for those who spawn from outside.
    outside: Lock<slab::Cache>,
    spawned_outside: AtomicU64,
    pub(crate) next_id: AtomicU64,
    pub(super) machines: Lock<Vec<&'static Machine>>,
    threads: Mutex<Threads>,
    pub(super) thread_ended: Condvar,
    max_threads: usize,
    pub(crate) helpers: Helpers,
    pub(super) hogs: Hogs,
    default_class: Class,
    pub(crate) stack_care: StackCare,
    pub(crate) topology: Topology,
    /// GOMAXPROCS was set by hand or by the environment.
    procs_fixed: AtomicBool,
    reads_files: bool,
    resize: Lock<()>,
    pub(crate) bed: Bed,
    /// Odd while sysmon takes goroutines out of timers or the netpoller and
    /// readies them.
    pub(crate) sysmon_errands: AtomicU64,
    pub(super) stopping: AtomicBool,
    pub(super) cleared_up: AtomicBool,
    /// Spawns from outside that are under way.
    pub(super) admitting: AtomicUsize,
    /// Goroutines inside `blocking`.
    pub(crate) blocked_count: AtomicUsize,
    /// Plain threads that wait in `Runtime::run`.
    pub(crate) runners_count: AtomicIsize,
    pub(crate) detects_deadlock: bool,
    pub(crate) metrics: Counts,
    pub(crate) recorder: Recorder,
    /// Times goroutines that become runnable from outside.
    pub(super) sample: latency::Sample,
    /// The clock, where time is fake.
    fake_now_ns: Option<AtomicU64>,
    /// Chooses the next goroutine, where the order is seeded.
    pub(crate) order: Option<Lock<Rng>>,
    /// Whether goroutines that have not ended can.
    pub(super) outlook: AtomicU8,
}

fn stack_error(error: StackError) -> io::Error {
    io::Error::other(error)
}

impl Shared {
    pub(super) fn start(builder: Builder) -> io::Result<&'static Self> {
        barrier::register();
        let cpus = affinity::cpus();
        let by_environment = std::env::var("GOMAXPROCS")
            .ok()
            .and_then(|v| v.trim().parse::<usize>().ok());
        let by_hand = builder.procs.or(by_environment.filter(|&n| n > 0));
        let procs = match by_hand {
            Some(procs) => procs,
            None => cgroup::procs_for(
                cpus.len(),
                builder.reads_files.then(cgroup::cpu_quota).flatten(),
            ),
        };
        if !(1..=MAX_PROCS).contains(&procs) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("GOMAXPROCS must be 1 to {MAX_PROCS}, not {procs}"),
            ));
        }
        let default_class = Class::for_policy(builder.stack).map_err(stack_error)?;
        if builder.stack_care.compact {
            crate::stack::compact::enable().map_err(io::Error::other)?;
        }
        let shared: &'static Self = Box::leak(Box::new(Self {
            // The handle and sysmon.
            lifetime: Lifetime::new(2),
            pinned: !builder.migrating,
            attention: Counter::default(),
            robbed: Counter::default(),
            eager: AtomicU32::new(0),
            hogs_about: AtomicBool::new(false),
            procs: AtomicUsize::new(0),
            processors: (0..MAX_PROCS).map(|_| OnceLock::new()).collect(),
            processors_made: AtomicUsize::new(0),
            idle: Idle::default(),
            global: GlobalQueue::new(),
            netpoll: Netpoll::new()?,
            poller: AtomicPtr::new(ptr::null_mut()),
            poll_until_ns: AtomicU64::new(0),
            last_poll_ns: AtomicU64::new(0),
            polled: Lock::new(Vec::new()),
            slab: OnceLock::new(),
            outside: Lock::new(slab::Cache::new()),
            spawned_outside: AtomicU64::new(0),
            next_id: AtomicU64::new(1),
            machines: Lock::new(Vec::new()),
            threads: Mutex::new(Threads::default()),
            thread_ended: Condvar::new(),
            max_threads: builder.max_threads,
            helpers: Helpers::new(),
            hogs: Hogs::default(),
            default_class,
            stack_care: builder.stack_care,
            topology: if builder.reads_files {
                Topology::read(&cpus)
            } else {
                Topology::flat()
            },
            procs_fixed: AtomicBool::new(by_hand.is_some()),
            reads_files: builder.reads_files,
            resize: Lock::new(()),
            bed: Bed::default(),
            sysmon_errands: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            cleared_up: AtomicBool::new(false),
            admitting: AtomicUsize::new(0),
            blocked_count: AtomicUsize::new(0),
            runners_count: AtomicIsize::new(0),
            detects_deadlock: builder.detects_deadlock,
            metrics: Counts::default(),
            recorder: Recorder::new(builder.trace_level()),
            sample: latency::Sample::default(),
            fake_now_ns: builder.fake_time.then(|| AtomicU64::new(clock::now_ns())),
            order: builder.seed.map(|seed| Lock::new(Rng::new(seed))),
            outlook: AtomicU8::new(Outlook::Open as u8),
        }));
        shared.slab.get_or_init(|| {
            slab::Slab::new(ptr::from_ref(shared).cast(), shared.stack_care.compact)
        });
        crate::stack::overflow::describe_with(super::dump::describe_in_signal_handler);
        super::stacks::install();
        if builder.dumps_on_quit {
            super::dump::dump_on_quit(shared)?;
        }
        shared.resize_to(procs);
        std::thread::Builder::new()
            .name("sysmon".into())
            .stack_size(HOME_STACK)
            .spawn(move || {
                shared.sysmon();
                Self::release(shared);
            })?;
        Ok(shared)
    }

    /// GOMAXPROCS.
    #[inline(always)]
    pub(crate) fn procs(&self) -> usize {
        self.procs.load(Ordering::Relaxed)
    }

    /// Whether the runtime may open files to look at the host.
    pub(super) fn reads_files(&self) -> bool {
        self.reads_files
    }

    /// True while GOMAXPROCS follows the host.
    pub(crate) fn procs_follow_host(&self) -> bool {
        !self.procs_fixed.load(Ordering::Relaxed)
    }

    /// Reads the host's limits again.
    pub(crate) fn follow_host(&'static self) {
        let quota = self.reads_files.then(cgroup::cpu_quota).flatten();
        let procs = cgroup::procs_for(affinity::cpus().len(), quota).min(MAX_PROCS);
        if procs != self.procs() && self.procs_follow_host() {
            self.resize_to(procs);
        }
    }

    pub(crate) fn set_procs_by_hand(&'static self, procs: usize) -> usize {
        assert!(
            (1..=MAX_PROCS).contains(&procs),
            "GOMAXPROCS must be 1 to {MAX_PROCS}, not {procs}"
        );
        self.procs_fixed.store(true, Ordering::Relaxed);
        self.resize_to(procs)
    }

    /// Changes the number of Ps. New ones are idle at once; those that are too
    /// many are retired by whoever holds them, at the next pick.
    fn resize_to(&'static self, procs: usize) -> usize {
        let _resize = self.resize.lock();
        self.record(Kind::Procs, procs as u64, 0);
        let old = self.procs.swap(procs, Ordering::SeqCst);
        for index in 0..procs {
            let p: &'static Processor =
                self.processors[index].get_or_init(|| Box::new(Processor::new(index)));
            self.processors_made.fetch_max(index + 1, Ordering::AcqRel);
            let mut lists = self.idle.lock();
            if p.status() == ProcessorStatus::Dead {
                self.idle.release(&mut lists, p);
            }
        }
        for index in procs..self.processors_made.load(Ordering::Acquire) {
            let Some(p) = self.processor(index) else {
                continue;
            };
            let withdrawn = self.idle.withdraw(&mut self.idle.lock(), p);
            if withdrawn {
                self.retire(p);
            }
        }
        // The others look at their own number, and at whether they are alone.
        // Release: pairs with the Acquire in `find_runnable`, so that who sees
        // the notice sees the number.
        self.for_each_processor(|p| p.notice.store(true, Ordering::Release));
        if procs > old {
            // Work that was queued while there was no P for it wakes nobody:
            // it waits in a busy P's queue as well as in the global one.
            barrier::heavy();
            self.wake_one();
        }
        old
    }

    /// A P by its number.
    pub(crate) fn processor(&'static self, index: usize) -> Option<&'static Processor> {
        self.processors.get(index)?.get().map(|p| &**p)
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
        for index in 0..self.processors_made.load(Ordering::Acquire) {
            if let Some(p) = self.processor(index) {
                f(p);
            }
        }
    }

    /// The holder answers a notice: false if the P was retired.
    pub(crate) fn tend(&'static self, m: &'static Machine, p: &'static Processor) -> bool {
        if p.id >= self.procs() {
            m.set_p(None);
            self.retire(p);
            return false;
        }
        // Under the lock, so that no P comes alive between the look at the
        // others and the change: it could steal by compare-exchange while we
        // pop by plain stores.
        p.follow_level(&self.recorder);
        let lists = self.idle.lock();
        let mut alone = self.procs() == 1;
        self.for_each_processor(|other| {
            alone &= ptr::eq(other, p) || other.status() == ProcessorStatus::Dead;
        });
        p.queue.set_shared(!alone);
        drop(lists);
        if self.procs() == 1 && !alone {
            // Look again when the others are gone.
            p.notice.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Empties a P that the caller holds and lays it down. Its timers stay:
    /// every M looks at them.
    fn retire(&'static self, p: &'static Processor) {
        let mut batch = List::new();
        let next = p.run_next.swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: records are type-stable, and the caller holds P, so that
        // nobody else touches its own part.
        unsafe {
            if let Some(next) = next.as_ref() {
                batch.push(next);
            }
            while let Some(g) = p.queue.pop() {
                batch.push(g.as_ref());
            }
            p.own().stacks.drain();
        }
        self.global.push_normal(&mut batch);
        let mut lists = self.idle.lock();
        p.queue.set_shared(true);
        p.owner.store(ptr::null_mut(), Ordering::Release);
        p.set_status(ProcessorStatus::Dead);
        if p.id < self.procs() {
            // It was called back meanwhile.
            self.idle.release(&mut lists, p);
        }
        drop(lists);
        if !self.global.is_empty() {
            self.wake_one();
        }
    }

    /// As `hand_off`, for a P that may be one too many.
    pub(crate) fn hand_off_or_retire(&'static self, p: &'static Processor) {
        if p.id >= self.procs() {
            self.retire(p)
        } else {
            self.hand_off(p)
        }
    }

    /// Puts a P to use: wakes a sleeping M with it, or starts a new one.
    pub(crate) fn start_machine(
        &'static self,
        lists: &mut Lists,
        p: &'static Processor,
        spinning: bool,
    ) {
        p.set_status(ProcessorStatus::Running);
        let asleep = lists.machines.pop_back();
        let m = asleep.unwrap_or_else(|| self.new_machine());
        m.spinning.store(spinning, Ordering::Relaxed);
        self.wake_machine(m, Some(p));
    }

    /// Gives a P that the caller holds, and a goroutine, to `m`, which was
    /// taken off the list of sleeping Ms, or to a new one.
    pub(super) fn start_on(
        &'static self,
        m: Option<&'static Machine>,
        p: &'static Processor,
        g: &'static Goroutine,
    ) {
        p.set_status(ProcessorStatus::Running);
        let m = m.unwrap_or_else(|| self.new_machine());
        // Not into its inbox: there another could start before it and never
        // let it.
        m.assigned
            .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
        self.wake_machine(m, Some(p));
    }

    fn new_machine(&'static self) -> &'static Machine {
        let mut machines = self.machines.lock();
        let m: &'static Machine = Box::leak(Box::new(Machine::new(machines.len(), self)));
        machines.push(m);
        drop(machines);
        self.record(Kind::ThreadStart, m.id as u64, 0);
        self.start_thread(
            ThreadKind::Machine,
            format!("m{}", m.id),
            Some(HOME_STACK),
            move || machine_main(m),
        );
        m
    }

    /// Starts a thread of the runtime, whose last act is [`Self::thread_ends`].
    /// `stack`: its size in bytes, where it is not the usual one.
    pub(crate) fn start_thread(
        &'static self,
        kind: ThreadKind,
        name: String,
        stack: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) {
        let running = {
            let mut threads = self.lock_threads();
            *threads.of(kind) += 1;
            threads.all()
        };
        if running > self.max_threads {
            crate::fatal::fatal!(
                "the program needs more than {} threads: so many goroutines are in blocking calls at once; \
                 raise Builder::max_threads, or bound the calls with a Semaphore",
                self.max_threads
            );
        }
        let mut builder = std::thread::Builder::new().name(name);
        if let Some(bytes) = stack {
            builder = builder.stack_size(bytes);
        }
        super::lock_thread::on_clean_thread(move || {
            let user = self.user();
            let thread = move || {
                body();
                drop(user);
            };
            if let Err(error) = builder.spawn(thread) {
                crate::fatal::fatal!(
                    "cannot start a thread for goroutines, {running} exist: {error}; see ulimit -u, \
                     kernel.threads-max and the control group's pids.max"
                );
            }
        });
    }

    pub(super) fn lock_threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last act of an M's thread.
    pub(crate) fn machine_ends(&'static self, m: &'static Machine) {
        if m.spinning.swap(false, Ordering::Relaxed) {
            self.idle.spinning_count.fetch_sub(1, Ordering::SeqCst);
        }
        m.unmark_robbed();
        self.record(Kind::ThreadEnd, m.id as u64, 0);
        self.thread_ends(ThreadKind::Machine);
    }

    /// The last act of a thread of the runtime.
    pub(crate) fn thread_ends(&'static self, kind: ThreadKind) {
        // Told under the lock, so that whoever waits for it finds it so.
        let mut threads = self.lock_threads();
        *threads.of(kind) -= 1;
        self.thread_ended.notify_all();
        drop(threads);
        if self.outlook() == Outlook::Stopped {
            self.clear_up();
        }
    }

    /// How many goroutines wait for a descriptor, in whichever poller.
    pub(crate) fn fd_waiters_count(&'static self) -> usize {
        let own = |m: &&'static Machine| m.known_netpoll().map_or(0, Netpoll::waiters_count);
        match self.pinned {
            true => self.machines.lock().iter().map(own).sum(),
            false => self.netpoll.waiters_count(),
        }
    }

    /// How many goroutines may run on without a P at once: each has a thread,
    /// and the rest of them is for calls that say that they block.
    pub(super) fn max_hogs(&self) -> usize {
        (self.max_threads / 2).max(1)
    }

    /// True from the moment a shutdown begins.
    #[inline(always)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The slab of this runtime's records.
    #[inline(always)]
    pub(crate) fn slab(&'static self) -> &'static slab::Slab {
        match self.slab.get() {
            Some(slab) => slab,
            None => crate::fatal::fatal!("a runtime without a slab"),
        }
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

    pub(super) fn read_metrics(&'static self) -> Metrics {
        let (mut steals_count, mut thefts_count, mut thefts_found_count) = (0, 0, 0);
        self.for_each_processor(|p| {
            steals_count += p.stolen_count.load(Ordering::Relaxed);
            thefts_count += p.thefts_count.load(Ordering::Relaxed);
            thefts_found_count += p.thefts_found_count.load(Ordering::Relaxed);
        });
        Metrics {
            procs_count: self.procs(),
            threads_count: self.lock_threads().all(),
            goroutines_count: self.goroutines_count(),
            wakes_count: self.metrics.wakes_count.load(Ordering::Relaxed),
            hogs_count: self.robbed.get() as usize,
            retakes_count: self.metrics.retakes_count.load(Ordering::Relaxed),
            hog_retakes_count: self.metrics.hog_retakes_count.load(Ordering::Relaxed),
            rescues_count: self.metrics.rescues_count.load(Ordering::Relaxed),
            steals_count,
            thefts_count,
            thefts_found_count,
            run_latency: self.read_latencies(),
        }
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

    /// With fake time, when nothing can run: the time is that of the next
    /// timer; if there is none, whoever waits in `run` learns that nothing
    /// will come. Says whether there is something to do now.
    pub(crate) fn advance_fake_time(&'static self) -> bool {
        let Some(now) = &self.fake_now_ns else {
            return false;
        };
        if self.blocked_count.load(Ordering::SeqCst) != 0 || self.fd_waiters_count() != 0 {
            return false;
        }
        match self.first_timer_ns() {
            u64::MAX => {
                if self.goroutines_count() != 0
                    && self.change_outlook(Outlook::Open, Outlook::Stuck)
                {
                    self.release_joiners(JOIN_OPEN);
                }
                false
            }
            next => {
                now.fetch_max(next, Ordering::AcqRel);
                true
            }
        }
    }

    /// The kind of stack a goroutine runs on.
    #[inline(always)]
    pub(crate) fn stack_class(&self, g: &Goroutine) -> Class {
        match g.details() {
            None => self.default_class,
            Some(details) => details.class.unwrap_or(self.default_class),
        }
    }

    /// Puts a goroutine back that cannot run at this moment.
    pub(crate) fn requeue(&'static self, m: &'static Machine, g: &'static Goroutine) {
        if self.pinned && super::ready::header_of_started(g).is_some() {
            // Only its own M dequeues a started goroutine.
            m.deliver(g);
        } else {
            self.push_global(g);
        }
    }

    /// Appends to the global queue.
    pub(crate) fn push_global(&'static self, g: &'static Goroutine) {
        let class = GlobalClass::from(Priority::of(g));
        if class == GlobalClass::High {
            self.attention.add();
        }
        self.global.push(class, g);
    }

    /// Ends a goroutine that can have no stack, and has not run. A helper drops its
    /// closure, the program's code, which may park; but where the kernel has no
    /// memory for a thread either it is dropped here, and must not park.
    #[cold]
    pub(crate) fn refuse_stack(
        &'static self,
        p: &'static Processor,
        g: &'static Goroutine,
        error: StackError,
    ) {
        struct Refused(Blocked, &'static Shared, &'static Goroutine, StackError);
        unsafe fn abandon(refused: *mut ()) -> Option<Parkable> {
            // SAFETY: made from a box below, and run once.
            let refused = *unsafe { Box::from_raw(refused.cast::<Refused>()) };
            // Until its joiner has been readied it is no deadlock.
            let Refused(_blocked, shared, g, error) = refused;
            spawn::abandon(shared, g, Some(Box::new(error)));
            None
        }
        Processor::count(&p.ended_count);
        if !matches!(error, StackError::OutOfSlots { .. }) {
            return spawn::abandon(self, g, Some(Box::new(error)));
        }
        let blocked = Blocked::begin(self);
        let refused = Box::into_raw(Box::new(Refused(blocked, self, g, error)));
        // SAFETY: the box lives until the job has run; closures and errors may
        // go to another thread.
        unsafe {
            self.help(Job {
                run: abandon,
                data: refused.cast(),
            });
        }
    }

    /// Takes back the record of a goroutine that is over, from an M with a P.
    #[inline(always)]
    pub(crate) fn recycle(&'static self, p: &'static Processor, g: &'static Goroutine) {
        g.drop_details();
        g.set_status(Status::Idle);
        // SAFETY: the caller holds P inside the runtime.
        unsafe { p.own() }.records.put(self.slab(), g);
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
}

impl Shared {
    pub(super) fn debug_state(&'static self) -> String {
        use std::fmt::Write;
        let mut out = String::new();
        let ids =
            |ms: &mut dyn Iterator<Item = &&'static Machine>| ms.map(|m| m.id).collect::<Vec<_>>();
        {
            let lists = self.idle.lock();
            let _ = writeln!(
                out,
                "procs {} idle Ps {:?} sleeping Ms {:?} reserved {:?} in line {:?} spinning {} poller {:?} global {:?}",
                self.procs(),
                lists.processors.iter().map(|p| p.id).collect::<Vec<_>>(),
                ids(&mut lists.machines.iter()),
                ids(&mut lists.reserved.iter()),
                ids(&mut lists.line.iter()),
                self.idle.spinning_count.load(Ordering::SeqCst),
                self.poller,
                self.global,
            );
        }
        self.for_each_processor(|p| {
            let owner = p.owner.load(Ordering::SeqCst);
            let _ = writeln!(
                out,
                "P{} {:?} queue {} next {:?} notice {:?} owner {:?} timers {}",
                p.id,
                p.status(),
                p.queue.len(),
                p.run_next,
                p.notice,
                // SAFETY: Ms live as long as the runtime.
                unsafe { owner.as_ref() }.map(|m| m.id),
                p.timers.len(),
            );
        });
        for m in self.machines.lock().iter() {
            let _ = writeln!(
                out,
                "M{} {:?} mail {} spinning {:?}",
                m.id,
                m.held().map(|p| p.id),
                m.has_mail(),
                m.spinning
            );
        }
        for info in self.goroutines() {
            let _ = writeln!(out, "{info}");
        }
        out
    }

    /// Ms whose thread runs.
    pub(crate) fn machines_count(&self) -> usize {
        self.lock_threads().machines
    }

    /// Ms and helpers whose thread runs.
    pub(crate) fn threads_count(&self) -> usize {
        self.lock_threads().all()
    }
}
