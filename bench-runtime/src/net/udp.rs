use std::io;
use std::net::{self, SocketAddr, ToSocketAddrs};

use crate::net::convert::{both_deadlines, common, read_timeout, write_timeout};
use crate::net::fd::Fd;
use crate::net::resolve;
use crate::netpoll::Side;

/// A UDP socket, as [`std::net::UdpSocket`].
///
/// # Examples
///
/// ```
/// use bench_runtime::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// let a = UdpSocket::bind("127.0.0.1:0")?;
/// let b = UdpSocket::bind("127.0.0.1:0")?;
/// a.send_to(b"ping", b.local_addr()?)?;
/// let mut buf = [0; 16];
/// let (n, from) = b.recv_from(&mut buf)?;
/// assert_eq!((&buf[..n], from), (&b"ping"[..], a.local_addr()?));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    fd: Fd<net::UdpSocket>,
}

common!(UdpSocket of net::UdpSocket, reads set_read_deadline, writes set_write_deadline);
both_deadlines!(UdpSocket);
read_timeout!(UdpSocket);
write_timeout!(UdpSocket);

impl UdpSocket {
    /// Binds a socket to the first free address of a name; port 0 takes any free port.
    ///
    /// # Errors
    ///
    /// The error of the last address, if none is free.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind(address: impl ToSocketAddrs + Send) -> io::Result<Self> {
        resolve::first_of(address, |address| net::UdpSocket::bind(address)?.try_into())
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
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = UdpSocket::from_std(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    /// socket.send_to(b"to myself", socket.local_addr()?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_std(socket: net::UdpSocket) -> io::Result<Self> {
        Self::try_from(socket)
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
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket: std::net::UdpSocket = UdpSocket::bind("127.0.0.1:0")?.into_std()?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::UdpSocket> {
        self.try_into()
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
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// near.send_to(b"who am I?", far.local_addr()?)?;
    /// let mut buf = [0; 64];
    /// let (len, from) = far.recv_from(&mut buf)?;
    /// assert_eq!((len, from), (9, near.local_addr()?));
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.io(Side::Read, |socket| socket.recv_from(buf))
    }

    /// As [`Self::recv_from`], but leaves the datagram in the queue.
    ///
    /// # Errors
    ///
    /// The errors of recv(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// near.send_to(b"hello", far.local_addr()?)?;
    /// let mut buf = [0; 64];
    /// let (_, from) = far.peek_from(&mut buf)?;
    /// assert_eq!(far.recv_from(&mut buf)?, (5, from));
    /// # Ok(())
    /// # }
    /// ```
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.io(Side::Read, |socket| socket.peek_from(buf))
    }

    /// Sends one datagram to the first address of a name. Blocks the goroutine;
    /// [`blocking`](crate::blocking()) runs the look-up of the name.
    ///
    /// # Errors
    ///
    /// The errors of the look-up, of send(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// assert_eq!(near.send_to(b"hello", far.local_addr()?)?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_to(&self, buf: &[u8], address: impl ToSocketAddrs + Send) -> io::Result<usize> {
        let address = resolve::first(address)?;
        self.fd
            .io(Side::Write, |socket| socket.send_to(buf, address))
    }

    /// Sets the peer, for [`Self::send`] and [`Self::recv`].
    ///
    /// # Errors
    ///
    /// The error of the last address, if none can be reached.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// near.connect(far.local_addr()?)?;
    /// assert_eq!(near.peer_addr()?, far.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(&self, address: impl ToSocketAddrs + Send) -> io::Result<()> {
        resolve::first_of(address, |address| {
            self.fd.with(|socket| socket.connect(address))
        })
    }

    /// Receives one datagram from the peer. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of recv(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// far.connect(near.local_addr()?)?;
    /// near.send_to(b"hello", far.local_addr()?)?;
    /// let mut buf = [0; 64];
    /// assert_eq!(far.recv(&mut buf)?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.io(Side::Read, |socket| socket.recv(buf))
    }

    /// As [`Self::recv`], but leaves the datagram in the queue.
    ///
    /// # Errors
    ///
    /// The errors of recv(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// far.connect(near.local_addr()?)?;
    /// near.send_to(b"hello", far.local_addr()?)?;
    /// let mut buf = [0; 64];
    /// assert_eq!(far.peek(&mut buf)?, far.recv(&mut buf)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.io(Side::Read, |socket| socket.peek(buf))
    }

    /// Sends one datagram to the peer. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of send(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    /// near.connect(far.local_addr()?)?;
    /// assert_eq!(near.send(b"hello")?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.fd.io(Side::Write, |socket| socket.send(buf))
    }

    /// Another handle of the same socket, with separate deadlines.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(socket.try_clone()?.local_addr()?, socket.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: Fd::new(self.fd.with(net::UdpSocket::try_clone)?),
        })
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::UdpSocket::local_addr)
    }

    /// The address that [`Self::connect`] has set.
    ///
    /// # Errors
    ///
    /// If the socket is closed, or not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::UdpSocket::peer_addr)
    }

    /// Allows sending to broadcast addresses.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_broadcast(true)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.fd.with(|socket| socket.set_broadcast(broadcast))
    }

    /// Returns and clears the pending error of the socket (`SO_ERROR`), if there is one.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UdpSocket;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// assert!(socket.take_error()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.fd.with(net::UdpSocket::take_error)
    }
}
