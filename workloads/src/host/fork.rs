//! Forking a process that runs a closure and exits.
#![allow(unsafe_code, reason = "fork and _exit")]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::children::children;
use crate::lane::Failure;

/// The number of process ids; `None` if `/proc` does not show it.
pub(crate) fn most_processes() -> Option<u64> {
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok()?;
    most.trim().parse().ok()
}

/// Forks a child that runs `body` and exits with its status, or with 101 after a panic. The kernel
/// kills the child when the calling thread ends. The process must have one thread: a lock that
/// another thread holds would stay locked in the child.
pub(crate) fn start(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: a lane that forks has one thread (`only_thread` checks it at the start, and the lane
    // starts none), so the child may do all that the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // If the host refuses this, the child outlives a lane that is killed.
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
            // SAFETY: ends the process without running what the parent has
            // registered for its own exit, and without flushing its buffers.
            unsafe { libc::_exit(status) }
        }
    }
}

/// The child's exit status, or the signal that killed it. Blocks the thread.
pub(crate) fn wait(child: Pid) -> io::Result<Result<i32, Signal>> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(Ok(status)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Err(signal)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether the host's seccomp policy kills a process for one of these system calls. A child makes
/// them with -1 for descriptors and pointers, which the kernel refuses.
#[cfg(feature = "peers")]
pub(crate) fn is_killed_for(calls: &[libc::c_long]) -> bool {
    const NONE: libc::c_long = -1;
    let child = start(|| {
        for &call in calls {
            // SAFETY: no argument is a valid pointer or descriptor, so the kernel touches no memory
            // of ours.
            unsafe { libc::syscall(call, NONE, NONE, NONE, NONE, NONE, NONE) };
        }
        0
    });
    matches!(child.and_then(wait), Ok(Err(Signal::SIGSYS)))
}

/// How long [`end_all`] waits at most. A child that the kernel does not end by then is left to the
/// study, which ends the whole process group.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Kills and reaps the remaining children. Blocks the thread until they have ended.
pub(crate) fn end_all() {
    let deadline = Instant::now() + END_LIMIT;
    while Instant::now() < deadline {
        // Children that have ended are reaped before any is killed, because the id of a reaped
        // child may belong to another process.
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        for pid in children(std::process::id()) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        // The kernel's list may lack a child while another one ends, so this waits for a while
        // only, and then looks again.
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn only_thread() -> Result<(), Failure> {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(count) => Err(Failure::failed(format!(
            "a lane that forks must have one thread, but this one has {count}"
        ))),
        // Without `/proc`: the kernel refuses this call if there are several threads; else the call
        // changes nothing.
        Err(error) => unshare(CloneFlags::CLONE_THREAD).map_err(|errno| {
            Failure::failed(format!("counting this process's threads: {error}; {errno}"))
        }),
    }
}
