use std::io;
use std::ptr;

/// The page size on which the layout of stacks depends.
pub(crate) const PAGE: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    None,
    Read,
    ReadWrite,
}

impl Access {
    fn prot(self) -> libc::c_int {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(0)
}

/// Reserves address space without access, which costs no memory. The result is a multiple of
/// `align`, a power of two of at least a page.
pub(crate) fn reserve(bytes: usize, align: usize) -> io::Result<usize> {
    let padded = bytes
        .checked_add(align)
        .ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: a new private mapping at an address of the kernel's choice touches no memory that
    // exists.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            padded,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = start as usize;
    let aligned = start.next_multiple_of(align);
    let (before, after) = (aligned - start, start + padded - (aligned + bytes));
    // SAFETY: both ends are in the mapping just made and are not in use.
    unsafe {
        if before > 0 {
            unmap(start, before)?;
        }
        if after > 0 {
            unmap(aligned + bytes, after)?;
        }
    }
    Ok(aligned)
}

/// Reserves a range anew, as [`reserve`] does: its content, page tables, advice and registrations
/// are dropped, in one step.
///
/// # Safety
///
/// The range is the caller's, and no other code relies on the access that it had. Its contents are
/// undefined, also after an error.
pub(crate) unsafe fn reserve_again(start: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: by the caller's promise.
    let answer = unsafe {
        libc::mmap(
            start as *mut _,
            bytes,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    match answer == libc::MAP_FAILED {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

/// # Safety
///
/// Nothing uses the range any more.
pub(crate) unsafe fn unmap(start: usize, bytes: usize) -> io::Result<()> {
    // SAFETY: the caller promises that the range is unused.
    match unsafe { libc::munmap(start as *mut _, bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// # Safety
///
/// The range is the caller's, and no other code relies on the access that it had.
pub(crate) unsafe fn protect(start: usize, bytes: usize, access: Access) -> io::Result<()> {
    // SAFETY: by the caller's promise.
    match unsafe { libc::mprotect(start as *mut _, bytes, access.prot()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets each of `pages`, from `start` on, to 1 if the page is in memory, else to 0.
pub(crate) fn resident(start: usize, pages: &mut [u8]) -> io::Result<()> {
    // SAFETY: the kernel writes one byte a page, and the slice has as many; the range itself is not
    // accessed.
    let rc = unsafe { libc::mincore(start as *mut _, pages.len() * PAGE, pages.as_mut_ptr()) };
    match rc {
        0 => {
            pages.iter_mut().for_each(|page| *page &= 1);
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes 16 bytes at the address by a system call; false if the kernel cannot.
///
/// # Safety
///
/// The content is not needed any more.
pub(crate) unsafe fn kernel_can_write(address: usize) -> bool {
    // A bare system call, because the C library's function would write by itself. SAFETY: by the
    // caller's promise; an address that cannot be written is an error, not a fault.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, address) == 0 }
}

/// How many mappings the process has, and [`limit`].
pub(crate) fn map_count_and_limit() -> Option<(usize, usize)> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    let count = maps.iter().filter(|&&byte| byte == b'\n').count();
    Some((count, limit()?))
}

/// How many mappings a process may have (`vm.max_map_count`); `None` if the kernel does not say.
pub(crate) fn limit() -> Option<usize> {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    limit.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_gives_aligned_space_that_protect_opens() {
        let align = 1 << 21;
        let start = reserve(4 * PAGE, align).unwrap();
        assert_eq!(start % align, 0);
        // SAFETY: the range is this test's own.
        unsafe {
            protect(start, PAGE, Access::ReadWrite).unwrap();
            *(start as *mut u8) = 7;
            assert_eq!(*(start as *const u8), 7);
        }
        let mut pages = [9; 4];
        resident(start, &mut pages).unwrap();
        assert_eq!(pages, [1, 0, 0, 0]);
        // SAFETY: as above, and it is used no more.
        unsafe { unmap(start, 4 * PAGE).unwrap() };
    }

    #[test]
    fn reserve_more_than_the_address_space_fails() {
        assert!(reserve(1 << 60, PAGE).is_err());
        assert!(reserve(usize::MAX, PAGE).is_err());
    }

    #[test]
    fn map_count_is_below_its_limit() {
        let (count, limit) = map_count_and_limit().unwrap();
        assert!(count > 0 && count <= limit);
    }
}
