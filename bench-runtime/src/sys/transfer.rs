//! Reading and writing by bare system calls: the functions of libc are cancellation points, which
//! cost some instructions and which Rust does not need.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

#[inline]
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most this many bytes into `buf`, which is borrowed exclusively.
    done(unsafe { libc::syscall(libc::SYS_read, fd.as_raw_fd(), buf.as_mut_ptr(), buf.len()) })
}

#[inline]
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel only reads this many bytes of `buf`.
    done(unsafe { libc::syscall(libc::SYS_write, fd.as_raw_fd(), buf.as_ptr(), buf.len()) })
}

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

/// If the peer has closed the connection, returns an error, without SIGPIPE.
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

/// The file's current position, for `preadv2` and `pwritev2`.
const POSITION: i64 = -1;

/// Reads data that is available without a wait, from `offset` or from the current position. `None`
/// if there is none, or if the kernel or the file system does not support this: the caller must
/// then make an ordinary read.
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

/// True if a read of 0 bytes may have taken an empty message of a socket, or an end that was typed
/// at a terminal. For other files the caller makes an ordinary read: Linux 5.9 and 5.10 may return
/// 0 before the end of a file.
#[cold]
fn took_something(fd: BorrowedFd<'_>) -> bool {
    let kind = nix::sys::stat::fstat(fd).map(|stat| stat.st_mode & libc::S_IFMT);
    matches!(kind, Ok(libc::S_IFSOCK | libc::S_IFCHR))
}

/// Writes as many bytes as is possible without a wait. `None` if none was written, or if the kernel
/// or the file system does not support this: the caller must then make an ordinary write.
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
