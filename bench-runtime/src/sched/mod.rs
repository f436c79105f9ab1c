//! The scheduler: goroutines (G) on OS threads (M) through processors (P).
//!
//! A P is the right to run goroutines, and there are GOMAXPROCS of them; an M needs one to run a
//! G. If the G blocks in a system call, the M loses the P.
//!
//! A file imports only from its own row of this table and from rows above it.
//!
//! | files | what is there |
//! |---|---|
//! | `run_queue`, `overflow`, `global_queue`, `biased_lock`, `processor_set`, `sites`, `job`, `settings` | parts that know no P and no M |
//! | `processor`, `procs`, `machine`, `idle`, `poller`, `lifetime`, `shared` | P, M, the lists of idle ones, the state that all share |
//! | `this_m` | the M of the calling thread |
//! | `current` | which goroutine runs |
//! | `wake`, `hand_off` | waking and starting Ms; giving a P away |
//! | `queues`, `migrating`, `pinned` | the two schedulers |
//! | `scheduler` | the only file that imports both |
//! | `ready`, `newproc`, `wakers`, `readied` | how a G is made and becomes runnable |
//! | `helpers` | threads for calls that block |
//! | `steal`, `poll`, `pick`, `find_runnable` | what an M runs next, how it rests |
//! | `switch`, `preempt`, `goroutine_main`, `schedule`, `park` | from one G's stack to the next one's; an M's thread |
//! | `sysmon` | the thread that watches |
//!
//! What programs call, and the start and the end of a runtime, are in `crate::runtime`.
//!
//! # The life of a goroutine, in numbered steps
//!
//! 1. **Spawn** (`newproc`): the closure goes into a record, and the record into a queue: the P's
//!    by `go`, else the global one. A full queue moves half of its goroutines to the P's
//!    overflow. There is no stack yet.
//! 2. **First run** (`switch::bind`): it gets the stack that was put into the P's cache last. If
//!    the G before it on this M has just ended, it takes over that stack without a switch.
//! 3. **Park** (`park`): its status becomes Waiting, it is enqueued where a thread will ready it,
//!    the lock of that queue is released, and it switches to the next G of this M, which it picks
//!    itself. An M that dequeues it earlier waits until its context is stored (`switch`).
//! 4. **Ready** (`ready`): exactly once for each park, by the thread that dequeued its waiter or
//!    claimed its ticket. Mostly it goes into `run_next`, and shares the time slice of the chain
//!    there (`queues`).
//! 5. **Check the global queue** (`pick`): once in 61 picks an M switches to g0, and checks timers,
//!    the other classes, the global queue and the oldest of the P's overflow before its own queues.
//! 6. **Steal** (`steal`): an M with a P and nothing to run takes the oldest batch of another P's
//!    overflow, or half of its queue.
//! 7. **Rest** (`idle`, S1 to S4): the P goes to the idle list, all queues are checked once more,
//!    and the M sleeps on a futex. One M waits in the netpoller instead, until the first timer at
//!    most; in a pinned runtime also each M whose goroutines wait for descriptors, in its own
//!    poller.
//! 8. **Wake** (`idle`, W1 to W3): a thread that has queued work wakes one M if a P is idle and
//!    no M spins; the spinner that finds work wakes the next. (Pinned: a goroutine that spawns by `go`
//!    leaves that to sysmon while such wakes do not pay.) An M is also woken for a goroutine that
//!    only it may run (`wake::notify_machine`), and by its poller.
//! 9. **Retake** (`biased_lock`, D1 to D4; `sysmon`): a P in one time slice for 10 ms (50 if the M's
//!    thread waits for a CPU) while work waits goes to another M. Its G runs on without a P. At the
//!    end of its next call into the runtime that G takes an idle P, or queues for one
//!    (`preempt::reacquire_p`), with the hogs if it used the CPU. A call that parks needs no P.
//! 10. **End** (`goroutine_main::finish`): the outcome is stored in the record and the joiner is
//!     readied. The next fresh G takes the stack over, and up to 16 of them run before the
//!     joiner. If there is none, the stack returns to the P's cache.
//!
//! # Where a runnable goroutine is
//!
//! In one of seven places, or in none:
//!
//! | place        | of                      | in a migrating runtime      | in a pinned one               |
//! |--------------|-------------------------|-----------------------------|-------------------------------|
//! | `run_next`   | a P; in a pinned runtime an M | the goroutine that was readied or spawned there last | the one that was readied there last, or that starts on an M of its own |
//! | `queue`      | a P                     | all other goroutines        | those that have not started   |
//! | `overflow`   | a P                     | those for which `queue` had no room | those for which `queue` had no room |
//! | global queue | the runtime; four lists: one for each class, one for hogs | from outside; the high and the low class; hogs of the normal class | those that have not started: from outside, and of the high and the low class |
//! | `queues`     | an M                    | –                           | those that have started there, in two lists: one of them for hogs |
//! | `inbox`      | an M                    | –                           | those that have started there and were readied by another thread, until the M's next pick |
//! | `locked`     | an M                    | the goroutine that is locked to it | –                      |
//! | no queue: its M sleeps with it, and is in `p_waiters` | the runtime | locked or unwinding, after its P was retaken or given away | each goroutine, after its P was retaken or given away, if no other goroutine of its M waits |
//!
//! # Heuristics
//!
//! | heuristic | file | evidence: a figure, or a test |
//! |---|---|---|
//! | goroutines that ready each other share one time slice of 50 µs | `queues` | `light_ping_pong_beside_a_busy_one_keeps_pace` |
//! | one pick in 61 checks the global queue first | `pick` | `low_and_normal_classes_run_beside_high_goroutines_that_never_stop` |
//! | hogs have every other time slice | `pick` | `ping_pong_beside_a_goroutine_that_polls_has_its_share_of_the_time`; `sched_figures polling` |
//! | while there are hogs, the low class gets a share of time, not of picks | `pick`, `sysmon` | `ping_pong_beside_a_goroutine_of_the_low_class_that_polls_has_its_share_too` |
//! | up to 16 fresh goroutines run before their joiner | `goroutine_main` | 349 instructions a goroutine instead of 730 |
//! | started and fresh goroutines by turns; fresh ones are left to an M that comes for them | `pinned` | `processors_run_at_once_what_a_goroutine_of_a_goroutine_starts` |
//! | a site that made a hog starts eight on Ms of their own | `sites` | sleepers beside hogs wake 10 ms late instead of 199 |
//! | an M spins for its inbox, a helper for a job, if its last waits were short | `pinned`, `crate::threads` | 0.4 µs instead of 24; 0.6 µs instead of 40 |
//! | an M keeps its P as long as the M that queues for one had its own last | `find_runnable`, `machine` | `light_ping_pong_beside_a_busy_one_keeps_pace` |
//! | sysmon moves a goroutine that stays in `run_next`; the runtime is eager for a while | `sysmon`, `migrating` | 25 µs late at the median instead of 579; tokio's issues 8065 and 4941 |
//! | a goroutine whose P is retaken is a hog if it used the CPU for a fifth of a time slice | `sysmon` | `goroutine_that_waits_for_the_kernel_loses_its_processor_and_is_no_hog` |
//! | an M whose thread is runnable but gets little CPU time keeps its P for some 40 ms longer | `sysmon` | an HTTP service took up to 20% more CPU time after a busy moment; `goroutine_whose_thread_gets_no_cpu_keeps_its_processor_for_longer` |
//! | hogs have half of the threads at most | `crate::threads::count`, `sysmon` | `hogs_beyond_half_of_the_threads_keep_their_processor` |
//! | pinned: a goroutine that spawns wakes no M if the last four that were woken had little to do | `idle` | two Ps: to spawn one and wait takes 49 ns instead of 129 |
//! | a P goes on with the newest of its overflow, other Ms take the oldest | `overflow` | skynet of a million on two Ps takes 116 ns a goroutine instead of 287; `oldest_of_the_overflow_run_while_newer_ones_and_the_global_queue_never_end` |
//! | half as many Ms spin as Ps are busy; one wake at a time | `find_runnable`, `wake` | Go's |
//! | one goroutine found by a poll wakes no M, unless only that M may run it | `poll` | 13 µs of CPU time a request instead of 39 |
//! | nearer Ps are stolen from first | `steal`, `sys::topology` | `visit_goes_to_the_same_cache_then_the_same_socket_then_beyond` |
//! | sysmon polls where no M does | `sysmon` | Go's |
//! | the sweep has more time on an idle host, and under pressure | `crate::runtime::sweep` | `src/stack/compact.rs` |
//!
//! Sources: the design comment of Go's `proc.go` and its "scalable Go scheduler" document by D.
//! Vyukov; tokio's issues 4941 and 8065.

pub(crate) mod biased_lock;
pub(crate) mod current;
pub(crate) mod find_runnable;
pub(crate) mod global_queue;
pub(crate) mod goroutine_main;
pub(crate) mod hand_off;
pub(crate) mod helpers;
pub(crate) mod idle;
pub(crate) mod job;
pub(crate) mod lifetime;
pub(crate) mod machine;
pub(crate) mod migrating;
pub(crate) mod newproc;
pub(crate) mod overflow;
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
pub(crate) mod sites;
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
