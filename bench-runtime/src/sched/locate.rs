//! Where a goroutine belongs, and where one that is suspended is.

use std::sync::atomic::Ordering;

use super::machine::Machine;
use super::shared::Shared;
use super::{current, off_slot, stacks};
use crate::goroutine::slab::Slab;
use crate::goroutine::{CLAIMED_BIT, FLAG_COMPACTED, FRESH, Goroutine, RUNNING_BIT};
use crate::stack::{StackHeader, header_of};

/// The runtime that a goroutine belongs to.
#[inline(always)]
pub(crate) fn shared_of(g: &Goroutine) -> &'static Shared {
    // SAFETY: the slab of a runtime names its `Shared`, which lives as long as
    // any of its records.
    unsafe { &*Slab::owner_of(g).cast::<Shared>() }
}

/// The stack header of a goroutine that has started and not ended.
pub(crate) fn header_of_started(g: &Goroutine) -> Option<&'static StackHeader> {
    let context = g.context.load(Ordering::Acquire);
    if context == FRESH {
        return None;
    }
    // The header's address, or another one inside the slot.
    match header_of(context & !(RUNNING_BIT | CLAIMED_BIT)) {
        // SAFETY: slots are never unmapped.
        Some(header) => Some(unsafe { header.as_ref() }),
        None => off_slot::header_of_suspended(g),
    }
}

/// The M that a goroutine which has started and not ended ran on last. Only for the
/// caller that has readied it.
pub(crate) fn machine_of_started(g: &Goroutine) -> Option<&'static Machine> {
    let context = g.context.load(Ordering::Acquire);
    if context & RUNNING_BIT == 0
        && g.has_flag(FLAG_COMPACTED)
        && let Some(m) = stacks::machine_of_compacted(context)
    {
        // SAFETY: as in `machine_of`.
        return Some(unsafe { m.cast().as_ref() });
    }
    header_of_started(g).map(current::machine_in)
}
