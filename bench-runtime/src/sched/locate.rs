//! The runtime of a goroutine, and the place of a suspended one.

use std::sync::atomic::Ordering;

use super::current;
use super::machine::Machine;
use super::shared::Shared;
use crate::goroutine::header::header_of_started;
use crate::goroutine::slab::Slab;
use crate::goroutine::{FLAG_COMPACTED, Goroutine, RUNNING_BIT, stacks};

/// The runtime that a goroutine belongs to.
#[inline(always)]
pub(crate) fn shared_of(g: &Goroutine) -> &'static Shared {
    // SAFETY: the slab of a runtime names its `Shared`, which lives as long as any of its records.
    unsafe { &*Slab::owner_of(g).cast::<Shared>() }
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
