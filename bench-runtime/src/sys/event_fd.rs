use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::eventfd::{EfdFlags, EventFd as Raw};

/// An eventfd, which another thread makes readable. Never blocks.
#[derive(Debug)]
pub(crate) struct EventFd(Raw);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Raw::from_value_and_flags(
            0,
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?))
    }

    /// A write to a full counter fails; the eventfd is readable then.
    pub(crate) fn set(&self) {
        let _ = self.0.write(1);
    }

    pub(crate) fn clear(&self) {
        let _ = self.0.read();
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
