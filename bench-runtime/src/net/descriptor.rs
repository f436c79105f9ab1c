use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::net::convert::{
    both_deadlines, deadlines, read_by_ref, read_timeout, write_by_ref, write_timeout,
};
use crate::net::fd::Fd;
use crate::netpoll::Side;
use crate::sys::{fd, transfer};
use crate::util::write::write_at_once;

/// Any descriptor, to wait until it is readable or writable: a timerfd, an eventfd, inotify, a
/// pidfd, a terminal, stdin, the socket of a C library. Sockets and pipes have types of their own,
/// which are faster.
///
/// - A wait blocks the goroutine, or a plain thread. It ends when poll(2) reports that a read or a
///   write would not block: there is data, room, urgent data, the end or an error. A deadline, a
///   time-out and [`close`](Self::close) also end it.
/// - The descriptor's flags are not changed, because other processes may share it, as they share
///   stdin. `Read` and `Write` try only when poll(2) reports that they would not block, and write
///   at most 4,096 bytes a call. In blocking mode they block the thread only if another reader
///   takes the data first, or another writer the room.
/// - A file that the kernel cannot wait for (a regular file, a folder, `/dev/null`) is always
///   readable and writable, as for poll(2). A read of it may wait for the disk: use
///   [`blocking`](crate::blocking). An operation of [`read_with`](Self::read_with) that returns
///   `WouldBlock` there fails with [`io::ErrorKind::PermissionDenied`], which is epoll's error.
///
/// For a descriptor that other code owns and may close at any time, use
/// [`duplicate_of`](Self::duplicate_of).
///
/// # Examples
///
/// ```
/// use bench_runtime::net::Descriptor;
/// use bench_runtime::{Runtime, go};
/// use std::io::{PipeReader, Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().procs(1).build() }?.run(|| {
///     // A descriptor of a foreign library, for example.
///     let (theirs, mut writer) = std::io::pipe()?;
///     let watched = Descriptor::duplicate_of(&theirs)?;
///     go!(writer.write_all(b"ready").unwrap());
///     watched.wait_readable()?;
///     let mut text = [0; 5];
///     (&theirs).read_exact(&mut text)?;
///     assert_eq!(&text, b"ready");
///     # let _: PipeReader = theirs;
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct Descriptor {
    fd: Fd<OwnedFd>,
}

deadlines!(Descriptor, reads set_read_deadline, writes set_write_deadline);
both_deadlines!(Descriptor);
read_timeout!(Descriptor);
write_timeout!(Descriptor);
read_by_ref!(Descriptor);
write_by_ref!(Descriptor);

impl Descriptor {
    /// Takes ownership of a descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::Descriptor;
    /// use std::io::Read;
    /// use std::os::unix::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = UnixStream::pair()?;
    /// drop(far);
    /// let mut near = Descriptor::new(near);
    /// assert_eq!(near.read(&mut [0; 8])?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(fd: impl Into<OwnedFd>) -> Self {
        Self {
            fd: Fd::new(fd.into()),
        }
    }

    /// Watches a descriptor that other code owns, through a duplicate. The file stays open until
    /// both descriptors are closed.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::Descriptor;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stdin = Descriptor::duplicate_of(std::io::stdin())?;
    /// stdin.set_read_timeout(Some(Duration::from_millis(1)))?;
    /// match stdin.wait_readable() {
    ///     Ok(()) => println!("something was typed, or it has ended"),
    ///     Err(late) => println!("{late}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn duplicate_of(fd: impl AsFd) -> io::Result<Self> {
        fd.as_fd().try_clone_to_owned().map(Self::new)
    }

    /// Returns the descriptor.
    ///
    /// # Errors
    ///
    /// If it was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::Descriptor;
    /// use std::os::fd::OwnedFd;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (reader, _writer) = std::io::pipe()?;
    /// let watched = Descriptor::new(reader);
    /// let reader: OwnedFd = watched.into_fd()?;
    /// # drop(reader);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.fd.into_inner()
    }

    /// Waits until a read would not block. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] after a deadline or a time-out; an error for which
    /// [`is_closed_error`](super::is_closed_error) is true, once the descriptor is closed; an error
    /// of epoll if the user may watch no more descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::Descriptor;
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let watched = Descriptor::new(reader);
    /// let writer = std::thread::spawn(move || writer.write_all(b"x"));
    /// watched.wait_readable()?;
    /// # writer.join().unwrap()
    /// # }
    /// ```
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait(Side::Read)
    }

    /// Waits until a write would not block. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_readable`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::Descriptor;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (_reader, writer) = std::io::pipe()?;
    /// Descriptor::new(writer).wait_writable()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait(Side::Write)
    }

    /// Tries `op`, an operation that reads. While it fails with [`io::ErrorKind::WouldBlock`],
    /// waits and tries again. Only for a descriptor in non-blocking mode. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of the operation, and of [`Self::wait_readable`];
    /// [`io::ErrorKind::PermissionDenied`] if the operation would block and the
    /// kernel cannot wait for this kind of file.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::Descriptor;
    /// use std::os::unix::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = UnixDatagram::pair()?;
    /// near.set_nonblocking(true)?;
    /// let watched = Descriptor::duplicate_of(&near)?;
    /// let sender = std::thread::spawn(move || far.send(b"datagram"));
    /// let mut buf = [0; 64];
    /// assert_eq!(watched.read_with(|| near.recv(&mut buf))?, 8);
    /// # sender.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_with<T>(&self, mut op: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.fd.io(Side::Read, |_| op())
    }

    /// As [`Self::read_with`], for an operation that writes.
    ///
    /// # Errors
    ///
    /// The same.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::Descriptor;
    /// use std::os::unix::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, _far) = UnixDatagram::pair()?;
    /// near.set_nonblocking(true)?;
    /// let watched = Descriptor::duplicate_of(&near)?;
    /// assert_eq!(watched.write_with(|| near.send(b"datagram"))?, 8);
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_with<T>(&self, mut op: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.fd.io(Side::Write, |_| op())
    }

    fn wait(&self, side: Side) -> io::Result<()> {
        let is_ready = |fd: BorrowedFd<'_>| fd::is_ready(fd, side == Side::Write);
        self.when_ready(side, is_ready, |_| Ok(()))
    }

    /// Tries `op` only when poll(2) reports, by `is_ready`, that it would not block.
    fn when_ready<T>(
        &self,
        side: Side,
        is_ready: impl Fn(BorrowedFd<'_>) -> bool,
        mut op: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.fd.io(side, |inner| match is_ready(inner.as_fd()) {
            true => op(inner.as_fd()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }
}

impl Read for &Descriptor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.when_ready(Side::Read, fd::has_input, |fd| transfer::read(fd, buf))
    }
}

impl Write for &Descriptor {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let part = &buf[..buf.len().min(fd::WRITE_MOST)];
        let has_room = |fd: BorrowedFd<'_>| fd::is_ready(fd, true);
        self.when_ready(Side::Write, has_room, |fd| transfer::write(fd, part))
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        write_at_once(self, text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
