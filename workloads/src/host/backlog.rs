use std::io;
use std::os::fd::AsFd;

use nix::sys::socket::{Backlog, listen};

/// Makes a listening socket's queue as long as the host allows (`net.core.somaxconn`); the standard
/// library sets 128. When the queue is full, the kernel drops the first packet of a connection, and
/// the client repeats it after a second.
pub(crate) fn lengthen(listener: &impl AsFd) -> io::Result<()> {
    Ok(listen(&listener.as_fd(), Backlog::MAXALLOWABLE)?)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn most() -> usize {
        let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        text.trim().parse().unwrap()
    }

    fn connections(address: SocketAddr, wanted: usize) -> usize {
        let timeout = Duration::from_millis(300);
        let connect = |_| TcpStream::connect_timeout(&address, timeout).ok();
        let all: Vec<_> = (0..wanted).map_while(connect).collect();
        all.len()
    }

    #[test]
    fn more_than_128_connections_wait_to_be_accepted() {
        let wanted = 256.min(most());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        lengthen(&listener).unwrap();
        assert_eq!(connections(listener.local_addr().unwrap(), wanted), wanted);
    }
}
