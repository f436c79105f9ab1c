//! The state of a `Slot` while a select uses it.

use std::cell::Cell;

#[derive(Debug)]
pub(super) struct Marks {
    pub(super) full: Cell<bool>,
    /// True while a waiting select uses the slot. Meanwhile another goroutine of the thread can
    /// reach a slot that is in a thread-local, so the methods of the slot check this flag.
    pub(super) lent: Cell<bool>,
}

impl Marks {
    pub(super) const fn new(full: bool) -> Self {
        Self {
            full: Cell::new(full),
            lent: Cell::new(false),
        }
    }

    #[track_caller]
    pub(super) fn assert_not_lent(&self) {
        assert!(
            !self.lent.get(),
            "this Slot belongs to a Select that waits: another goroutine of the thread reached it"
        );
    }
}
