//! The state of a `Slot` while a select uses it.

use std::cell::Cell;

/// The state of a [`Slot`](super::Slot).
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) full: Cell<bool>,
    /// True while a select that waits uses the slot. Other goroutines of the thread run meanwhile,
    /// and can reach a slot in a thread-local, although a slot is not `Sync`. So the methods of the
    /// slot check this.
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
