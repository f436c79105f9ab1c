//! The methods that all types have in common: deadlines, closing, descriptors.

/// The parts of the examples that differ by type.
macro_rules! shown {
    (made Descriptor) => {
        "let (near, _far) = std::os::unix::net::UnixStream::pair()?;\n\
         let descriptor = Descriptor::new(near);"
    };
    (made TcpListener) => {
        "let listener = TcpListener::bind(\"127.0.0.1:0\")?;"
    };
    (made TcpStream) => {
        "let listener = TcpListener::bind(\"127.0.0.1:0\")?;\n\
         let stream = TcpStream::connect(listener.local_addr()?)?;"
    };
    (made UdpSocket) => {
        "let socket = UdpSocket::bind(\"127.0.0.1:0\")?;\n\
         socket.connect(socket.local_addr()?)?;"
    };
    (made UnixDatagram) => {
        "let (socket, _far) = UnixDatagram::pair()?;"
    };
    (made UnixListener) => {
        "# let dir = tempfile::tempdir()?;\n\
         let listener = UnixListener::bind(dir.path().join(\"socket\"))?;"
    };
    (made UnixStream) => {
        "let (stream, _far) = UnixStream::pair()?;"
    };
    (made PipeReader) => {
        "let (reader, _writer) = pipe()?;"
    };
    (made PipeWriter) => {
        "let (_reader, writer) = pipe()?;"
    };

    (name Descriptor) => {
        "descriptor"
    };
    (name TcpListener) => {
        "listener"
    };
    (name UnixListener) => {
        "listener"
    };
    (name TcpStream) => {
        "stream"
    };
    (name UnixStream) => {
        "stream"
    };
    (name UdpSocket) => {
        "socket"
    };
    (name UnixDatagram) => {
        "socket"
    };
    (name PipeReader) => {
        "reader"
    };
    (name PipeWriter) => {
        "writer"
    };

    (read Descriptor) => {
        "descriptor.wait_readable()"
    };
    (read TcpListener) => {
        "listener.accept()"
    };
    (read UnixListener) => {
        "listener.accept()"
    };
    (read TcpStream) => {
        "(&stream).read(&mut [0])"
    };
    (read UnixStream) => {
        "(&stream).read(&mut [0])"
    };
    (read UdpSocket) => {
        "socket.recv(&mut [0])"
    };
    (read UnixDatagram) => {
        "socket.recv(&mut [0])"
    };
    (read PipeReader) => {
        "(&reader).read(&mut [0])"
    };

    (write Descriptor) => {
        "descriptor.wait_writable()"
    };
    (write TcpStream) => {
        "(&stream).write(b\"late\")"
    };
    (write UnixStream) => {
        "(&stream).write(b\"late\")"
    };
    (write UdpSocket) => {
        "socket.send(b\"late\")"
    };
    (write UnixDatagram) => {
        "socket.send(b\"late\")"
    };
    (write PipeWriter) => {
        "(&writer).write(b\"late\")"
    };
}

/// The methods and traits of a type that wraps one [`super::fd::Fd`] of `$std`.
macro_rules! common {
    ($type:ident of $std:ty $(, reads $read:ident)? $(, writes $write:ident)?) => {
        $crate::net::convert::deadlines!($type $(, reads $read)? $(, writes $write)?);

        impl TryFrom<$std> for $type {
            type Error = std::io::Error;

            /// Takes over std's type, which becomes non-blocking, along with
            /// all duplicates of its descriptor.
            fn try_from(inner: $std) -> std::io::Result<Self> {
                Ok(Self {
                    fd: $crate::net::fd::Fd::from_blocking(inner)?,
                })
            }
        }

        impl TryFrom<$type> for $std {
            type Error = std::io::Error;

            /// Converts to std's type, whose operations block the thread.
            fn try_from(outer: $type) -> std::io::Result<Self> {
                outer.fd.into_blocking()
            }
        }
    };
}

/// Deadlines, `close` and the descriptor, for a type that has one [`super::fd::Fd`].
macro_rules! deadlines {
    ($type:ident $(, reads $read:ident)? $(, writes $write:ident)?) => {
        impl $type {
            $(
                /// Sets the read deadline: operations to read (or to accept) fail once this instant
                /// has passed, also those that wait already. `None` removes the deadline.
                ///
                /// # Examples
                ///
                /// ```
                /// # use bench_runtime::net::*;
                /// # use std::io::{self, Read, Write};
                /// use std::time::{Duration, Instant};
                ///
                /// # fn main() -> io::Result<()> {
                #[doc = $crate::net::convert::shown!(made $type)]
                #[doc = concat!($crate::net::convert::shown!(name $type), ".", stringify!($read), "(Some(Instant::now() + Duration::from_millis(1)));")]
                #[doc = concat!("let late = ", $crate::net::convert::shown!(read $type), ".unwrap_err();")]
                /// assert_eq!(late.kind(), io::ErrorKind::TimedOut);
                /// # Ok(())
                /// # }
                /// ```
                pub fn $read(&self, deadline: Option<std::time::Instant>) {
                    self.fd.set_deadline($crate::netpoll::Side::Read, deadline);
                }

                /// A future that is ready when an operation to read (or to accept) would not
                /// block: for a case of [`select!`](crate::select), or for async code.
                ///
                /// # Examples
                ///
                /// ```
                /// # use bench_runtime::net::*;
                /// # use std::io;
                /// use bench_runtime::select;
                /// use std::time::Duration;
                ///
                /// # fn main() -> io::Result<()> {
                #[doc = $crate::net::convert::shown!(made $type)]
                /// select! {
                #[doc = concat!("    future(", $crate::net::convert::shown!(name $type), ".readable()) -> ready => ready?,")]
                ///     timeout(Duration::from_millis(1)) => println!("nothing came"),
                /// }
                /// # Ok(())
                /// # }
                /// ```
                pub fn readable(&self) -> $crate::net::Readiness<'_> {
                    self.fd.readiness($crate::netpoll::Side::Read)
                }
            )?
            $(
                /// Sets the write deadline: operations to write fail once this instant has passed,
                /// also those that wait already. `None` removes the deadline.
                ///
                /// # Examples
                ///
                /// ```
                /// # use bench_runtime::net::*;
                /// # use std::io::{self, Read, Write};
                /// use std::time::{Duration, Instant};
                ///
                /// # fn main() -> io::Result<()> {
                #[doc = $crate::net::convert::shown!(made $type)]
                #[doc = concat!($crate::net::convert::shown!(name $type), ".", stringify!($write), "(Some(Instant::now() - Duration::from_millis(1)));")]
                #[doc = concat!("let late = ", $crate::net::convert::shown!(write $type), ".unwrap_err();")]
                /// assert_eq!(late.kind(), io::ErrorKind::TimedOut);
                /// # Ok(())
                /// # }
                /// ```
                pub fn $write(&self, deadline: Option<std::time::Instant>) {
                    self.fd.set_deadline($crate::netpoll::Side::Write, deadline);
                }

                /// A future that is ready when an operation to write would not block: for a
                /// case of [`select!`](crate::select), or for async code.
                ///
                /// # Examples
                ///
                /// ```
                /// # use bench_runtime::net::*;
                /// # use std::io;
                ///
                /// # fn main() -> io::Result<()> {
                #[doc = $crate::net::convert::shown!(made $type)]
                #[doc = concat!("bench_runtime::future::block_on(", $crate::net::convert::shown!(name $type), ".writable())?;")]
                /// # Ok(())
                /// # }
                /// ```
                pub fn writable(&self) -> $crate::net::Readiness<'_> {
                    self.fd.readiness($crate::netpoll::Side::Write)
                }
            )?

            /// Closes the descriptor, without waiting. The peer sees the end of the stream.
            /// Operations that wait now fail, and later ones do too.
            ///
            /// A clone is a separate descriptor: it stays open, and so does the connection or the
            /// port. To close a descriptor that another goroutine uses, share it by an `Arc`.
            ///
            /// # Errors
            ///
            /// If it is closed already.
            ///
            /// # Examples
            ///
            /// ```
            /// # use bench_runtime::net::*;
            /// # use std::io::{self, Read, Write};
            ///
            /// # fn main() -> io::Result<()> {
            #[doc = $crate::net::convert::shown!(made $type)]
            #[doc = concat!($crate::net::convert::shown!(name $type), ".close()?;")]
            #[doc = concat!("let twice = ", $crate::net::convert::shown!(name $type), ".close().unwrap_err();")]
            /// assert!(is_closed_error(&twice));
            /// # Ok(())
            /// # }
            /// ```
            pub fn close(&self) -> std::io::Result<()> {
                self.fd.close()
            }
        }

        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.fd.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                use std::os::fd::AsFd;
                self.fd.as_fd().as_raw_fd()
            }
        }
    };
}

/// `set_deadline`, for a type with both sides or with one.
macro_rules! both_deadlines {
    ($type:ident) => {
        $crate::net::convert::both_deadlines!(
            $type, "Sets the deadlines of both sides.",
            read, set_read_deadline, set_write_deadline
        );
    };
    ($type:ident, $what:literal, $shown:ident, $($set:ident),+) => {
        impl $type {
            #[doc = $what]
            ///
            /// # Examples
            ///
            /// ```
            /// # use bench_runtime::net::*;
            /// # use std::io::{self, Read, Write};
            /// use std::time::{Duration, Instant};
            ///
            /// # fn main() -> io::Result<()> {
            #[doc = $crate::net::convert::shown!(made $type)]
            #[doc = concat!($crate::net::convert::shown!(name $type), ".set_deadline(Some(Instant::now() - Duration::from_millis(1)));")]
            #[doc = concat!("let late = ", $crate::net::convert::shown!($shown $type), ".unwrap_err();")]
            /// assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            /// # Ok(())
            /// # }
            /// ```
            pub fn set_deadline(&self, deadline: Option<std::time::Instant>) {
                $(self.$set(deadline);)+
            }
        }
    };
}

macro_rules! read_timeout {
    ($type:ident) => {
        impl $type {
            /// Operations to read that begin after this call fail if they take longer than
            /// `timeout`; `None` removes the limit.
            ///
            /// # Errors
            ///
            /// With [`std::io::ErrorKind::InvalidInput`] for zero.
            ///
            /// # Examples
            ///
            /// ```
            /// # use bench_runtime::net::*;
            /// # use std::io::{self, Read, Write};
            /// use std::time::Duration;
            ///
            /// # fn main() -> io::Result<()> {
            #[doc = $crate::net::convert::shown!(made $type)]
            #[doc = concat!($crate::net::convert::shown!(name $type), ".set_read_timeout(Some(Duration::from_millis(1)))?;")]
            #[doc = concat!("assert_eq!(", $crate::net::convert::shown!(name $type), ".read_timeout(), Some(Duration::from_millis(1)));")]
            #[doc = concat!("let late = ", $crate::net::convert::shown!(read $type), ".unwrap_err();")]
            /// assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            /// # Ok(())
            /// # }
            /// ```
            pub fn set_read_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.fd.set_timeout($crate::netpoll::Side::Read, timeout)
            }

            /// The time-out of operations to read.
            pub fn read_timeout(&self) -> Option<std::time::Duration> {
                self.fd.timeout($crate::netpoll::Side::Read)
            }
        }
    };
}

macro_rules! write_timeout {
    ($type:ident) => {
        impl $type {
            /// Operations to write that begin after this call fail if they take longer than
            /// `timeout`; `None` removes the limit.
            ///
            /// # Errors
            ///
            /// With [`std::io::ErrorKind::InvalidInput`] for zero.
            ///
            /// # Examples
            ///
            /// ```
            /// # use bench_runtime::net::*;
            /// # use std::io::{self, Read, Write};
            /// use std::time::Duration;
            ///
            /// # fn main() -> io::Result<()> {
            #[doc = $crate::net::convert::shown!(made $type)]
            #[doc = concat!($crate::net::convert::shown!(name $type), ".set_write_timeout(Some(Duration::from_secs(5)))?;")]
            #[doc = concat!("assert_eq!(", $crate::net::convert::shown!(name $type), ".write_timeout(), Some(Duration::from_secs(5)));")]
            /// # Ok(())
            /// # }
            /// ```
            pub fn set_write_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.fd.set_timeout($crate::netpoll::Side::Write, timeout)
            }

            /// The time-out of operations to write.
            pub fn write_timeout(&self) -> Option<std::time::Duration> {
                self.fd.timeout($crate::netpoll::Side::Write)
            }
        }
    };
}

macro_rules! read_by_ref {
    ($type:ident) => {
        impl std::io::Read for $type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }
    };
}

macro_rules! write_by_ref {
    ($type:ident) => {
        impl std::io::Write for $type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
                (&*self).write_fmt(text)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(super) use {
    both_deadlines, common, deadlines, read_by_ref, read_timeout, shown, write_by_ref,
    write_timeout,
};
