use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use crate::net::UnixStream;
use crate::net::accept::BackOff;
use crate::net::convert::common;
use crate::net::fd::Fd;
use crate::netpoll::Side;
use crate::sys::socket::{self, is_passing};

/// A Unix socket that accepts connections, as [`std::os::unix::net::UnixListener`].
///
/// Dropping the listener does not remove the path. Remove the path before the next bind.
///
/// # Examples
///
/// ```
/// use bench_runtime::net::{UnixListener, UnixStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("socket");
/// let listener = UnixListener::bind(&path)?;
/// let mut near = UnixStream::connect(&path)?;
/// let (mut far, _) = listener.accept()?;
/// near.write_all(b"x")?;
/// let mut byte = [0];
/// far.read_exact(&mut byte)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixListener {
    fd: Fd<net::UnixListener>,
}

common!(UnixListener of net::UnixListener, reads set_deadline);

impl UnixListener {
    /// Makes a socket at a path and listens there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] if the path exists.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::UnixListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("socket");
    /// let listener = UnixListener::bind(&path)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`Self::bind`], at any address, such as an abstract one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] if another socket listens.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::net::{UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let name = format!("example-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// UnixStream::connect_addr(&address)?;
    /// listener.accept()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        let listener = net::UnixListener::bind_addr(address)?;
        socket::lengthen_backlog(listener.as_fd())?;
        listener.try_into()
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
    /// use bench_runtime::net::UnixListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let listener = std::os::unix::net::UnixListener::bind(dir.path().join("socket"))?;
    /// let listener = UnixListener::from_std(listener)?;
    /// assert!(listener.local_addr()?.as_pathname().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_std(listener: net::UnixListener) -> io::Result<Self> {
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
    /// use bench_runtime::net::UnixListener;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let listener = UnixListener::bind(dir.path().join("socket"))?.into_std()?;
    /// assert!(listener.take_error()?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::UnixListener> {
        self.try_into()
    }

    /// Accepts the next connection. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors. A server should survive this: see [`Self::incoming`].
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, address) = self.fd.io(Side::Read, |listener| {
            loop {
                match listener.accept() {
                    // The connection has ended already: accept the next.
                    Err(e) if is_passing(&e) => {}
                    done => return done,
                }
            }
        })?;
        Ok((UnixStream::accepted(stream)?, address))
    }

    /// Accepts connections until the listener is closed. If the process is out of descriptors or
    /// memory, pauses as [`crate::net::TcpListener::incoming`] does.
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
    /// let clients: Vec<_> = (0..3).map(|_| UnixStream::connect(&path)).collect();
    /// assert_eq!(listener.incoming().flatten().take(3).count(), clients.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming {
            listener: self,
            back_off: BackOff::new(),
        }
    }

    /// The listener's address.
    ///
    /// # Errors
    ///
    /// If the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.with(net::UnixListener::local_addr)
    }
}

/// The iterator of [`UnixListener::incoming`].
///
/// # Examples
///
/// ```
/// use bench_runtime::net::UnixListener;
///
/// # fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// let listener = UnixListener::bind(dir.path().join("socket"))?;
/// let mut incoming = listener.incoming();
/// listener.close()?;
/// assert!(incoming.next().is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
    back_off: BackOff,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<Self::Item> {
        let listener = self.listener;
        self.back_off
            .accept(|| listener.accept().map(|(stream, _)| stream))
    }
}
