//! Guards: the pages below a stack's limit.
//!
//! Guard markers (Linux 6.13) need no mapping of their own. A protected range does, so a stack
//! takes two mappings, and `vm.max_map_count` limits the number of stacks.

use std::io;

use super::error::{MAP_MARGIN, StackError};
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, Access, PAGE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guards {
    /// `MADV_GUARD_INSTALL`.
    Markers,
    /// `mprotect`, on older kernels.
    Protect,
}

/// The bytes of the guard of a slot of this size. Rust probes every page of a large frame, but C
/// code compiled without probes may skip a single page, so all but the smallest slots have guards
/// of sixteen pages.
pub(super) const fn guard_bytes(slot: usize) -> usize {
    if slot <= 64 << 10 { PAGE } else { 16 * PAGE }
}

impl Guards {
    /// Tests whether this kernel has guard markers.
    ///
    /// # Safety
    ///
    /// The page is the caller's, writable, and its contents are not needed.
    pub(super) unsafe fn detect(page: usize) -> Self {
        let range = PageRange {
            start: page,
            bytes: PAGE,
        };
        // An emulator may ignore advice that it does not implement, so the test is whether the
        // kernel can still write. SAFETY: by the caller's promise.
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

pub(super) fn refused(error: io::Error) -> StackError {
    match map::map_count_and_limit() {
        Some((maps, limit)) if maps + MAP_MARGIN >= limit => StackError::MapLimit { maps, limit },
        _ => StackError::OutOfMemory(error),
    }
}
