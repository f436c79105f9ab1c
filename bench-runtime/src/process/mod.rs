//! Child processes: waiting for their end and for their pipes blocks the goroutine, not its thread.
//!
//! The types have the names and methods of std's. [`Command::context`] and [`Command::grace`] are
//! added, like Go's `exec.CommandContext` and `Cmd.WaitDelay`. Exit statuses, [`Stdio`] and
//! [`Output`] are std's own. On a plain thread all of it blocks the thread.
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
//! A wait opens a descriptor of the process (`pidfd_open(2)`), and waits for it as for a socket. If
//! the kernel or a sandbox does not support that, or the process is out of descriptors, a helper
//! thread waits in `waitid(2)`. Neither reaps the child, so its number stays valid until the wait
//! returns, and a [`kill`](Child::kill) never reaches another process.
//!
//! A process that ignores `SIGCHLD` or calls `waitpid(-1)` may reap children of this module. Waits
//! then fail with `ECHILD`, as std's do.

mod child;
mod command;
mod ended;
mod handle;

pub use child::Child;
pub use command::Command;
pub use ended::Ended;
pub use handle::Process;
pub use std::process::{ExitStatus, Output, Stdio};
