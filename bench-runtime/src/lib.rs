//! An M:N goroutine runtime: Go's semantics in Rust.

mod arch;
mod chan;
pub mod context;
mod fatal;
mod goroutine;
mod local;
pub mod net;
mod netpoll;
mod sched;
mod scope;
mod seam;
mod shim;
mod stack;
pub mod sync;
mod sys;
pub mod time;
mod timer;
mod util;

pub use chan::{
    IntoIter, Iter, Receiver, RecvOperand, RecvTimeoutError, Select, Selected, SendError,
    SendOperand, SendTimeoutError, Sender, Slot, TryIter, TryRecvError, TrySendError, chan,
};
pub use local::GoroutineLocal;
pub use sched::api::{Metrics, Runtime, Shutdown};
pub use sched::blocking::blocking;
pub use sched::builder::Builder;
pub use sched::dump::{GoroutineInfo, goroutines, in_goroutine};
pub use sched::global_queue::Priority;
pub use sched::lock_thread::{lock_os_thread, unlock_os_thread};
pub use sched::park::yield_now;
pub use sched::spawn::{
    GoBuilder, JoinError, JoinHandle, PanicPayload, go, goexit, gomaxprocs, goroutine_id,
    num_goroutine,
};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use stack::{
    CompactionError, CompactionStats, StackError, StackPolicy, StackUsage, compaction_stats,
    stack_usage,
};

/// What the macros expand to; not for use by name.
#[doc(hidden)]
pub mod __private {
    pub use crate::chan::select::{
        And, Case, Cases, Either, MustSendCase, NoCase, Otherwise, RecvCase, SendCase,
        SendFromCase, Wait, select, wait_for,
    };
}
