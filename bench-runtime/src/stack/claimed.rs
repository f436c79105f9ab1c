//! A stack that the sweep has claimed.

use std::ptr::NonNull;

use super::Stack;
use super::cells::{LARGEST, UNIT};
use super::header::StackHeader;
use crate::sys::madvise::PageRange;
use crate::sys::map::PAGE;

/// A parked goroutine that the sweep has claimed. After the claim is confirmed, the goroutine does
/// not run until the sweep releases it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) stack: Stack,
    pub(crate) g: *mut (),
    /// The address of the goroutine's saved context. No byte below it is live.
    pub(crate) sp: usize,
}

impl Claimed {
    /// The address and the number of the bytes that must survive: from SP to the end of the header.
    pub(super) fn live(&self) -> (usize, usize) {
        let start = self.sp & !(UNIT - 1);
        let end = self.stack.as_ptr().as_ptr() as usize + size_of::<StackHeader>();
        (start, end - start)
    }

    pub(super) fn fits_in_cell(&self) -> bool {
        self.live().1 <= LARGEST
    }
}

/// The pages that hold the `len` live bytes of a slot, which end with its header.
pub(super) fn live_pages(header: NonNull<StackHeader>, len: usize) -> PageRange {
    let end = header.as_ptr() as usize + size_of::<StackHeader>();
    let first = (end - len) & !(PAGE - 1);
    PageRange {
        start: first,
        bytes: end.next_multiple_of(PAGE) - first,
    }
}
