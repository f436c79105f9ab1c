use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use crate::net::convert::{both_deadlines, common, read_timeout, write_timeout};
use crate::net::fd::Fd;
use crate::netpoll::Side;
use crate::sys::fd;

/// A Unix socket of datagrams, as [`std::os::unix::net::UnixDatagram`].
///
/// # Examples
///
/// ```
/// use bench_runtime::net::UnixDatagram;
///
/// # fn main() -> std::io::Result<()> {
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"ping")?;
/// let mut buf = [0; 16];
/// assert_eq!(b.recv(&mut buf)?, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    fd: Fd<net::UnixDatagram>,
}

common!(UnixDatagram of net::UnixDatagram, reads set_read_deadline, writes set_write_deadline);
both_deadlines!(UnixDatagram);
read_timeout!(UnixDatagram);
write_timeout!(UnixDatagram);

/// True if a receive would block for ever, because the socket was shut down for reading, perhaps by
/// another process. On such a socket the kernel ends a blocking receive with zero bytes, and fails
/// a non-blocking one with `WouldBlock`.
fn is_over(socket: &net::UnixDatagram, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock && fd::is_shut_for_reading(socket.as_fd())
}

impl UnixDatagram {
    /// A socket at a path.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] if the path exists.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("mailbox");
    /// let mailbox = UnixDatagram::bind(&path)?;
    /// assert_eq!(mailbox.local_addr()?.as_pathname(), Some(path.as_path()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        net::UnixDatagram::bind(path)?.try_into()
    }

    /// A socket without an address, to send from.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("mailbox");
    /// let mailbox = UnixDatagram::bind(&path)?;
    /// UnixDatagram::unbound()?.send_to(b"anonymous", &path)?;
    /// assert_eq!(mailbox.recv(&mut [0; 64])?, 9);
    /// # Ok(())
    /// # }
    /// ```
    pub fn unbound() -> io::Result<Self> {
        net::UnixDatagram::unbound()?.try_into()
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = UnixDatagram::pair()?;
    /// near.send(b"one")?;
    /// near.send(b"two")?;
    /// // Each receive gets one datagram.
    /// assert_eq!(far.recv(&mut [0; 64])?, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = net::UnixDatagram::pair()?;
        Ok((a.try_into()?, b.try_into()?))
    }

    /// Sets the peer, for [`Self::send`].
    ///
    /// # Errors
    ///
    /// The errors of connect(2).
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("mailbox");
    /// let mailbox = UnixDatagram::bind(&path)?;
    /// let writer = UnixDatagram::unbound()?;
    /// writer.connect(&path)?;
    /// assert_eq!(writer.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// writer.send(b"letter")?;
    /// # drop(mailbox);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.fd.with(|socket| socket.connect(path))
    }

    /// Receives one datagram, cut to the length of `buf`; returns its length and its sender's
    /// address. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of recv(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let (near, far) = (dir.path().join("near"), dir.path().join("far"));
    /// let (here, there) = (UnixDatagram::bind(&near)?, UnixDatagram::bind(&far)?);
    /// here.send_to(b"ping", &far)?;
    /// let mut buf = [0; 64];
    /// let (len, from) = there.recv_from(&mut buf)?;
    /// assert_eq!((len, from.as_pathname()), (4, Some(near.as_path())));
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd
            .io(Side::Read, |socket| match socket.recv_from(buf) {
                Err(e) if is_over(socket, &e) => Ok((0, SocketAddr::from_pathname("")?)),
                received => received,
            })
    }

    /// Receives one datagram, cut to the length of `buf`. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of recv(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = UnixDatagram::pair()?;
    /// near.send(b"longer than the buffer")?;
    /// let mut buf = [0; 6];
    /// assert_eq!(far.recv(&mut buf)?, 6);
    /// assert_eq!(&buf, b"longer");
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.io(Side::Read, |socket| match socket.recv(buf) {
            Err(e) if is_over(socket, &e) => Ok(0),
            received => received,
        })
    }

    /// Sends one datagram to the socket at a path. Blocks the goroutine while the receiver's queue
    /// is full. Only a connected socket gets an event when the queue has room: [`Self::send`] waits
    /// for it, while this method tries again after short pauses.
    ///
    /// # Errors
    ///
    /// The errors of send(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("mailbox");
    /// let mailbox = UnixDatagram::bind(&path)?;
    /// let (writer, _) = UnixDatagram::pair()?;
    /// assert_eq!(writer.send_to(b"letter", &path)?, 6);
    /// # drop(mailbox);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.fd
            .io_by_pauses(Side::Write, |socket| socket.send_to(buf, path.as_ref()))
    }

    /// Sends one datagram to the peer. Blocks the goroutine while the receiver's queue is full.
    ///
    /// # Errors
    ///
    /// The errors of send(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = UnixDatagram::pair()?;
    /// assert_eq!(near.send(b"hello")?, 5);
    /// # drop(far);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.fd.io(Side::Write, |socket| socket.send(buf))
    }

    /// Ends one or both directions. Once the reading direction has ended, a receive that finds no
    /// datagram returns 0 bytes, and so does one that already waits.
    ///
    /// # Errors
    ///
    /// If the socket has no peer.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixDatagram;
    /// use std::net::Shutdown;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, _far) = UnixDatagram::pair()?;
    /// near.shutdown(Shutdown::Write)?;
    /// assert!(near.send(b"too late").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.fd.with(|socket| socket.shutdown(how))
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::UnixDatagram::local_addr)
    }

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// If the socket has no peer.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::UnixDatagram::peer_addr)
    }
}
