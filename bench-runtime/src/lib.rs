//! An M:N goroutine runtime: Go's semantics in Rust.
//!
//! ```
//! use bench_runtime::{Runtime, chan, go};
//!
//! # fn main() -> std::io::Result<()> {
//! // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! let sum = unsafe { Runtime::builder().build() }?.run(|| {
//!     let (tx, rx) = chan(0);
//!     go!((1..=10).for_each(|n| tx.send(n).unwrap()));
//!     rx.iter().sum::<u32>()
//! });
//! assert_eq!(sum, 55);
//! # Ok(())
//! # }
//! ```
//!
//! **[Coming from Go](coming_from_go)** is the guide: the idioms of Go, each beside ours.
//!
//! | for | see |
//! |---|---|
//! | goroutines, and waiting for them | [`go!`](macro@go), [`go`](fn@go), [`scope`](scope()), [`Runtime`] |
//! | channels | [`chan`](chan()), [`select!`], [`Select`] |
//! | cancellation and deadlines | [`context`] |
//! | locks, groups, semaphores | [`sync`] |
//! | clocks | [`time`] |
//! | sockets, files, children, signals, streams | [`net`], [`fs`], [`process`], [`signal`], [`io`] |
//! | async code, and code that blocks | [`future`], [`blocking`](blocking()) |
//! | state and events of the runtime | [`goroutines`](goroutines()), [`goroutine_profile`](goroutine_profile()), [`trace`], [`Metrics`] |
//!
//! # What blocks a thread
//!
//! Calls of this crate block the goroutine, not its thread (one exception is at
//! [`net::Descriptor`]). Others block the thread: a lock of std, `std::thread::sleep`, a file of
//! std, a foreign library. In a pinned runtime (see [Which mode](#which-mode)) the other goroutines
//! of the thread then wait too, and for ever if the call waits for one of them: for example if two
//! goroutines share a `std::sync::Mutex`, and one of the two holds it during a send or a receive.
//! To avoid this,
//!
//! - use the locks of [`sync`], whose guards may be held during a wait, and the files, streams and
//!   children of [`fs`], [`io`] and [`process`];
//! - and put [`blocking`] around other calls that block, SQLite's busy handler included.
//!
//! A goroutine that computes without a call into the runtime holds its thread in the same way:
//! start it by [`GoBuilder::cpu_bound`], or call [`yield_now`] now and then.
//!
//! If goroutines wait in this way for most of a second, a warning on stderr names them and the
//! goroutine that blocks their thread ([`Builder::warns_of_blocked_threads`]).
//!
//! To wait for a future, call [`future::block_on`].
//!
//! # Which mode
//!
//! In a *pinned* runtime, the default, a goroutine stays on the thread on which it started. In a
//! [*migrating*](Builder::migrating) one it may continue on another thread after each wait.
//! Ordinary safe crates are sound only in a pinned runtime: in a migrating runtime the compiler may
//! keep the address of a thread-local across a wait, and use it on the wrong thread. Std's
//! `HashMap::new`, rand, regex and stacker use thread-locals.
//!
//! Pinned mode costs time if goroutines of two threads exchange messages. If a goroutine computes
//! or blocks its thread, the other goroutines of the thread wait. Goroutines that wait as soon as
//! they have started may all stay on one thread, except those that serve connections which a
//! listener of [`net`] has accepted. So the workers of a pool, which compute, may all share one CPU:
//! start such workers by [`GoBuilder::cpu_bound`]. Choose migrating if these costs matter to your
//! program, and if you can check all code that its goroutines run, libraries included, by rules 4
//! and 5 of [`Builder::build`].
//!
//! | | pinned | migrating |
//! |---|---|---|
//! | crates with thread-locals | sound; the exceptions are listed at [`Builder::build`] | unsound if a thread-local's address is kept across a wait |
//! | a guard of std held during a wait | other goroutines of its thread may wait for ever | forbidden: rule 5 |
//! | how late a sleeper wakes beside goroutines that compute for 200 ms | up to 199 ms if they share its thread; 10 ms if they are [`GoBuilder::cpu_bound`], or if a goroutine that was started at the same place in the program has already computed for long | 11 to 13 ms |
//! | two goroutines that started on two threads | stay there: 0.4 µs a round trip, 24 µs if the threads sleep in between | mostly continue on one thread |
//! | a pool of two workers that compute for 30 µs a job, two CPUs | 2.0 of tokio's time, as both mostly start on one thread | 1.1 |
//! | channel round trip, two CPUs | 0.30 of Go's time | 0.29 |
//! | spawn one goroutine and join it | 0.16 of Go's time | 0.14 |
//! | skynet, a million goroutines | 0.14 of Go's time | 0.09 |
//! | ping-pong over two pipes | 0.89 of the time of tokio's one-thread runtime | 1.11 |
//!
//! The figures are of a virtual machine with two CPUs; `SPEED.md` has each of them and its command.
//!
//! # Forks
//!
//! The child of a `fork` has only the thread that called `fork`, so no other goroutine runs in it.
//! A goroutine may call `exec` or `_exit` there; any other call of this crate by the goroutine ends
//! the child with a fatal error. Outside of goroutines, `Runtime::run` and starting a goroutine
//! panic in the child, and no runtime can be built. So a program that turns itself into a daemon
//! must do that before it builds its runtime. `std::process::Command` is fine.
//!
//! # Why `build` is unsafe
//!
//! Goroutines share the thread-locals of their threads, but std assumes that a thread does one
//! thing at a time. If a goroutine *parks* (waits inside this crate) at the wrong place, such as in
//! a thread-local's initialiser, memory may be corrupted. [`Builder::build`] lists the few rules;
//! most programs follow them without any change.

#[allow(
    clippy::unnecessary_safety_comment,
    reason = "it is of the example above"
)]
mod arch;
mod chan;
pub mod coming_from_go;
pub mod context;
mod debug;
mod fatal;
pub mod fs;
pub mod future;
mod goroutine;
pub mod io;
mod local;
pub mod net;
mod netpoll;
mod pprof;
pub mod process;
mod recorder;
mod runtime;
mod sched;
mod scope;
mod seam;
mod shim;
pub mod signal;
mod stack;
pub mod sync;
pub mod synctest;
mod sys;
mod threads;
pub mod time;
mod timer;
mod unwind;
mod util;

pub use chan::{
    IntoIter, Iter, Receiver, RecvOperand, RecvTimeoutError, Select, Selected, SendError,
    SendOperand, SendTimeoutError, Sender, Slot, TryIter, TryRecvError, TrySendError, chan,
};
pub use debug::contention::{
    ContendedStack, ContentionProfile, set_block_profile_rate, set_mutex_profile_fraction,
};
pub use debug::info::GoroutineInfo;
pub use debug::profile::{GoroutineProfile, StackGroup};
pub use goroutine::priority::Priority;
pub use local::GoroutineLocal;
pub use recorder::latency::RunLatency;
pub use runtime::blocking::blocking;
pub use runtime::handle::Handle;
pub use runtime::join::{JoinError, JoinHandle, PanicPayload};
pub use runtime::labels::labels;
pub use runtime::lock_thread::{lock_os_thread, unlock_os_thread};
pub use runtime::metrics::Metrics;
pub use runtime::reports::{
    block_profile, goroutine_profile, goroutines, in_goroutine, mutex_profile,
};
pub use runtime::shutdown::Shutdown;
pub use runtime::spawn::{
    GoBuilder, go, go_detached, goexit, gomaxprocs, goroutine_id, num_goroutine,
};
pub use runtime::{Builder, Runtime};
pub use sched::park::yield_now;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use stack::{
    CompactionError, CompactionStats, StackError, StackPolicy, StackUsage, compaction_stats,
    stack_usage,
};
pub use unwind::Frame;

/// The flight recorder: a trace of the scheduler's latest events, which Perfetto opens.
///
/// Each P (a scheduler's processor, as in Go) always keeps its last few thousand events. By default
/// it records only rare events. [`Level::Switches`] adds every switch between goroutines.
/// [`Runtime::trace`] and [`snapshot`] read the events. If the environment variable
/// `THREADBARE_TRACE_FILE` is set, they are written to that file at SIGQUIT (see
/// [`Builder::dumps_on_quit`]) and at a deadlock.
///
/// [`Level::Switches`]: trace::Level::Switches
/// [`snapshot`]: trace::snapshot
pub mod trace {
    pub use crate::runtime::trace::{Level, Trace, set_level, snapshot};
}

/// The items that the macros expand to. The traits of cases are not exported, because their methods
/// read fields that only a `select!` fills.
#[doc(hidden)]
pub mod __private {
    pub use crate::chan::select::{
        And, Either, FutureCase, MustSendCase, NoCase, Otherwise, RecvCase, SendCase, SendFromCase,
        Wait, select, wait_for,
    };
}

/// Functions that read limits of the host, for the benchmark suite.
#[doc(hidden)]
pub mod __host {
    pub use crate::sys::affinity::read_mask as allowed_cpus;
    pub use crate::sys::cgroup::{Cgroup, Limit};
}
