//! The scheduler: goroutines (G) on OS threads (M) through processors (P).
//!
//! A P is the right to run goroutines, and there are GOMAXPROCS of them; an M
//! needs one to run a G. An M whose G blocks in a system call keeps its thread
//! and loses its P, so a blocked thread never counts against the limit.
//!
//! A file imports only from those further up in this table, and an `impl` is beside its
//! type; a check of the project holds both, and prints the floors.
//!
//! | files                           | what is there                                   |
//! |---------------------------------|-------------------------------------------------|
//! | `run_queue`, `global_queue`, `biased_lock`, `claim`, `spin`, `idle_threads`, `topology`, `thread`, `latency`, `hogs`, `job`, `os_threads`, `settings`, `sysmon_wait`, `trace::{event, ring, recorder}` | parts that know no P and no M |
//! | `processor`, `procs`, `machine`, `idle`, `lifetime`, `shared` | P, M, idle ones, and what all share |
//! | `this_m`                        | the M of the calling thread: the way to what it alone may touch |
//! | `off_slot`, `current`, `stacks`, `locate` | which goroutine runs; where a suspended one is |
//! | `wake`, `hand_off`              | waking and starting Ms; what becomes of a P that is given away |
//! | `queues`, `migrating`, `pinned` | the two schedulers: in which queue a runnable G waits, and which one is next |
//! | `scheduler`                     | the seam: the one file that knows both of them  |
//! | `ready`, `newproc`, `pending`, `readied` | how a G is made and becomes runnable, and how a future waits in its place |
//! | `clear_up`, `helpers`           | what a stopped runtime gives back; threads for calls that block |
//! | `look`, `dump`, `profile`, `signals`, `report`, `deadlock`, `fake_time` | reports of all goroutines |
//! | `steal`, `poll`, `pick`, `find_runnable` | what an M runs next, where it looks, how it rests |
//! | `fiber`, `switch`, `preempt`, `goroutine_main`, `schedule` | from one G's stack to the next one's; an M's thread |
//! | `unwinding`, `contention`, `park`, `join`, `spawn`, `blocking`, `lock_thread`, `reports` | what goroutines call |
//! | `schedtrace`, `metrics`, `blocked`, `sysmon`, `shutdown`, `schedinit`, `handle`, `runtime` | the thread that watches; start and end |
//!
//! # The life of a goroutine, in numbered steps
//!
//! 1. **Spawn** (`spawn`): a record from the P's cache takes the closure and
//!    goes into `run_next`; what was there goes to the end of the P's ring; a
//!    full ring sends half to the global queue. There is no stack yet.
//! 2. **First run** (`switch::bind`): the hottest stack of the P's cache is
//!    bound to it; or, if the G before it on this M has just ended, that one's
//!    stack is used on, without a switch.
//! 3. **Park** (`park`): its status is Waiting, it is enqueued somewhere, the
//!    lock is let go, and it leaves its stack for the next G at hand, which it
//!    picks itself. From the enqueueing on it may be readied; the M that dequeues it
//!    waits until its context is stored (the table in `crate::goroutine`).
//! 4. **Ready** (`ready`): exactly once for each park, by the thread that dequeued or
//!    claimed it. It goes into `run_next` of the P that readied it, and inherits that
//!    P's time slice; see the tables in `migrating` and `pinned` for all other cases.
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
//! 10. **End** (`goroutine_main::finish`): the outcome is left in the record, the
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

pub(crate) mod biased_lock;
pub(crate) mod blocked;
pub(crate) mod blocking;
pub(crate) mod bubble;
pub(crate) mod claim;
pub(crate) mod clear_up;
pub(crate) mod contention;
pub(crate) mod current;
pub(crate) mod deadlock;
pub(crate) mod dump;
pub(crate) mod fake_time;
pub(crate) mod fiber;
pub(crate) mod find_runnable;
pub(crate) mod global_queue;
pub(crate) mod goroutine_main;
pub(crate) mod hand_off;
pub(crate) mod handle;
pub(crate) mod helpers;
pub(crate) mod hogs;
pub(crate) mod idle;
pub(crate) mod idle_threads;
pub(crate) mod job;
pub(crate) mod join;
pub(crate) mod labels;
pub(crate) mod latency;
pub(crate) mod lifetime;
pub(crate) mod locate;
pub(crate) mod lock_thread;
pub(crate) mod look;
pub(crate) mod machine;
pub(crate) mod metrics;
pub(crate) mod migrating;
pub(crate) mod newproc;
pub(crate) mod off_slot;
pub(crate) mod os_threads;
pub(crate) mod park;
pub(crate) mod pending;
pub(crate) mod pick;
pub(crate) mod pinned;
pub(crate) mod poll;
pub(crate) mod pprof;
pub(crate) mod preempt;
pub(crate) mod processor;
pub(crate) mod procs;
pub(crate) mod profile;
pub(crate) mod queues;
pub(crate) mod readied;
pub(crate) mod ready;
pub(crate) mod report;
pub(crate) mod reports;
pub(crate) mod run_queue;
pub(crate) mod runtime;
pub(crate) mod schedinit;
pub(crate) mod schedtrace;
pub(crate) mod schedule;
pub(crate) mod scheduler;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod shutdown;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod spin;
pub(crate) mod stacks;
pub(crate) mod steal;
pub(crate) mod switch;
pub(crate) mod sysmon;
pub(crate) mod sysmon_wait;
pub(crate) mod this_m;
pub(crate) mod thread;
pub(crate) mod topology;
pub(crate) mod trace;
pub(crate) mod unwinding;
pub(crate) mod wake;
pub(crate) mod waker_thread;

pub(crate) use current::{now_ns, runtime};
pub(crate) use os_threads::start_thread;
pub(crate) use park::{arm, cancel_park, own_waiter, park, park_until, prepare_park};
pub(crate) use preempt::give_way;
pub(crate) use readied::ready;
pub(crate) use scheduler::netpoll;
