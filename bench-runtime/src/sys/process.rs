//! Callers pass the number of a child that was not reaped yet: it belongs to no other process.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// # Errors
///
/// `ENOSYS` before Linux 5.3, `EPERM` in some sandboxes, `EMFILE` without a descriptor, `ESRCH` if
/// the child was reaped.
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
/// `ECHILD` if it was reaped, or is no child of ours.
pub(crate) fn wait_for_end(pid: u32) -> io::Result<()> {
    wait_without_reaping(pid, 0).map(drop)
}

/// # Errors
///
/// As [`wait_for_end`].
pub(crate) fn has_ended(pid: u32) -> io::Result<bool> {
    wait_without_reaping(pid, libc::WNOHANG)
}

fn wait_without_reaping(pid: u32, flags: i32) -> io::Result<bool> {
    let flags = libc::WEXITED | libc::WNOWAIT | flags;
    loop {
        // SAFETY: all zeros is a valid siginfo.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills in the struct, which is ours; the number is in it, or still zero
        // if no child has ended.
        let (result, ended_pid) = unsafe {
            let result = libc::waitid(libc::P_PID, pid, &raw mut info, flags);
            (result, info.si_pid())
        };
        if result == 0 {
            return Ok(ended_pid != 0);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

pub(crate) fn send_signal(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: takes two numbers.
    done(unsafe { libc::kill(pid.cast_signed(), signal) })
}

pub(crate) fn signal_group(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: takes two numbers.
    done(unsafe { libc::killpg(pid.cast_signed(), signal) })
}

pub(crate) fn leads_group(pid: u32) -> bool {
    // SAFETY: takes a number.
    unsafe { libc::getpgid(pid.cast_signed()) == pid.cast_signed() }
}

fn done(result: i32) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
