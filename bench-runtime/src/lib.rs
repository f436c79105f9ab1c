//! An M:N goroutine runtime: Go's semantics in Rust.
//!
//! # What blocks a thread
//!
//! Calls of this crate block the goroutine, never its thread. Others block the
//! thread: a lock of std, `std::thread::sleep`, a file of std, a foreign library. In a pinned
//! runtime, the default, the goroutines that have started on that thread then wait
//! too, and for ever if the call waits for one of them. The shortest way there: two
//! goroutines share a `std::sync::Mutex`, and one holds it over a `time::sleep`, a
//! send or a receive. So
//!
//! - use the locks of [`sync`], where a guard may live across a wait, and the files,
//!   streams and children of [`fs`], [`io`] and [`process`];
//! - put [`blocking`] around other calls that block, SQLite's busy handler included;
//! - or build a [migrating](Builder::migrating) runtime, which asks more of a program.
//!
//! Where that happens for most of a second, a warning on stderr names the goroutine that
//! blocks the thread and those that wait ([`Builder::warns_of_blocked_threads`]).
//!
//! Futures are waited for by [`future::block_on`], which parks the goroutine.
//!
//! # Forks
//!
//! The child of a `fork` has the thread that forked alone, and none of the runtime's.
//! There a goroutine may call `exec` or `_exit`; its next call into this crate ends the
//! child with a fatal error, and no goroutine of the parent runs there. Starting one panics, and no
//! other runtime can be built. So a program that turns itself into a daemon does that before it builds
//! its runtime. `std::process::Command` is fine.
//!
//! # Why `build` is unsafe
//!
//! Goroutines share the thread-locals of the threads they run on, and std relies on a
//! thread doing one thing at a time. A program that lets a goroutine *park* (wait inside
//! this crate) at the wrong place, such as in a thread-local's initialiser, would break
//! memory. The few rules are written at [`Builder::build`]; most programs keep them
//! without doing anything for it.

mod arch;
mod chan;
pub mod context;
mod fatal;
pub mod fs;
pub mod future;
mod goroutine;
pub mod io;
mod local;
pub mod net;
mod netpoll;
pub mod process;
mod sched;
mod scope;
mod seam;
mod shim;
pub mod signal;
mod stack;
pub mod sync;
mod sys;
pub mod time;
mod timer;
mod unwind;
mod util;

pub use chan::{
    IntoIter, Iter, Receiver, RecvOperand, RecvTimeoutError, Select, Selected, SendError,
    SendOperand, SendTimeoutError, Sender, Slot, TryIter, TryRecvError, TrySendError, chan,
};
pub use local::GoroutineLocal;
pub use sched::api::{Runtime, Shutdown};
pub use sched::blocking::blocking;
pub use sched::builder::Builder;
pub use sched::contention::{
    ContendedStack, ContentionProfile, block_profile, mutex_profile, set_block_profile_rate,
    set_mutex_profile_fraction,
};
pub use sched::dump::{GoroutineInfo, goroutines, in_goroutine};
pub use sched::global_queue::Priority;
pub use sched::handle::Handle;
pub use sched::join::{JoinError, JoinHandle, PanicPayload};
pub use sched::latency::RunLatency;
pub use sched::lock_thread::{lock_os_thread, unlock_os_thread};
pub use sched::metrics::Metrics;
pub use sched::park::yield_now;
pub use sched::profile::{GoroutineProfile, StackGroup, goroutine_profile};
pub use sched::spawn::{GoBuilder, go, go_alone, goexit, gomaxprocs, goroutine_id, num_goroutine};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use stack::{
    CompactionError, CompactionStats, StackError, StackPolicy, StackUsage, compaction_stats,
    stack_usage,
};
pub use unwind::Frame;

/// The flight recorder: what the scheduler did last, always on, as a trace
/// that Perfetto opens.
///
/// Each P keeps its last few thousand events. By default they are the rare
/// ones, which cost nothing beside what they are about; [`Level::Switches`]
/// adds every switch. [`Runtime::trace`] and [`snapshot`] read them;
/// with the environment variable `THREADBARE_TRACE_FILE` they are written to
/// that file at SIGQUIT (see [`Builder::dumps_on_quit`]) and at a deadlock.
///
/// [`Level::Switches`]: trace::Level::Switches
/// [`snapshot`]: trace::snapshot
pub mod trace {
    pub use crate::sched::trace::{Level, Trace, set_level, snapshot};
}

/// What the macros expand to; not for use by name. The traits of cases are left out:
/// their methods read what only a select fills.
#[doc(hidden)]
pub mod __private {
    pub use crate::chan::select::{
        And, Either, MustSendCase, NoCase, Otherwise, RecvCase, SendCase, SendFromCase, Wait,
        select, wait_for,
    };
}

/// The readers of what the host allows, for the suite that this runtime comes
/// with: the runtime and the suite must not read one fact in two ways.
#[doc(hidden)]
pub mod __host {
    pub use crate::sys::affinity::told as allowed_cpus;
    pub use crate::sys::cgroup::{Cgroup, Limit};
}
