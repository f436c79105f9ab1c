//! The scheduler: goroutines (G) on OS threads (M) through processors (P).
//!
//! A P is the right to run goroutines, and there are GOMAXPROCS of them; an M
//! needs one to run a G. A G that blocks in a system call keeps its thread;
//! its M loses the P, so a blocked thread never counts against the limit.
//!
//! A file imports only from its own row of this table and from rows above it. No files import one
//! another in a circle, and an `impl` is in the file of its type: a check of the project holds
//! these two, and prints the floors.
//!
//! | files                           | what is there                                   |
//! |---------------------------------|-------------------------------------------------|
//! | `run_queue`, `global_queue`, `biased_lock`, `processor_set`, `hogs`, `job`, `settings` | parts that know no P and no M |
//! | `processor`, `procs`, `machine`, `idle`, `poller`, `lifetime`, `shared` | P, M, idle ones, and what all share; the P that the calling thread holds |
//! | `this_m`                        | the M of the calling thread: the way to what it alone may touch |
//! | `current`, `locate`             | which goroutine runs; where a suspended one is |
//! | `wake`, `hand_off`              | waking and starting Ms; what becomes of a P that is given away |
//! | `queues`, `migrating`, `pinned` | the two schedulers: in which queue a runnable G waits, and which one is next |
//! | `scheduler`                     | which of the two: the one file that knows both of them  |
//! | `ready`, `newproc`, `wakers`, `readied` | how a G is made and becomes runnable; where the waker of a future runs |
//! | `helpers`                       | threads for calls that block |
//! | `steal`, `poll`, `pick`, `find_runnable` | what an M runs next, where it looks, how it rests |
//! | `switch`, `preempt`, `goroutine_main`, `schedule`, `park` | from one G's stack to the next one's; an M's thread |
//! | `sysmon`                        | the thread that watches |
//!
//! What programs call, the start and the end of a runtime are in `crate::runtime`; what is known
//! of a goroutine without P and M is in [`crate::goroutine`], and reports of it in
//! [`crate::debug`]; OS threads are in [`crate::threads`].
//!
//! # The life of a goroutine, in numbered steps
//!
//! 1. **Spawn** (`newproc`): by `go`, a record from the P's cache takes the closure and
//!    goes into the P's `run_next`, and what was there to the end of the P's queue
//!    (pinned: it goes to the end of the queue at once). A full queue sends half to
//!    the global queue. By `GoBuilder::go`, in a scope, by a `Handle` or by a timer, the record
//!    goes to the global queue at once. There is no stack yet.
//! 2. **First run** (`switch::bind`): the hottest stack of the P's cache is
//!    bound to it; or, if the G before it on this M has just ended, it uses
//!    that one's stack, without a switch.
//! 3. **Park** (`park`): its status becomes Waiting, it is enqueued somewhere, the
//!    lock is released, and it switches to the next G of this M, which it picks
//!    itself. From the moment it is enqueued it may be readied; the M that dequeues
//!    it waits until its context is stored (the table in `crate::goroutine`). After 1,000
//!    loads the M requeues it and runs others first (`switch`).
//! 4. **Ready** (`ready`): exactly once for each park, by the thread that dequeued its waiter or
//!    claimed its ticket.
//!    It goes into `run_next` of the P that readied it, and shares the time slice of the chain
//!    there, 50 µs at most (`queues`); see the tables in `migrating` and `pinned` for all other
//!    cases.
//! 5. **Look elsewhere**: once in 61 picks an M switches to g0 and checks timers,
//!    the other classes and the global queue first (`pick`).
//! 6. **Steal** (`steal`): an M with a P and nothing to run takes half of another
//!    P's queue, that of the same cache first. At most half as many spin as Ps are busy.
//! 7. **Rest** (`idle`, S1 to S4): the P goes to the idle list; heavy barrier;
//!    all queues are checked once more; one M waits in the netpoller (in a
//!    pinned runtime each in its own, if its goroutines wait there), until the
//!    first timer at most, the others on a futex.
//! 8. **Wake** (`idle`, W1 to W3): work made visible wakes one M if a P is
//!    idle and none spins; the spinner that finds work wakes the next. An M is also woken for a
//!    goroutine that only it may run (`wake::notify_machine`), with a P that another M or sysmon
//!    gives it, and by its poller.
//! 9. **Retake** (`biased_lock`, D1 to D4; `sysmon`): a P in one time slice for 10 ms while
//!    work waits goes to another M. Its G runs on. At the end of its next call into the runtime it
//!    takes an idle P, or queues for one (`preempt::reacquire_p`): if it used the CPU meanwhile, in
//!    the list of hogs, which have half of the time if others need the rest (`pick`). A call that
//!    parks needs no P.
//! 10. **End** (`goroutine_main::finish`): the outcome is stored in the record,
//!     the joiner is readied, the next fresh G takes the stack over, a few of
//!     them before the joiner; else the stack returns to the P's cache.
//!
//! # Pinned and migrating
//!
//! In a migrating runtime any M may run any G. In a pinned one a G that has
//! started stays with its M: readied goroutines go to that M's own list or inbox.
//! Only goroutines that never started are in the Ps' queues and can be stolen. An
//! M without a P that has such work queues for one. A goroutine that is known to
//! compute for long starts on an M of its own (`hogs`).
//!
//! # Where a runnable goroutine is
//!
//! | place        | of                      | in a migrating runtime      | in a pinned one               |
//! |--------------|-------------------------|-----------------------------|-------------------------------|
//! | `run_next`   | a P; in a pinned one an M | the last that was readied or spawned there | the last that was readied there, or the one that starts on an M of its own |
//! | `queue`      | a P                     | others                      | those that have not started   |
//! | global queue | the runtime; four lists: one for each class, one for hogs | from outside; the high and the low class; hogs of the normal class | those that have not started: from outside, and of the high and the low class |
//! | `queues`     | an M                    | –                           | those that have started there; hogs among them in a list of their own |
//! | `inbox`      | an M                    | –                           | those of its own that another thread has readied, until its next pick |
//! | `locked`     | an M                    | the one that is locked to it | –                            |
//! | no queue: its M sleeps with it, and is in `p_waiters` | the runtime | locked or unwinding, after its P was retaken or given away | the same, of each goroutine, if no other of its M waits |
//!
//! # What is decided by a guess
//!
//! Its purpose, and the evidence: a figure, or a test.
//!
//! | heuristic | file | what for | known by |
//! |---|---|---|---|
//! | goroutines that ready each other share one turn of 50 µs | `queues` | the others of that P | `light_ping_pong_beside_a_busy_one_keeps_pace` |
//! | one pick in 61 looks elsewhere first | `pick` | the global queue, the low class, the poller | `low_and_normal_classes_run_beside_high_goroutines_that_never_stop` |
//! | hogs have every other time slice | `pick` | the others beside hogs | `ping_pong_beside_a_goroutine_that_polls_has_its_share_of_the_time`; `sched_figures polling` |
//! | with hogs, the low class has some of those time slices, not picks | `pick`, `sysmon` | the same, of hogs of the low class | `ping_pong_beside_a_goroutine_of_the_low_class_that_polls_has_its_share_too` |
//! | up to 16 fresh goroutines run before their joiner | `goroutine_main` | batches that are joined | 730 to 349 instructions a goroutine |
//! | started and fresh goroutines by turns; fresh ones are left to an idle M | `pinned` | neither waits for ever; a second P | `processors_run_at_once_what_a_goroutine_of_a_goroutine_starts` |
//! | a site that made a hog starts eight on Ms of their own | `hogs` | sleepers beside hogs, pinned | 10 ms late instead of 199 |
//! | an M spins for its inbox, a helper for a job, if that has hit lately | `pinned`, `crate::threads` | round trips between two Ms; short blocking calls | 0.4 µs instead of 24; 0.6 instead of 40 |
//! | an M keeps its P as long as the last turn of the M that queues for one | `find_runnable`, `machine` | pinned Ms that share a P | `light_ping_pong_beside_a_busy_one_keeps_pace` |
//! | sysmon moves what stays in `run_next`; the runtime is eager for a while | `sysmon`, `migrating` | one that is readied by a goroutine that computes | tokio's issues 8065 and 4941; `sched_figures readied` prints the delay, not yet measured with and without |
//! | a goroutine whose P is retaken is a hog if it used a fifth of the time | `sysmon` | which of the above it gets | `goroutine_that_waits_for_the_kernel_loses_its_processor_and_is_no_hog` |
//! | hogs have half of the threads at most | `crate::threads::count`, `sysmon` | the limit of threads | `hogs_beyond_half_of_the_threads_keep_their_processor` |
//! | half as many Ms spin as Ps are busy; one wake at a time | `find_runnable`, `wake` | CPU time | Go's |
//! | one goroutine found by a poll wakes no M, unless only that M may run it | `poll` | CPU time of servers | 13 µs a request instead of 39, when it was made |
//! | nearer Ps are stolen from first | `steal`, `sys::topology` | hosts of several caches | `visit_goes_to_the_same_cache_then_the_same_socket_then_beyond` |
//! | sysmon polls where no M does | `sysmon` | sockets beside busy Ps | Go's |
//! | the sweep has more time on an idle host, and under pressure | `crate::runtime::sweep` | memory of parked goroutines | `src/stack/compact.rs` |
//!
//! # Rejected
//!
//! - *A signal that interrupts a long goroutine*, as in Go: it may be inside
//!   malloc or between two instructions of a foreign library.
//! - *One M a P*, as in tokio and rayon: a blocked thread would keep its P,
//!   which this scheduler avoids.
//! - *A callback that unlocks after the switch*, as Go's `gopark` has: every
//!   park would pass through the M's own stack. Waiting for the context costs
//!   a load instead.
//! - *Waking an M for every ready*: measured by others at a fifth of throughput.
//! - *A stealable `run_next`*: it would cost a locked instruction at each pick.
//! - *A lock-free idle list*: it is used when an M sleeps or wakes, and a
//!   system call is near in both cases.
//!
//! Sources: the design comment of Go's `proc.go` and its "scalable Go
//! scheduler" document by D. Vyukov; tokio's issues 4941 and 8065.

pub(crate) mod biased_lock;
pub(crate) mod current;
pub(crate) mod find_runnable;
pub(crate) mod global_queue;
pub(crate) mod goroutine_main;
pub(crate) mod hand_off;
pub(crate) mod helpers;
pub(crate) mod hogs;
pub(crate) mod idle;
pub(crate) mod job;
pub(crate) mod lifetime;
pub(crate) mod locate;
pub(crate) mod machine;
pub(crate) mod migrating;
pub(crate) mod newproc;
pub(crate) mod park;
pub(crate) mod pick;
pub(crate) mod pinned;
pub(crate) mod poll;
pub(crate) mod poller;
pub(crate) mod preempt;
pub(crate) mod processor;
pub(crate) mod processor_set;
pub(crate) mod procs;
pub(crate) mod queues;
pub(crate) mod readied;
pub(crate) mod ready;
pub(crate) mod run_queue;
pub(crate) mod schedule;
pub(crate) mod scheduler;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod steal;
pub(crate) mod switch;
pub(crate) mod sysmon;
pub(crate) mod this_m;
pub(crate) mod wake;
pub(crate) mod wakers;

pub(crate) use current::{now_ns, runtime};
pub(crate) use park::{arm, cancel_park, own_waiter, park, park_until, prepare_park};
pub(crate) use preempt::give_way;
pub(crate) use readied::ready;
pub(crate) use scheduler::netpoll;
