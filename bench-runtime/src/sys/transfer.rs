//! Reading and writing as the kernel does, without what libc adds: its calls of
//! the same names may be where a thread is cancelled, which costs some
//! instructions each and happens to no thread of Rust's.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads up to so many bytes.
#[inline]
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most so many bytes into `buf`, ours alone.
    done(unsafe { libc::syscall(libc::SYS_read, fd.as_raw_fd(), buf.as_mut_ptr(), buf.len()) })
}

/// Writes up to so many bytes.
#[inline]
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel only reads so many bytes of `buf`.
    done(unsafe { libc::syscall(libc::SYS_write, fd.as_raw_fd(), buf.as_ptr(), buf.len()) })
}

/// Reads up to so many bytes of a socket.
#[inline]
pub(crate) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: as in `read`; no address is asked for.
    done(unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            socket.as_raw_fd(),
            buf.as_mut_ptr(),
            buf.len(),
            0,
            std::ptr::null_mut::<libc::sockaddr>(),
            std::ptr::null_mut::<libc::socklen_t>(),
        )
    })
}

/// Writes up to so many bytes to a socket; where its peer is gone it is an
/// error, and no signal.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: as in `write`; no address is given.
    done(unsafe {
        libc::syscall(
            libc::SYS_sendto,
            socket.as_raw_fd(),
            buf.as_ptr(),
            buf.len(),
            libc::MSG_NOSIGNAL,
            std::ptr::null::<libc::sockaddr>(),
            0,
        )
    })
}

#[inline]
fn done(count: libc::c_long) -> io::Result<usize> {
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}
