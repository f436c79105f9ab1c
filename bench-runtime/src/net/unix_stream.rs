use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use crate::net::convert::{
    both_deadlines, common, read_by_ref, read_timeout, write_by_ref, write_timeout,
};
use crate::net::fd::Fd;
use crate::netpoll::Side;
use crate::sys::{socket, transfer};
use crate::util::write::write_at_once;

/// A connection of Unix sockets, as [`std::os::unix::net::UnixStream`].
///
/// # Examples
///
/// ```
/// use bench_runtime::net::UnixStream;
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let (mut a, mut b) = UnixStream::pair()?;
/// a.write_all(b"hello")?;
/// drop(a);
/// let mut text = String::new();
/// b.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixStream {
    pub(super) fd: Fd<net::UnixStream>,
}

common!(UnixStream of net::UnixStream, reads set_read_deadline, writes set_write_deadline);
both_deadlines!(UnixStream);
read_timeout!(UnixStream);
write_timeout!(UnixStream);
read_by_ref!(UnixStream);
write_by_ref!(UnixStream);

impl UnixStream {
    pub(super) fn accepted(stream: net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            fd: Fd::accepted(stream),
        })
    }

    /// Connects to the socket at a path. Blocks the goroutine while the listener's queue is full;
    /// tries again after short pauses.
    ///
    /// # Errors
    ///
    /// The errors of connect(2).
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{UnixListener, UnixStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("socket");
    /// let listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path)?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// # drop(listener);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`Self::connect`], to any address, such as an abstract one.
    ///
    /// # Errors
    ///
    /// The errors of connect(2).
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let address = SocketAddr::from_abstract_name(format!("stream-{}", std::process::id()))?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let stream = UnixStream::connect_addr(&address)?;
    /// assert!(stream.peer_addr()?.as_abstract_name().is_some());
    /// # drop(listener);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_addr(address: &SocketAddr) -> io::Result<Self> {
        let fd = Fd::new(net::UnixStream::from(socket::unix()?));
        fd.io_by_pauses(Side::Write, |stream| {
            socket::connect_unix(stream.as_fd(), address)
        })?;
        Ok(Self { fd })
    }

    /// The two ends of a new connection.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixStream;
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (mut near, mut far) = UnixStream::pair()?;
    /// near.write_all(b"ping")?;
    /// let mut buf = [0; 4];
    /// far.read_exact(&mut buf)?;
    /// assert_eq!(&buf, b"ping");
    /// # Ok(())
    /// # }
    /// ```
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixStream::pair()?;
        Ok((a.try_into()?, b.try_into()?))
    }

    /// Converts from std's type, which becomes non-blocking; the same as `TryFrom`.
    ///
    /// # Errors
    ///
    /// If the socket cannot be made non-blocking.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixStream;
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
    /// UnixStream::from_std(near)?.write_all(b"hello")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_std(stream: net::UnixStream) -> io::Result<Self> {
        Self::try_from(stream)
    }

    /// Converts to std's type, whose operations block the thread.
    ///
    /// # Errors
    ///
    /// If the socket is closed, or cannot be made blocking.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixStream;
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, _far) = UnixStream::pair()?;
    /// let mut near: std::os::unix::net::UnixStream = near.into_std()?;
    /// near.write_all(b"hello")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::UnixStream> {
        self.try_into()
    }

    /// Ends one or both directions of the connection.
    ///
    /// # Errors
    ///
    /// If the socket is no longer connected.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixStream;
    /// use std::io::{Read, Write};
    /// use std::net::Shutdown;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (mut near, mut far) = UnixStream::pair()?;
    /// near.write_all(b"over")?;
    /// near.shutdown(Shutdown::Write)?;
    /// let mut text = String::new();
    /// far.read_to_string(&mut text)?;
    /// assert_eq!(text, "over");
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.with(|stream| stream.shutdown(how))
    }

    /// Another handle of the same connection, with separate deadlines.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixStream;
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, mut far) = UnixStream::pair()?;
    /// let mut second = near.try_clone()?;
    /// second.write_all(b"x")?;
    /// far.read_exact(&mut [0])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: Fd::new(self.fd.with(net::UnixStream::try_clone)?),
        })
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, _far) = UnixStream::pair()?;
    /// // The sockets of a pair have no name.
    /// assert!(near.local_addr()?.is_unnamed() && near.peer_addr()?.is_unnamed());
    /// assert!(near.take_error()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::UnixStream::local_addr)
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// If the socket is no longer connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::UnixStream::peer_addr)
    }

    /// Returns and clears the pending error of the socket (`SO_ERROR`), if there is one.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.fd.with(net::UnixStream::take_error)
    }
}

impl Read for &UnixStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd
            .io(Side::Read, |stream| transfer::receive(stream.as_fd(), buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.fd
            .io(Side::Read, |mut stream| stream.read_vectored(bufs))
    }
}

impl Write for &UnixStream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.fd
            .io(Side::Write, |stream| transfer::send(stream.as_fd(), buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.fd
            .io(Side::Write, |mut stream| stream.write_vectored(bufs))
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        write_at_once(self, text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
