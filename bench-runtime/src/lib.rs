//! An M:N goroutine runtime: Go's semantics in Rust.

mod arch;
mod chan;
mod fatal;
mod goroutine;
pub mod net;
mod netpoll;
mod sched;
mod seam;
mod shim;
#[allow(dead_code, reason = "the scheduler is about to take stacks up")]
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
pub use stack::{StackError, StackPolicy};

/// What the macros expand to; not for use by name.
#[doc(hidden)]
pub mod __private {
    pub use crate::chan::select::{
        And, Case, Cases, Either, MustSendCase, NoCase, Otherwise, RecvCase, SendCase,
        SendFromCase, Wait, select, wait_for,
    };
}
