//! An M:N goroutine runtime: Go's semantics in Rust.

mod arch;
mod fatal;
mod goroutine;
mod netpoll;
mod sched;
mod shim;
#[allow(dead_code, reason = "the scheduler is about to take stacks up")]
mod stack;
mod sys;
mod timer;
mod util;

pub use stack::{StackError, StackPolicy};
