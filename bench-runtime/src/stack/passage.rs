//! How a slot's word lets live bytes pass between their pages and a cell: the
//! states of [`super::slots`] are the caller's, the order of memory is here.
//!
//! | from         | to           | by                                          |
//! |--------------|--------------|---------------------------------------------|
//! | settled      | on its way   | [`set`], by who has the slot to itself; or [`begin`], by one of several |
//! | on its way   | settled      | [`set`], by the same                        |
//!
//! Its model is `tests/loom/passage.rs`, on this source.

use crate::shim::Ordering;
use crate::shim::fixed::AtomicU64;

/// Waits until the slot is not on its way; gives its word then.
pub(crate) fn settled(word: &AtomicU64, on_its_way: impl Fn(u64) -> bool, wait: impl Fn()) -> u64 {
    loop {
        // Acquire: pairs with the Release in `set`: what was moved is seen.
        let now = word.load(Ordering::Acquire);
        if !on_its_way(now) {
            return now;
        }
        wait();
    }
}

/// Sends a settled slot on its way; false if another one was faster.
pub(crate) fn begin(word: &AtomicU64, settled: u64, on_its_way: u64) -> bool {
    // Acquire: pairs with the Release in `set`.
    word.compare_exchange(settled, on_its_way, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Moves the word on; for who sent the slot on its way, or has it to itself.
pub(crate) fn set(word: &AtomicU64, to: u64) {
    // Release: pairs with the Acquires above.
    word.store(to, Ordering::Release);
}
