//! Child processes: waiting for their end and for their pipes blocks the goroutine, not its thread.
//!
//! The types are named as std's and have their methods, with [`Command::context`] and
//! [`Command::grace`] on top, as Go's `exec.CommandContext` and `Cmd.WaitDelay`. Exit statuses, [`Stdio`] and [`Output`]
//! are std's own. All of it works on a plain thread too, which then blocks.
//!
//! ```
//! use bench_runtime::process::Command;
//!
//! # fn main() -> std::io::Result<()> {
//! let output = Command::new("echo").arg("hello").output()?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok(())
//! # }
//! ```
//!
//! # How a child is waited for
//!
//! By a descriptor of the process (`pidfd_open(2)`), watched as a socket is. If
//! the kernel or a sandbox has none, or no descriptor is left, a thread of the
//! runtime waits in `waitid(2)`, as for [`blocking`](crate::blocking). Neither
//! reaps the child, so its number stays valid until the wait returns; a
//! [`kill`](Child::kill) never meets another process.
//!
//! Other code reaps no child of this module unless the process ignores `SIGCHLD`
//! or calls `waitpid(-1)`; if it does, waits fail with `ECHILD`, as std's do.

mod child;
mod command;
mod ended;
mod handle;

pub use child::Child;
pub use command::Command;
pub use ended::Ended;
pub use handle::Process;
pub use std::process::{ExitStatus, Output, Stdio};
