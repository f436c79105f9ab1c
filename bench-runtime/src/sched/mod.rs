//! The scheduler: goroutines (G) on OS threads (M) through processors (P).
//!
//! A P is the right to run goroutines, and there are GOMAXPROCS of them; an M
//! needs one to run a G. An M whose G blocks in a system call keeps its thread
//! and loses its P, so a blocked thread never counts against the limit.
//!
//! | file             | what it decides                                          |
//! |------------------|----------------------------------------------------------|
//! | `park`, `ready`  | how a G stops and becomes runnable, and in which queue   |
//! | `run_loop`       | how one G follows another on an M                        |
//! | `spawn`, `join`  | how a G starts, and how its end is waited for            |
//! | `pending`, `join_async` | how a future waits in the place of a G            |
//! | `pick`           | which of those at hand an M runs, and for how long       |
//! | `find_runnable`  | where else it looks for a G, and how it rests            |
//! | `idle`           | sleeping and waking Ms without losing a wake-up          |
//! | `steal`, `topology` | whose queue is halved, nearest first                  |
//! | `machine`, `biased_lock` | how an M holds a P, and how the P is retaken     |
//! | `preempt`, `blocking`, `helpers` | what a G does without a P, and where it blocks |
//! | `sysmon`         | when a P is taken                                        |
//! | `blocked`        | the warning about a thread that its goroutine blocks     |
//! | `hogs`           | what starts on an M of its own, in a pinned runtime      |
//! | `dump`, `profile`, `look` | reports about goroutines, and how they are read |
//! | `off_slot`       | goroutines on a stack that is not from the arena         |
//! | `unwinding`      | how a G waits while it unwinds                           |
//! | `fiber`          | calls that report switches to the sanitizers             |
//! | `idle_threads`, `spin` | idle helpers and their jobs; whether a thread spins before it sleeps |
//! | `trace`, `latency`, `schedtrace` | the flight recorder, latencies, a line of state |
//! | `procs`, `os_threads`, `records`, `clock`, `metrics` | Ps, threads, records; time; counters |
//! | `runtime`, `shutdown`, `lifetime`, `builder`, `api`, `handle` | the shared state, its start and its end |
//!
//! # The life of a goroutine, in numbered steps
//!
//! 1. **Spawn** (`spawn`): a record from the P's cache takes the closure and
//!    goes into `run_next`; what was there goes to the end of the P's ring; a
//!    full ring sends half to the global queue. There is no stack yet.
//! 2. **First run** (`run_loop::bind`): the hottest stack of the P's cache is
//!    bound to it; or, if the G before it on this M has just ended, that one's
//!    stack is used on, without a switch.
//! 3. **Park** (`park`): its status is Waiting, it is enqueued somewhere, the
//!    lock is let go, and it leaves its stack for the next G at hand, which it
//!    picks itself. From the enqueueing on it may be readied; the M that dequeues it
//!    waits until its context is stored (the table in `crate::goroutine`).
//! 4. **Ready** (`ready`): exactly once for each park, by the thread that dequeued or
//!    claimed it. It goes into `run_next` of the P that readied it, and inherits that
//!    P's time slice; see the tables in `ready` for all other cases.
//! 5. **Look elsewhere**: once in 61 picks an M switches to g0 and looks at timers,
//!    at the other classes and at the global queue first (`pick`).
//! 6. **Steal** (`steal`): an M with a P and nothing to run halves the ring of
//!    another, the same cache first. At most half as many spin as Ps are busy.
//! 7. **Rest** (`idle`, S1 to S4): the P goes to the idle list; heavy barrier;
//!    everything is looked at once more; one M waits in the netpoller (in a
//!    pinned runtime each in its own, if its goroutines wait there), until
//!    the first timer at most, the others on a futex.
//! 8. **Wake** (`idle`, W1 to W3): work made visible wakes one M if a P is
//!    idle and none spins; the spinner that finds work wakes the next.
//! 9. **Retake** (`biased_lock`, D1 to D4; `sysmon`): a P in one time slice for
//!    10 ms while work waits goes to another M. Its G runs on, and queues up at
//!    its next call into the runtime (`preempt::reacquire_p`); if it used the CPU
//!    meanwhile, among those that run for long, which have half of the time
//!    where others want the rest (`pick`).
//! 10. **End** (`run_loop::finish`): the outcome is left in the record, the
//!     joiner is readied, the next fresh G takes the stack over, a few of
//!     them before the joiner; else the stack goes to the P's cache.
//!
//! # Pinned and migrating
//!
//! In a migrating runtime any M may run any G. In a pinned one a G that has
//! started stays with its M: what is readied goes to that M's own list or
//! inbox, only what never started is in the rings and can be stolen, and an M
//! without a P that has such work queues for one. What is known to
//! compute for long starts on an M of its own (`hogs`).
//!
//! # Rejected
//!
//! - *A signal that interrupts a long goroutine*, as Go does: it may be inside
//!   malloc or between two instructions of a foreign library.
//! - *One M a P*, as in tokio and rayon: a blocked thread would take its P with
//!   it, which is what this scheduler is there to avoid.
//! - *A callback that unlocks after the switch*, as Go's `gopark` has: every
//!   park would pass through the M's own stack. Waiting for the context costs
//!   a load instead.
//! - *Waking an M for every ready*: measured by others at a fifth of throughput.
//! - *A stealable `run_next`*: it would cost a locked instruction at each pick.
//! - *A lock-free idle list*: it is touched when an M sleeps or wakes, and
//!   a system call is near either time.
//!
//! Sources: the design comment of Go's `proc.go` and its "scalable Go
//! scheduler" document by D. Vyukov; tokio's issues 4941 and 8065.

pub(crate) mod api;
pub(crate) mod biased_lock;
mod blocked;
pub(crate) mod blocking;
pub(crate) mod builder;
mod claim;
mod clock;
pub(crate) mod contention;
pub(crate) mod current;
pub(crate) mod deadlock;
pub(crate) mod dump;
mod fiber;
pub(crate) mod find_runnable;
pub(crate) mod global_queue;
pub(crate) mod handle;
pub(crate) mod helpers;
pub(crate) mod hogs;
pub(crate) mod idle;
mod idle_threads;
pub(crate) mod join;
pub(crate) mod join_async;
pub(crate) mod latency;
pub(crate) mod lifetime;
pub(crate) mod lock_thread;
mod look;
pub(crate) mod machine;
pub(crate) mod metrics;
mod off_slot;
mod os_threads;
pub(crate) mod park;
pub(crate) mod pending;
pub(crate) mod pick;
mod pprof;
pub(crate) mod preempt;
pub(crate) mod processor;
mod procs;
pub(crate) mod profile;
pub(crate) mod ready;
mod records;
pub(crate) mod run_loop;
pub(crate) mod run_queue;
pub(crate) mod runtime;
mod schedtrace;
pub(crate) mod shutdown;
pub(crate) mod signals;
pub(crate) mod spawn;
mod spin;
pub(crate) mod stacks;
pub(crate) mod steal;
pub(crate) mod sysmon;
pub(crate) mod thread;
pub(crate) mod topology;
pub(crate) mod trace;
mod unwinding;

pub(crate) use os_threads::start_thread;
#[cfg(all(test, not(rt_loom)))]
pub(crate) use park::current;
pub(crate) use park::{
    arm, cancel_park, now_ns, own_waiter, park, park_until, prepare_park, ready, runtime,
};
pub(crate) use preempt::give_way;
