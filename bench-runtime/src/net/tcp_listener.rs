use std::io;
use std::net::{self, SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;

use crate::net::TcpStream;
use crate::net::accept::BackOff;
use crate::net::convert::common;
use crate::net::fd::Fd;
use crate::net::resolve;
use crate::netpoll::Side;
use crate::sys::socket::{self, is_passing};

/// A socket that accepts TCP connections, as [`std::net::TcpListener`].
///
/// Any number of goroutines may accept at once.
///
/// # Examples
///
/// ```
/// use bench_runtime::net::{TcpListener, TcpStream};
/// use std::io::{self, Read, Write};
///
/// # fn main() -> io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// // In a runtime, this and each connection would be a goroutine.
/// std::thread::spawn(move || {
///     for stream in listener.incoming().flatten() {
///         let _ = io::copy(&mut &stream, &mut &stream);
///     }
/// });
///
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"echo")?;
/// let mut answer = [0; 4];
/// stream.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"echo");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpListener {
    fd: Fd<net::TcpListener>,
}

common!(TcpListener of net::TcpListener, reads set_deadline);

impl TcpListener {
    /// Listens at the first free address of a name; port 0 takes any free port. The queue of
    /// connections is as long as the kernel allows.
    ///
    /// # Errors
    ///
    /// The error of the last address, if none is free.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::TcpListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind(("127.0.0.1", 0))?;
    /// println!("listening at {}", listener.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind(address: impl ToSocketAddrs + Send) -> io::Result<Self> {
        resolve::first_of(address, |address| {
            let listener = net::TcpListener::bind(address)?;
            socket::lengthen_backlog(listener.as_fd())?;
            listener.try_into()
        })
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
    /// use bench_runtime::net::TcpListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_std(listener: net::TcpListener) -> io::Result<Self> {
        Self::try_from(listener)
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
    /// use bench_runtime::net::TcpListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener: std::net::TcpListener = TcpListener::bind("127.0.0.1:0")?.into_std()?;
    /// assert!(listener.take_error()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        self.try_into()
    }

    /// Accepts the next connection. Blocks the goroutine. A connection that was closed before it
    /// was accepted is skipped.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors. A server should survive this: see [`Self::incoming`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let near = TcpStream::connect(listener.local_addr()?)?;
    /// let (far, address) = listener.accept()?;
    /// assert_eq!(address, near.local_addr()?);
    /// assert_eq!(far.peer_addr()?, address);
    /// # Ok(())
    /// # }
    /// ```
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = self.fd.io(Side::Read, |listener| {
            loop {
                match socket::accept_tcp(listener.as_fd()) {
                    // The connection has ended already: accept the next.
                    Err(e) if is_passing(&e) => {}
                    done => return done,
                }
            }
        })?;
        Ok((TcpStream::accepted(socket), address))
    }

    /// Accepts connections until the listener is closed.
    ///
    /// If the process is out of descriptors or memory, the iterator pauses and tries again: for 5
    /// ms at first, then twice as long each time, up to a second. It returns other errors; the
    /// listener stays usable.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{TcpListener, TcpStream};
    /// use bench_runtime::{Runtime, go};
    /// use std::io::{Read, Write};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let greeting = unsafe { Runtime::builder().build() }?.run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     let address = listener.local_addr()?;
    ///     let server = go(move || {
    ///         for stream in listener.incoming().take(1) {
    ///             let mut stream = stream?;
    ///             go!(stream.write_all(b"hello"));
    ///         }
    ///         std::io::Result::Ok(())
    ///     });
    ///     let mut text = String::new();
    ///     TcpStream::connect(address)?.read_to_string(&mut text)?;
    ///     server.join().unwrap()?;
    ///     std::io::Result::Ok(text)
    /// })?;
    /// assert_eq!(greeting, "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn incoming(&self) -> TcpIncoming<'_> {
        TcpIncoming {
            listener: self,
            back_off: BackOff::new(),
        }
    }

    /// Another handle of the same listener, with separate deadlines.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::TcpListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let second = listener.try_clone()?;
    /// assert_eq!(second.local_addr()?, listener.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: Fd::new(self.fd.with(net::TcpListener::try_clone)?),
        })
    }

    /// The listener's address.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::TcpListener::local_addr)
    }
}

/// The iterator of [`TcpListener::incoming`].
///
/// # Examples
///
/// ```
/// use bench_runtime::net::{TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let near = TcpStream::connect(listener.local_addr()?)?;
/// let mut incoming = listener.incoming();
/// let far = incoming.next().expect("the listener is open")?;
/// assert_eq!(far.peer_addr()?, near.local_addr()?);
///
/// listener.close()?;
/// assert!(incoming.next().is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpIncoming<'a> {
    listener: &'a TcpListener,
    back_off: BackOff,
}

impl Iterator for TcpIncoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        let listener = self.listener;
        self.back_off
            .accept(|| listener.accept().map(|(stream, _)| stream))
    }
}
