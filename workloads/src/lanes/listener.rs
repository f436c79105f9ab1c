//! The TCP listener of lanes whose tasks block their thread: threads and processes.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use bench_runtime::net::Shared;
use nix::sys::socket::{Shutdown, shutdown};

use crate::host::backlog;
use crate::load::server_address;

/// A listener on the server's address, with the longest queue that the host allows.
pub(super) fn open() -> io::Result<(Arc<TcpListener>, SocketAddr)> {
    let listener = TcpListener::bind(server_address())?;
    backlog::lengthen(&listener)?;
    let address = listener.local_addr()?;
    Ok((Arc::new(listener), address))
}

/// Takes a connection. Blocks the thread.
pub(super) fn accept(listener: &TcpListener) -> io::Result<Shared<TcpStream>> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(Shared::new(stream))
}

/// Ends an accept that blocks in another thread or in a child, with EINVAL.
pub(super) fn close(listener: &TcpListener) {
    // An error means that the listener is shut down already.
    let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
}
