//! The TCP listener of lanes whose tasks block their thread.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use bench_runtime::net::Shared;
use nix::sys::socket::{Shutdown, shutdown};

use crate::host::backlog;
use crate::load::server_address;

pub(super) fn open() -> io::Result<(Arc<TcpListener>, SocketAddr)> {
    let listener = TcpListener::bind(server_address())?;
    backlog::lengthen(&listener)?;
    let address = listener.local_addr()?;
    Ok((Arc::new(listener), address))
}

/// Blocks the thread.
pub(super) fn accept(listener: &TcpListener) -> io::Result<Shared<TcpStream>> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(Shared::new(stream))
}

/// Ends an accept of another thread or a child, with EINVAL.
pub(super) fn close(listener: &TcpListener) {
    // On an error the listener is shut down already.
    let _ = shutdown(listener.as_raw_fd(), Shutdown::Both);
}
