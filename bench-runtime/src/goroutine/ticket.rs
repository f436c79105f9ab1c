//! The ticket of a wait that several parties may end: one of them does.
//!
//! | ticket | may ready the parkable                |
//! |--------|---------------------------------------|
//! | `t`    | no thread, until one moves it to `t + 1` |
//! | `t + 1`| that one, once                        |
//!
//! Its model is `tests/loom/ticket.rs`, on this source.

use crate::shim::Ordering;
use crate::shim::fixed::AtomicU32;

/// Takes the right to end the wait with this ticket. False: another thread has
/// it, or the wait is over.
#[inline]
pub(crate) fn claim(ticket: &AtomicU32, of_wait: u32) -> bool {
    // AcqRel: the loser of a claim that then looks at what the winner wrote
    // pairs with the winner's Release.
    ticket
        .compare_exchange(
            of_wait,
            of_wait.wrapping_add(1),
            Ordering::AcqRel,
            Ordering::Relaxed,
        )
        .is_ok()
}
