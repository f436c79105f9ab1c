use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::net::convert::{
    both_deadlines, common, read_by_ref, read_timeout, write_by_ref, write_timeout,
};
use crate::net::fd::{Fd, limit_ns};
use crate::net::resolve;
use crate::netpoll::Side;
use crate::sys::{socket, transfer};
use crate::util::write::write_at_once;

/// A TCP connection, as [`std::net::TcpStream`]. But a connection that was made or accepted here
/// sends small writes at once, as in Go: `TCP_NODELAY` is set.
///
/// `&TcpStream` reads and writes, so several goroutines may use one stream. For functions that take
/// a reader or a writer by value there is [`Shared`](super::Shared). A call of `write!` sends its
/// text as one piece.
///
/// # Examples
///
/// ```
/// use bench_runtime::net::{TcpListener, TcpStream};
/// use std::io::{BufRead, BufReader, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// (&stream).write_all(b"one\ntwo\n")?;
///
/// let (peer, address) = listener.accept()?;
/// assert_eq!(address, stream.local_addr()?);
/// drop(stream);
/// let lines: Vec<String> = BufReader::new(peer).lines().collect::<Result<_, _>>()?;
/// assert_eq!(lines, ["one", "two"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpStream {
    fd: Fd<net::TcpStream>,
}

common!(TcpStream of net::TcpStream, reads set_read_deadline, writes set_write_deadline);
both_deadlines!(TcpStream);
read_timeout!(TcpStream);
write_timeout!(TcpStream);
read_by_ref!(TcpStream);
write_by_ref!(TcpStream);

impl TcpStream {
    /// Connects to the first address of a name that accepts. Blocks the goroutine;
    /// [`blocking`](crate::blocking()) runs the look-up of the name.
    ///
    /// # Errors
    ///
    /// The error of the last address, if none accepts.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("localhost:0")?;
    /// let port = listener.local_addr()?.port();
    /// let stream = TcpStream::connect(("localhost", port))?;
    /// assert_eq!(stream.peer_addr()?.port(), port);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(address: impl ToSocketAddrs + Send) -> io::Result<Self> {
        resolve::first_of(address, |address| Self::connect_one(address, None))
    }

    /// Connects to an address, within `timeout`. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] after that time, and [`io::ErrorKind::InvalidInput`] if
    /// `timeout` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    /// assert_eq!(stream.peer_addr()?, address);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Go's `DialContext`, for the deadline of a context:
    ///
    /// ```
    /// use bench_runtime::blocking;
    /// use bench_runtime::context::Context;
    /// use bench_runtime::net::{TcpListener, TcpStream};
    /// use std::io;
    /// use std::net::ToSocketAddrs;
    /// use std::time::Duration;
    ///
    /// fn dial(ctx: &Context, name: &str) -> io::Result<TcpStream> {
    ///     let mut last = io::ErrorKind::NotFound.into();
    ///     for address in blocking(|| name.to_socket_addrs())? {
    ///         let left = match ctx.deadline() {
    ///             _ if ctx.is_done() => return Err(io::Error::other(ctx.cause().unwrap())),
    ///             Some(end) => end.saturating_duration_since(bench_runtime::time::now()),
    ///             None => Duration::from_secs(3600),
    ///         };
    ///         match TcpStream::connect_timeout(&address, left.max(Duration::from_nanos(1))) {
    ///             Ok(stream) => return Ok(stream),
    ///             Err(error) => last = error,
    ///         }
    ///     }
    ///     Err(last)
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let listener = TcpListener::bind("localhost:0")?;
    /// let name = format!("localhost:{}", listener.local_addr()?.port());
    /// let (ctx, cancel) = Context::background().with_timeout(Duration::from_secs(60));
    /// assert!(dial(&ctx, &name).is_ok());
    /// cancel.cancel();
    /// assert!(dial(&ctx, &name).is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A cancel does not end a connect that has begun; only the time-out does.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a time-out of zero would always have passed; use connect for no time-out",
            ));
        }
        Self::connect_one(address, Some(timeout))
    }

    fn connect_one(address: &SocketAddr, timeout: Option<Duration>) -> io::Result<Self> {
        let limit_ns = limit_ns(timeout);
        let socket = socket::tcp(address)?;
        socket::send_at_once(socket.as_fd());
        let is_done = socket::connect(socket.as_fd(), address)?;
        let fd = Fd::new(net::TcpStream::from(socket));
        if !is_done {
            fd.wait_connected(limit_ns, net::TcpStream::take_error, |inner| {
                inner.peer_addr().is_ok()
            })?;
        }
        Ok(Self { fd })
    }

    /// Wraps an accepted socket that is in non-blocking mode.
    pub(super) fn accepted(socket: OwnedFd) -> Self {
        socket::send_at_once(socket.as_fd());
        Self {
            fd: Fd::accepted(net::TcpStream::from(socket)),
        }
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
    /// use bench_runtime::net::TcpStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// let stream = TcpStream::from_std(stream)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_std(stream: net::TcpStream) -> io::Result<Self> {
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
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// // For a library that needs std's type, and blocks the thread.
    /// let stream: std::net::TcpStream = stream.into_std()?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::TcpStream> {
        self.try_into()
    }

    /// Reads without removing the data. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of recv(2), of a close, and of a deadline or time-out.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut near = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut far, _) = listener.accept()?;
    /// near.write_all(b"G")?;
    /// let mut first = [0];
    /// far.peek(&mut first)?;
    /// assert_eq!(&first, b"G");
    /// // The data is still there.
    /// far.read_exact(&mut first)?;
    /// assert_eq!(&first, b"G");
    /// # Ok(())
    /// # }
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.io(Side::Read, |stream| stream.peek(buf))
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
    /// use bench_runtime::net::{TcpListener, TcpStream};
    /// use std::io::{Read, Write};
    /// use std::net::Shutdown;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut near = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut far, _) = listener.accept()?;
    /// near.write_all(b"all that I say")?;
    /// near.shutdown(Shutdown::Write)?;
    /// let mut text = String::new();
    /// far.read_to_string(&mut text)?;
    /// assert_eq!(text, "all that I say");
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
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// let second = stream.try_clone()?;
    /// assert_eq!(second.local_addr()?, stream.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: Fd::new(self.fd.with(net::TcpStream::try_clone)?),
        })
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::TcpStream::local_addr)
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// If the socket is no longer connected.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// assert_ne!(stream.local_addr()?, stream.peer_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::TcpStream::peer_addr)
    }

    /// Sets whether small writes are sent at once (`TCP_NODELAY`), or only when all earlier data is
    /// acknowledged. The default is true, except for a stream made from std's.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.nodelay()?);
    /// stream.set_nodelay(false)?;
    /// assert!(!stream.nodelay()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.fd.with(|stream| stream.set_nodelay(nodelay))
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.fd.with(net::TcpStream::nodelay)
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_ttl(32)?;
    /// assert_eq!(stream.ttl()?, 32);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.fd.with(|stream| stream.set_ttl(ttl))
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn ttl(&self) -> io::Result<u32> {
        self.fd.with(net::TcpStream::ttl)
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
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.take_error()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.fd.with(net::TcpStream::take_error)
    }
}

impl Read for &TcpStream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd
            .read_tcp(buf.len(), |stream| transfer::receive(stream.as_fd(), buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.fd
            .read_tcp(len, |mut stream| stream.read_vectored(bufs))
    }
}

impl Write for &TcpStream {
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
