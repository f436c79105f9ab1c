//! Transitions of a slot's word while live bytes move between their pages and a cell.
//! [`super::slots`] has the states.
//!
//! | from   | to     | by                                                                    |
//! |--------|--------|-----------------------------------------------------------------------|
//! | stable | moving | [`set`], by the slot's owner; or [`begin`], by one of several threads |
//! | moving | stable | [`set`], by the same thread                                           |
//!
//! The loom model `tests/loom/transition.rs` runs this source.

use crate::shim::Ordering;
use crate::shim::fixed::AtomicU64;

pub(crate) fn wait_until_stable(
    word: &AtomicU64,
    moving: impl Fn(u64) -> bool,
    wait: impl Fn(),
) -> u64 {
    loop {
        // Acquire: pairs with the Release in `set`: the moved bytes are visible.
        let now = word.load(Ordering::Acquire);
        if !moving(now) {
            return now;
        }
        wait();
    }
}

/// Begins a transition of a stable slot; false if another thread was faster.
pub(crate) fn begin(word: &AtomicU64, stable: u64, moving: u64) -> bool {
    // Acquire: pairs with the Release in `set`.
    word.compare_exchange(stable, moving, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Only for the thread that began the transition, or that owns the slot.
pub(crate) fn set(word: &AtomicU64, to: u64) {
    // Release: pairs with the Acquires above.
    word.store(to, Ordering::Release);
}
