use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::event_fd::EventFd;

/// If poll(2) says that the descriptor is writable, a write of this many bytes does not block: a
/// pipe then has room for a page, and other files have room for more.
pub(crate) const WRITE_MOST: usize = libc::PIPE_BUF;

/// Affects all duplicates of the descriptor.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut value = i32::from(nonblocking);
    // SAFETY: FIONBIO reads one int, which outlives the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &raw mut value) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Waits until an operation on the descriptor would not block, until `wake` is set, until `timeout`
/// has passed, or until a signal. Blocks the thread.
///
/// With `urgent`, urgent data also ends a wait to read. Returns true if only urgent data ended the
/// wait. A read does not take that data, so the caller's next wait must be without `urgent`.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    to_write: bool,
    urgent: bool,
    wake: Option<&EventFd>,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut events = interest(to_write);
    events.set(PollFlags::POLLPRI, urgent && !to_write);
    let mut fds = [
        PollFd::new(fd, events),
        PollFd::new(wake.map_or(fd, AsFd::as_fd), PollFlags::POLLIN),
    ];
    let used = if wake.is_some() { 2 } else { 1 };
    match nix::poll::ppoll(&mut fds[..used], timeout.map(Into::into), None) {
        Ok(_) => Ok(fds[0].revents() == Some(PollFlags::POLLPRI)),
        Err(nix::Error::EINTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// True if an operation in this direction would not block: there is data, room, urgent data, the
/// end or an error. Always true for a file that cannot be waited for.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, to_write: bool) -> bool {
    let mut polled = [PollFd::new(fd, interest(to_write))];
    // If poll(2) fails, the operation will return the error.
    nix::poll::poll(&mut polled, PollTimeout::ZERO) != Ok(0)
}

/// As [`is_ready`] for reading, but false if there is only urgent data, which a read does not take.
pub(crate) fn has_input(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
    nix::poll::poll(&mut polled, PollTimeout::ZERO) != Ok(0)
}

fn interest(to_write: bool) -> PollFlags {
    if to_write {
        PollFlags::POLLOUT
    } else {
        PollFlags::POLLIN | PollFlags::POLLPRI
    }
}

/// True if no more data will come: this socket is shut down for reading, or its peer for writing.
pub(crate) fn is_shut_for_reading(fd: BorrowedFd<'_>) -> bool {
    let mut polled = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: the pointer is to one live pollfd.
    unsafe { libc::poll(&raw mut polled, 1, 0) == 1 && polled.revents & libc::POLLRDHUP != 0 }
}

/// Closes the file of a descriptor at once. The descriptor stays open and fails every operation, so
/// its number is not reused while other threads still use it.
pub(crate) fn replace_by_dead(fd: BorrowedFd<'_>, dead: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both numbers are open; the kernel swaps the file behind the second in one step, and
    // the caller owns it.
    let result = unsafe { libc::dup3(dead.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor on which reading, writing, receiving, sending and accepting all fail.
pub(crate) fn dead() -> io::Result<OwnedFd> {
    // An epoll instance is neither a stream nor a socket.
    Ok(nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC)?.0)
}

pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}
