//! Sockets and pipes that block the goroutine and not its thread.
//!
//! The types have the names and methods of std's; the documentation of a method says how it
//! differs. All types:
//!
//! - can be used by several goroutines at once through `&T`; operations that wait for the same
//!   side, reading or writing, wait in a queue;
//! - have *deadlines* and *time-outs*. A deadline is a point in time; it applies to operations that
//!   wait and to later ones, until it is changed. A time-out limits each later operation. An
//!   operation that is late fails with [`io::ErrorKind::TimedOut`];
//! - have `close`, which ends other goroutines' operations at once and makes later ones fail, with
//!   an error for which [`is_closed_error`] is true; the drop of the last handle closes too;
//! - have `readable` and `writable`, futures for [`select!`](crate::select) and async code;
//! - work on a plain thread too, which then blocks.
//!
//! For descriptors without a type here there is [`Descriptor`].
//!
//! ```
//! use bench_runtime::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let server = std::thread::spawn(move || -> std::io::Result<()> {
//!     let (mut stream, _) = listener.accept()?;
//!     stream.write_all(b"hello")
//! });
//! let mut text = String::new();
//! TcpStream::connect(address)?.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! # server.join().unwrap()
//! # }
//! ```

use std::io;

mod accept;
mod attempt;
mod convert;
mod descriptor;
pub(crate) mod fd;
mod outside;
mod pipe;
mod readiness;
mod resolve;
mod shared;
mod tcp_listener;
mod tcp_stream;
#[cfg(test)]
mod tests;
mod udp;
mod unix_datagram;
mod unix_listener;
mod unix_stream;
mod wait;

pub use descriptor::Descriptor;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use readiness::Readiness;
pub use shared::Shared;
pub use tcp_listener::{TcpIncoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::{UnixIncoming, UnixListener};
pub use unix_stream::UnixStream;

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("use of a closed network connection")]
struct Closed;

#[cold]
fn closed_error() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, Closed)
}

/// Whether an operation failed because this side has closed the descriptor,
/// while the operation waited or before.
///
/// # Examples
///
/// ```
/// use bench_runtime::net::{TcpListener, is_closed_error};
///
/// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
/// listener.close().unwrap();
/// assert!(is_closed_error(&listener.accept().unwrap_err()));
/// ```
pub fn is_closed_error(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Closed>())
}
