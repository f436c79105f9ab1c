//! userfaultfd, for one purpose: to put a page where there is none, in one atomic step.
//!
//! The range is registered for write-protection only, and no page is ever write-protected. So the
//! kernel adds pages as usual, and sends no fault. The registration allows `UFFDIO_COPY`, which
//! replaces a guard marker.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::map::PAGE;

// From linux/userfaultfd.h; the libc crate has none of it.
const UFFD_USER_MODE_ONLY: libc::c_int = 1;
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_COPY: libc::c_ulong = 0xc028_aa03;
const REGISTER_MODE_WP: u64 = 1 << 1;
/// Bit of `UFFDIO_COPY` in the answer to a registration.
const HAS_COPY: u64 = 1 << 3;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    bytes: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Copy {
    to: u64,
    from: u64,
    bytes: u64,
    mode: u64,
    copied: i64,
}

#[derive(Debug)]
pub(crate) struct UserFault(OwnedFd);

impl UserFault {
    /// Needs no privilege.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY;
        // SAFETY: takes flags and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = libc::c_int::try_from(fd)
            .ok()
            .filter(|&fd| fd >= 0)
            .ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel has just given us this descriptor.
        let this = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut api = Api {
            api: UFFD_API,
            features: 0,
            ioctls: 0,
        };
        // SAFETY: the request takes a `uffdio_api`, whose layout `Api` has.
        unsafe { this.ioctl(UFFDIO_API, (&raw mut api).cast()) }?;
        Ok(this)
    }

    pub(crate) fn register(&self, start: usize, bytes: usize) -> io::Result<()> {
        let mut register = Register {
            start: start as u64,
            bytes: bytes as u64,
            mode: REGISTER_MODE_WP,
            ioctls: 0,
        };
        // SAFETY: the request takes a `uffdio_register`, whose layout `Register` has; it changes no
        // memory.
        unsafe { self.ioctl(UFFDIO_REGISTER, (&raw mut register).cast()) }?;
        match register.ioctls & HAS_COPY {
            0 => Err(io::ErrorKind::Unsupported.into()),
            _ => Ok(()),
        }
    }

    /// Puts a page with these bytes at `to`. A page that is already there stays. Allowed in a
    /// signal handler.
    ///
    /// # Safety
    ///
    /// `to` is a page in a registered range, and `from` is readable for a page.
    pub(crate) unsafe fn fill(&self, to: usize, from: *const u8) -> io::Result<()> {
        loop {
            let mut copy = Copy {
                to: to as u64,
                from: from as u64,
                bytes: PAGE as u64,
                mode: 0,
                copied: 0,
            };
            // SAFETY: the request takes a `uffdio_copy`, whose layout `Copy` has; the rest is the
            // caller's promise.
            let answer = unsafe { self.ioctl(UFFDIO_COPY, (&raw mut copy).cast()) };
            match answer {
                Ok(()) => return Ok(()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EEXIST) => return Ok(()),
                    // The address space is changing.
                    Some(libc::EAGAIN | libc::EINTR) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// # Safety
    ///
    /// `argument` points to the structure that the request reads and writes.
    unsafe fn ioctl(&self, request: libc::c_ulong, argument: *mut libc::c_void) -> io::Result<()> {
        // SAFETY: by the caller's promise.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::madvise::{Advice, PageRange, advise};
    use crate::sys::map::{self, Access};

    #[test]
    fn fill_replaces_a_guard_marker_and_leaves_a_page_alone() {
        let userfault = match UserFault::open() {
            Ok(userfault) => userfault,
            Err(error) => {
                eprintln!("skipped: no userfaultfd here: {error}");
                return;
            }
        };
        let start = map::reserve(2 * PAGE, PAGE).unwrap();
        let bytes = [7u8; PAGE];
        // SAFETY: the range is this test's own.
        unsafe {
            map::protect(start, 2 * PAGE, Access::ReadWrite).unwrap();
            userfault.register(start, 2 * PAGE).unwrap();
            let (first, second) = (start as *mut u8, (start + PAGE) as *mut u8);
            *first = 1;
            let range = PageRange {
                start: start + PAGE,
                bytes: PAGE,
            };
            if advise(range, Advice::GuardInstall).is_err() {
                eprintln!("skipped: this kernel has no guard markers");
                return;
            }
            userfault.fill(start, bytes.as_ptr()).unwrap();
            userfault.fill(start + PAGE, bytes.as_ptr()).unwrap();
            assert_eq!((*first, *second), (1, 7));
            map::unmap(start, 2 * PAGE).unwrap();
        }
    }
}
