//! How the sweep claims a parked goroutine, so that it is not resumed while its stack is trimmed or
//! compacted.
//!
//! A claim changes `context` (see its table in [`crate::goroutine`]) from the saved context to the
//! address of the stack header, with [`RUNNING_BIT`] and [`CLAIMED_BIT`]. A thread that dequeues
//! the goroutine meanwhile finds an odd `context`, as if the goroutine were still leaving its
//! stack.
//!
//! # Why a claim must be confirmed
//!
//! A thread that resumes a goroutine reads `context` and then stores to it, without a locked
//! instruction, so a claim may come between the two:
//!
//! | resume                                | claim                              |
//! |---------------------------------------|------------------------------------|
//! | R1 status is Runnable (by the ready)  | C1 `context`: saved to claimed     |
//! | R2 read `context`: odd: wait          | C2 heavy barrier                   |
//! | R3 saved: store "on this M", resume   | C3 status Waiting, then `context` claimed: it holds |
//! |                                       | C4 else give up: if still claimed, back to saved |
//!
//! If R2 read the saved context, R1 and R2 came before C1. By C2, and the light barrier before R2,
//! C3 then sees the status that R1 read, and the claim does not hold. C3 reads the status before
//! `context`: a goroutine that was resumed and is about to park again is Waiting too, but then R3
//! is visible in `context`. In C4 the compare-exchange fails after R3, because R3 stores another
//! value.
//!
//! The sweep does not claim goroutines that are locked to an M, because the M waits for them.

use std::ptr;
use std::sync::atomic::Ordering;

use super::slab::Slab;
use super::{
    CLAIMED_BIT, FLAG_COMPACTED, FLAG_LOCKED, FRESH, Goroutine, RUNNING_BIT, Status, WATCHED_BIT,
    claim,
};
use crate::stack::sweep::{self, Hooks, Shrink};
use crate::stack::{Claimed, Stack, header_of};

pub(crate) fn install() {
    sweep::set_hooks(Hooks {
        parked,
        claim,
        confirm,
        release,
    });
}

fn parked_on(g: *mut (), stack: Stack) -> Option<(&'static Goroutine, usize)> {
    // SAFETY: headers name records, which are type-stable, or nothing.
    let g = unsafe { g.cast::<Goroutine>().as_ref() }?;
    // Acquire: pairs with the store of the context by `switch`.
    let context = g.context.load(Ordering::Acquire);
    // An inspection watches the goroutine while it reads the stack; the next pass claims it.
    let suspended = context != FRESH && context & (RUNNING_BIT | WATCHED_BIT) == 0;
    let here = suspended && header_of(context) == Some(stack.as_ptr());
    (here && g.status() == Status::Waiting && !g.has_flag(FLAG_LOCKED)).then_some((g, context))
}

fn parked(g: *mut (), stack: Stack) -> Option<Shrink> {
    let (g, _) = parked_on(g, stack)?;
    Some(match Slab::compacts(g) {
        true => Shrink::Compact,
        false => Shrink::Trim,
    })
}

fn claim(g: *mut (), stack: Stack) -> Option<usize> {
    let (g, context) = parked_on(g, stack)?;
    claim::claim(&g.context, context, claimed_context(stack)).then_some(context) // C1
}

fn claimed_context(stack: Stack) -> usize {
    stack.as_ptr().as_ptr() as usize | RUNNING_BIT | CLAIMED_BIT
}

fn goroutine_of(claimed: &Claimed) -> &'static Goroutine {
    // SAFETY: it was claimed, so it is a record; records are type-stable.
    unsafe { &*claimed.g.cast::<Goroutine>() }
}

fn confirm(claimed: &[Claimed], each: &mut dyn FnMut(usize)) {
    claim::confirm(); // C2
    for (place, claimed) in claimed.iter().enumerate() {
        let g = goroutine_of(claimed);
        let (mark, waiting) = (claimed_context(claimed.stack), Status::Waiting as u8);
        if claim::holds(&g.context, mark, &g.head.status, waiting) {
            each(place); // C3
        }
    }
}

fn release(claimed: &Claimed, compacted: bool) {
    let g = goroutine_of(claimed);
    if compacted {
        g.set_flag(FLAG_COMPACTED);
    }
    // C4, and the end of a claim that held. The flag is seen with it.
    claim::release(&g.context, claimed_context(claimed.stack), claimed.sp);
}

pub(crate) fn is_claimed(context: usize) -> bool {
    let claimed = RUNNING_BIT | CLAIMED_BIT;
    context & claimed == claimed
}

#[cold]
pub(crate) fn restore(g: &Goroutine, context: usize) {
    g.clear_flag(FLAG_COMPACTED);
    crate::stack::compact::restore(context);
}

/// The M in the header of a suspended goroutine's compacted stack. Only for the thread that has
/// readied the goroutine.
#[cold]
pub(crate) fn machine_of_compacted(context: usize) -> Option<ptr::NonNull<()>> {
    ptr::NonNull::new(crate::stack::compact::machine_of_compacted(context)?)
}
