//! An M:N goroutine runtime: Go's semantics in Rust.

mod arch;
mod fatal;
mod goroutine;
mod sched;
mod shim;
mod sys;
mod util;
