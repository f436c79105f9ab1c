//! Guards: the pages below a stack's limit.
//!
//! Linux 6.13 and later have guard markers, which need no mapping of their own. On older kernels
//! each guard is a protected range, so a stack takes two mappings, and `vm.max_map_count` limits
//! their number.

use std::io;

use super::error::{NEAR, StackError};
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, Access, PAGE};

/// How guards are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guards {
    /// `MADV_GUARD_INSTALL`.
    Markers,
    /// `mprotect`, on older kernels.
    Protect,
}

/// The bytes of the guard of a slot of this size. Rust probes every page of a large frame, so one
/// page would be enough. C code that was compiled without such probes may skip a single page, so
/// all but the smallest slots have guards of sixteen pages.
pub(super) const fn guard_bytes(slot: usize) -> usize {
    if slot <= 64 << 10 { PAGE } else { 16 * PAGE }
}

impl Guards {
    /// The kind that this kernel has; tried on a page that is not yet in use.
    ///
    /// # Safety
    ///
    /// The page is the caller's, writable, and its contents are not needed.
    pub(super) unsafe fn detect(page: usize) -> Self {
        let range = PageRange {
            start: page,
            bytes: PAGE,
        };
        // An emulator may ignore advice that it does not implement, so the test
        // is whether the kernel can still write.
        // SAFETY: by the caller's promise.
        let works = unsafe {
            madvise::advise(range, Advice::GuardInstall).is_ok()
                && !map::kernel_can_write(page)
                && madvise::advise(range, Advice::GuardRemove).is_ok()
                && map::kernel_can_write(page)
        };
        match works {
            true => Self::Markers,
            false => Self::Protect,
        }
    }

    /// Makes guards of these ranges. An error contains the number of ranges that became guards.
    ///
    /// # Safety
    ///
    /// The ranges are the caller's and their contents are not needed.
    pub(super) unsafe fn install(self, ranges: &[PageRange]) -> Result<(), (usize, StackError)> {
        match self {
            // SAFETY: by the caller's promise.
            Self::Markers => unsafe { madvise::advise_all(ranges, Advice::GuardInstall) }
                .map_err(|(done, error)| (done, StackError::OutOfMemory(error))),
            Self::Protect => {
                for (done, range) in ranges.iter().enumerate() {
                    // SAFETY: by the caller's promise.
                    unsafe { map::protect(range.start, range.bytes, Access::None) }
                        .map_err(|error| (done, refused(error)))?;
                }
                Ok(())
            }
        }
    }
}

/// The error for a refused mapping: the limit of mappings if the process is near it, else memory.
pub(super) fn refused(error: io::Error) -> StackError {
    match map::map_count_and_limit() {
        Some((maps, limit)) if maps + NEAR >= limit => StackError::MapLimit { maps, limit },
        _ => StackError::OutOfMemory(error),
    }
}
