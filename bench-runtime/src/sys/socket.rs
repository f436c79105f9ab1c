//! Sockets that are non-blocking from their creation, which std cannot make.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};

/// The most connections that may wait to be accepted. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 1 << 16;

pub(crate) fn tcp(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    stream(family)
}

pub(crate) fn unix() -> io::Result<OwnedFd> {
    stream(AddressFamily::Unix)
}

fn stream(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket::socket(family, SockType::Stream, flags, None)?)
}

/// True if the socket is connected. Else it becomes writable when the connect has ended.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<bool> {
    connected(socket::connect(
        fd.as_raw_fd(),
        &SockaddrStorage::from(*address),
    ))
}

/// As [`connect`], for a Unix socket, which connects at once. Fails with `EAGAIN` if the listener's
/// queue is full.
pub(crate) fn connect_unix(fd: BorrowedFd<'_>, address: &UnixAddr) -> io::Result<bool> {
    let address = if let Some(path) = address.as_pathname() {
        socket::UnixAddr::new(path)?
    } else if let Some(name) = address.as_abstract_name() {
        socket::UnixAddr::new_abstract(name)?
    } else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an unnamed socket cannot be connected to; give it a path or an abstract name",
        ));
    };
    connected(socket::connect(fd.as_raw_fd(), &address))
}

fn connected(result: nix::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        // A connect that a signal interrupts continues in the kernel.
        Err(nix::Error::EINPROGRESS | nix::Error::EINTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Sets TCP_NODELAY. An error is ignored, because the socket works without it.
pub(crate) fn send_at_once(fd: BorrowedFd<'_>) {
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads one int, which outlives the call.
    unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            len,
        )
    };
}

/// Lengthens the backlog of a socket that listens already.
pub(crate) fn lengthen_backlog(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is passed.
    if unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

pub(crate) fn accept_tcp(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the storage, which has that many.
    let accepted = unsafe {
        libc::accept4(
            fd.as_raw_fd(),
            storage.as_mut_ptr().cast(),
            &raw mut len,
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    };
    if accepted < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    let accepted = unsafe { OwnedFd::from_raw_fd(accepted) };
    // SAFETY: zeroed bytes are a valid sockaddr_storage, and the kernel has written a valid one
    // over them.
    let storage = unsafe { storage.assume_init() };
    Ok((accepted, address_of(&storage)?))
}

fn address_of(storage: &libc::sockaddr_storage) -> io::Result<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is larger and stricter aligned,
            // begins with a sockaddr_in.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            Ok(SocketAddr::V4(SocketAddrV4::new(
                Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)),
                u16::from_be(v4.sin_port),
            )))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with a sockaddr_in6.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            Ok(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(v6.sin6_addr.s6_addr),
                u16::from_be(v6.sin6_port),
                v6.sin6_flowinfo,
                v6.sin6_scope_id,
            )))
        }
        family => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a TCP connection came from address family {family}, neither IPv4 nor IPv6"),
        )),
    }
}

/// True if the process or the machine lacks a resource that may become free again.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// True for an error of the connection, not of the listener: accept(2) says to try again.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}
