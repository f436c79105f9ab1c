//! A runtime: what its Ms and Ps share, and how it starts.

use std::io;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Condvar, Mutex, Once, OnceLock};

use super::builder::Builder;
use super::current;
use super::global_queue::GlobalQueue;
use super::helpers::Helpers;
use super::hogs::Hogs;
use super::idle::Idle;
use super::latency;
use super::lifetime::Lifetime;
use super::machine::Machine;
use super::metrics::Counts;
use super::os_threads::{self, THREAD_STACK, Threads};
use super::procs::Procs;
use super::shutdown::RunState;
use super::stacks::ShrinkOptions;
use super::sysmon::SysmonWait;
use super::topology::Topology;
use super::trace::Recorder;
use crate::goroutine::{Parkable, slab};
use crate::netpoll::Netpoll;
use crate::stack::{Class, StackError};
use crate::sys::{affinity, barrier, clock, fork};
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

/// What all Ms and Ps of a runtime share; [`super::lifetime`] says how long.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) lifetime: Lifetime,
    /// Started goroutines stay with their M.
    pub(crate) pinned: bool,
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
    /// The M that waits in the netpoller.
    pub(crate) poller: AtomicPtr<Machine>,
    /// Until when, in nanoseconds; 0 if no M does.
    pub(crate) poll_until_ns: AtomicU64,
    pub(crate) last_poll_ns: AtomicU64,
    /// The poller's buffer, kept for its memory.
    pub(crate) polled: Lock<Vec<Parkable>>,
    pub(crate) slab: OnceLock<slab::Slab>,
    /// Records for spawns from outside.
    pub(super) outside: Lock<slab::Cache>,
    pub(super) spawned_outside: AtomicU64,
    pub(crate) next_id: AtomicU64,
    pub(super) machines: Lock<Vec<&'static Machine>>,
    pub(super) threads: Mutex<Threads>,
    pub(super) thread_ended: Condvar,
    pub(super) max_threads: usize,
    pub(crate) helpers: Helpers,
    pub(super) hogs: Hogs,
    pub(super) default_class: Class,
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
    /// Chooses the next goroutine, where the order is seeded.
    pub(crate) order: Option<Lock<Rng>>,
    /// Whether goroutines that have not ended can.
    pub(super) run_state: AtomicU8,
}

fn stack_error(error: StackError) -> io::Error {
    io::Error::other(error)
}

impl Shared {
    pub(super) fn start(builder: Builder) -> io::Result<&'static Self> {
        if fork::is_child() {
            return Err(io::Error::other(
                "this is the child of a fork, and its parent had built a runtime, whose locks \
                 another thread may have held: fork before the first runtime is built",
            ));
        }
        fork::watch_and(current::after_fork);
        barrier::register();
        let (all_procs, procs) = Procs::new(&builder)?;
        let default_class = Class::for_policy(builder.stack).map_err(stack_error)?;
        crate::stack::reserve().map_err(stack_error)?;
        // One for the first M: what `run` would end the program for.
        os_threads::start("probe", THREAD_STACK, || ())?;
        if builder.shrink_options.compact {
            crate::stack::compact::enable().map_err(io::Error::other)?;
        }
        let shared: &'static Self = Box::leak(Box::new(Self {
            // The handle and sysmon.
            lifetime: Lifetime::new(2),
            pinned: !builder.migrating,
            attention: Counter::default(),
            retaken_count: Counter::default(),
            eager: AtomicU32::new(0),
            hogs_about: AtomicBool::new(false),
            procs: all_procs,
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
            shrink_options: builder.shrink_options,
            topology: if builder.reads_files {
                Topology::read(&affinity::cpus())
            } else {
                Topology::flat()
            },
            reads_files: builder.reads_files,
            sysmon_wait: SysmonWait::default(),
            sysmon_ready_seq: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            cleared_up: Once::new(),
            admitting: AtomicUsize::new(0),
            refusing: AtomicUsize::new(0),
            blocked_count: AtomicUsize::new(0),
            runners_count: AtomicIsize::new(0),
            detects_deadlock: builder.detects_deadlock,
            warns_of_blocked: builder.warns_of_blocked,
            metrics: Counts::default(),
            recorder: Recorder::new(builder.trace_level()),
            sample: latency::Sample::default(),
            fake_now_ns: builder.fake_time.then(|| AtomicU64::new(clock::now_ns())),
            order: builder.seed.map(|seed| Lock::new(Rng::new(seed))),
            run_state: AtomicU8::new(RunState::Running as u8),
        }));
        shared.slab.get_or_init(|| {
            slab::Slab::new(ptr::from_ref(shared).cast(), shared.shrink_options.compact)
        });
        crate::stack::overflow::describe_with(super::dump::describe_in_signal_handler);
        super::stacks::install();
        if builder.dumps_on_quit {
            super::dump::dump_on_quit(shared)?;
        }
        shared.resize_to(procs);
        os_threads::start("sysmon", THREAD_STACK, move || {
            shared.sysmon();
            Self::release(shared);
        })?;
        Ok(shared)
    }

    /// Whether the runtime may open files to look at the host.
    pub(super) fn reads_files(&self) -> bool {
        self.reads_files
    }

    /// How many goroutines wait for a descriptor, in whichever poller.
    pub(crate) fn fd_waiters_count(&'static self) -> usize {
        let own = |m: &&'static Machine| m.known_netpoll().map_or(0, Netpoll::waiters_count);
        match self.pinned {
            true => self.machines.lock().iter().map(own).sum(),
            false => self.netpoll.waiters_count(),
        }
    }

    /// True from the moment a shutdown begins.
    #[inline(always)]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
