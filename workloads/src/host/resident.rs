#![allow(unsafe_code, reason = "mapping memory and writing to it")]

use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

const PAGE_BYTES: usize = 4 << 10;

/// A private anonymous mapping with a byte written in each page.
#[derive(Debug)]
pub(crate) struct Resident {
    start: NonNull<u8>,
    size: usize,
}

impl Resident {
    pub(crate) fn new(size: u64, huge: bool) -> io::Result<Self> {
        let Some(size) = NonZeroUsize::new(size as usize) else {
            return Ok(Self {
                start: NonNull::dangling(),
                size: 0,
            });
        };
        // SAFETY: a new mapping at an address of the kernel's choice touches no
        // memory in use.
        let start = unsafe {
            mmap_anonymous(
                None,
                size,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE,
            )?
        };
        let mut resident = Self {
            start: start.cast(),
            size: size.get(),
        };
        let advice = if huge {
            MmapAdvise::MADV_HUGEPAGE
        } else {
            MmapAdvise::MADV_NOHUGEPAGE
        };
        // SAFETY: the range is the mapping above; the advice changes no contents.
        unsafe { madvise(start, size.get(), advice)? };
        resident.touch(u64::MAX);
        Ok(resident)
    }

    pub(crate) fn touch(&mut self, pages: u64) {
        for offset in (0..self.size).step_by(PAGE_BYTES).take(pages as usize) {
            // SAFETY: the offset lies within the mapping, which this value owns.
            unsafe { self.start.add(offset).write_volatile(1) };
        }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if self.size > 0 {
            // SAFETY: the range is this value's own mapping, made in `new`; `munmap` cannot fail
            // for such a range.
            let _ = unsafe { munmap(self.start.cast(), self.size) };
        }
    }
}
