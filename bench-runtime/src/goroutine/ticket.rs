//! The ticket of a wait that several threads may end. Only one of them ends it.
//!
//! | ticket | may ready the parkable                |
//! |--------|---------------------------------------|
//! | `t`    | no thread, until a thread changes it to `t + 1` |
//! | `t + 1`| the thread that changed it, once      |
//!
//! The loom model `tests/loom/ticket.rs` runs this source.

use crate::shim::Ordering;
use crate::shim::fixed::AtomicU32;

/// Takes the right to end the wait with this ticket. False if another thread has it, or if the wait
/// is over.
#[inline]
pub(crate) fn claim(ticket: &AtomicU32, of_wait: u32) -> bool {
    // AcqRel: a later claim pairs with this one, and sees the writes before it.
    ticket
        .compare_exchange(
            of_wait,
            of_wait.wrapping_add(1),
            Ordering::AcqRel,
            Ordering::Relaxed,
        )
        .is_ok()
}
