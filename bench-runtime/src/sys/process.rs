//! A child process that is not collected: until it is, its number stands for it and
//! for no other process.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A descriptor that becomes readable when the child has ended.
///
/// # Errors
///
/// `ENOSYS` before Linux 5.3, `EPERM` in some sandboxes, `EMFILE` without a
/// descriptor, `ESRCH` where the child was collected.
pub(crate) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just given it to us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until the child has ended. Blocks the thread.
///
/// # Errors
///
/// `ECHILD` where it was collected, or is none of ours.
pub(crate) fn wait_for_end(pid: u32) -> io::Result<()> {
    loop {
        // SAFETY: the kernel fills in what it is given, which is ours; all zeros
        // is a valid siginfo.
        let result = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(
                libc::P_PID,
                pid,
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sends a signal to a process that was not collected.
pub(crate) fn send_signal(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: takes two numbers.
    match unsafe { libc::kill(pid.cast_signed(), signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
