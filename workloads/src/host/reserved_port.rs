//! A port of TCP that is kept for a server which starts later.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};

/// A port that the kernel gives to no other program while this value is alive. Its socket does not
/// listen, so it accepts no connection, and a server that sets `SO_REUSEADDR`, as Redis and every
/// listener of Rust do, can listen on the port meanwhile.
#[derive(Debug)]
pub struct ReservedPort {
    /// The address with the port.
    pub address: SocketAddr,
    _socket: OwnedFd,
}

impl ReservedPort {
    /// Reserves the port of `address`, or a free one if that is 0.
    ///
    /// # Errors
    ///
    /// The errors of socket(2) and bind(2): `AddrInUse` if a server listens there.
    pub fn at(address: SocketAddrV4) -> io::Result<Self> {
        let kind = (AddressFamily::Inet, SockType::Stream);
        let socket = socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
        let bound: SockaddrIn = getsockname(socket.as_raw_fd())?;
        Ok(Self {
            address: SocketAddrV4::from(bound).into(),
            _socket: socket,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn reserved_port_refuses_connections_and_is_given_only_to_a_bind_that_names_it() {
        let reserved = ReservedPort::at(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(TcpStream::connect(reserved.address).is_err());
        for _ in 0..1_000 {
            let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            assert_ne!(other.local_addr().unwrap(), reserved.address);
        }
        let named = TcpListener::bind(reserved.address).unwrap();
        assert!(TcpStream::connect(reserved.address).is_ok());
        drop(named);
    }
}
