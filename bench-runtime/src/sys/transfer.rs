//! Reading and writing by the bare system calls: libc's functions of the same
//! names are cancellation points, which cost some instructions each and which
//! threads of Rust do not need.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads up to `buf.len()` bytes.
#[inline]
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most this many bytes into `buf`, which is borrowed exclusively.
    done(unsafe { libc::syscall(libc::SYS_read, fd.as_raw_fd(), buf.as_mut_ptr(), buf.len()) })
}

/// Writes up to `buf.len()` bytes.
#[inline]
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel only reads this many bytes of `buf`.
    done(unsafe { libc::syscall(libc::SYS_write, fd.as_raw_fd(), buf.as_ptr(), buf.len()) })
}

/// Reads up to `buf.len()` bytes of a socket.
#[inline]
pub(crate) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: as in `read`; no address is requested.
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

/// Writes up to `buf.len()` bytes to a socket. If the peer has closed the connection, returns an
/// error, and raises no SIGPIPE.
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

/// The current position: for `preadv2` and `pwritev2`.
const POSITION: i64 = -1;

/// Reads data that is available without waiting for a disk or for a writer; from `offset`, or from
/// the current position. `None` if there is no such data, or if the kernel or the file system does
/// not support this: an ordinary read is then needed.
pub(crate) fn read_now(fd: BorrowedFd<'_>, buf: &mut [u8], offset: Option<u64>) -> Option<usize> {
    let offset = offset.map_or(Some(POSITION), |offset| i64::try_from(offset).ok())?;
    let part = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: one part, which is `buf`, borrowed exclusively.
    let count =
        unsafe { libc::preadv2(fd.as_raw_fd(), &raw const part, 1, offset, libc::RWF_NOWAIT) };
    let count = usize::try_from(count).ok()?;
    (count > 0 || took_something(fd)).then_some(count)
}

/// True if a read that returned no bytes may have taken something: an empty message of a socket, or
/// an end that was typed at a terminal. For other files the caller makes an ordinary read, because
/// Linux 5.9 and 5.10 may return 0 before the end of a file whose data is on a disk.
#[cold]
fn took_something(fd: BorrowedFd<'_>) -> bool {
    let kind = nix::sys::stat::fstat(fd).map(|stat| stat.st_mode & libc::S_IFMT);
    matches!(kind, Ok(libc::S_IFSOCK | libc::S_IFCHR))
}

/// Writes as much as is possible without waiting. `None` if that is nothing, or if the kernel or
/// the file system does not support this: an ordinary write is then needed.
pub(crate) fn write_now(fd: BorrowedFd<'_>, buf: &[u8]) -> Option<usize> {
    let part = libc::iovec {
        iov_base: buf.as_ptr().cast_mut().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: one part, which is `buf`, and is only read.
    let count = unsafe {
        libc::pwritev2(
            fd.as_raw_fd(),
            &raw const part,
            1,
            POSITION,
            libc::RWF_NOWAIT,
        )
    };
    usize::try_from(count).ok().filter(|count| *count > 0)
}
