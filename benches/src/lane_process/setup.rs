//! What a lane's child does between `fork` and `exec`.
#![expect(
    unsafe_code,
    reason = "the affinity and the parent-death signal must be set in the child, and the standard library marks the hook for that unsafe"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

/// Makes the children of `command` leaders of a process group of their own,
/// pinned to `cpus`, and killed by the kernel when the thread that started
/// them ends.
pub(super) fn prepare(command: &mut Command, cpus: CpuSet) {
    command.process_group(0);
    let parent = getpid();
    let in_child = move || -> io::Result<()> {
        sched_setaffinity(Pid::from_raw(0), &cpus)?;
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            // The parent died before the signal was asked for.
            return Err(io::Error::from(nix::Error::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between `fork` and `exec` only async-signal-safe calls are
    // allowed. By the code above the hook makes three system calls and
    // compares two integers; it allocates nothing and takes no lock: the
    // error is an errno, which `io::Error` holds without allocating.
    unsafe {
        command.pre_exec(in_child);
    }
}
