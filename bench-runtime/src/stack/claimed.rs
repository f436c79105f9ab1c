//! A parked stack that the sweep has claimed.

use std::ptr::NonNull;

use super::Stack;
use super::cells::LARGEST;
use super::header::StackHeader;
use super::slots::UNIT;
use crate::sys::madvise::PageRange;
use crate::sys::map::PAGE;

/// A parked goroutine that cannot run until the sweep releases it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed {
    pub(crate) stack: Stack,
    pub(crate) g: *mut (),
    /// The address of its saved context; no byte below it is live.
    pub(crate) sp: usize,
}

impl Claimed {
    /// The bytes that must survive: from SP to the end of the header.
    pub(super) fn live(&self) -> (usize, usize) {
        let start = self.sp & !(UNIT - 1);
        let end = self.stack.as_ptr().as_ptr() as usize + size_of::<StackHeader>();
        (start, end - start)
    }

    /// Whether it is small enough for a cell.
    pub(super) fn fits(&self) -> bool {
        self.live().1 <= LARGEST
    }
}

/// The pages that hold the live bytes; they end with the header.
pub(super) fn live_pages(header: NonNull<StackHeader>, len: usize) -> PageRange {
    let end = header.as_ptr() as usize + size_of::<StackHeader>();
    let first = (end - len) & !(PAGE - 1);
    PageRange {
        start: first,
        bytes: end.next_multiple_of(PAGE) - first,
    }
}
