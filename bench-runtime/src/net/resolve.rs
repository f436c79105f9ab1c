//! Looks up names, and tries the addresses of a name in turn.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::seam;

/// The addresses of a name. A look-up blocks the thread, so `blocking` runs it.
fn resolve<A: ToSocketAddrs + Send>(name: A) -> io::Result<impl Iterator<Item = SocketAddr>> {
    // Collected in `look_up`, because the iterator might look up further names.
    let look_up = move || io::Result::Ok(name.to_socket_addrs()?.collect::<Vec<_>>());
    // An address needs no look-up, so `blocking` would only cost time. std's iterator for an
    // address needs no drop; its iterator for a name does.
    let addresses = if std::mem::needs_drop::<A::Iter>() {
        seam::blocking(look_up)
    } else {
        look_up()
    };
    Ok(addresses?.into_iter())
}

/// The first success over the addresses of a name, or the last failure.
pub(super) fn first_of<T>(
    name: impl ToSocketAddrs + Send,
    mut f: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in resolve(name)? {
        match f(&address) {
            Ok(done) => return Ok(done),
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(no_address))
}

pub(super) fn first(name: impl ToSocketAddrs + Send) -> io::Result<SocketAddr> {
    resolve(name)?.next().ok_or_else(no_address)
}

fn no_address() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the name has no address; give a host and a port, as in 127.0.0.1:8080",
    )
}
