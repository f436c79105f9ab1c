//! The steps that claim or watch the `context` of a parked goroutine while an M may resume it.
//! [`super::stacks`] (R1 to C4) and [`crate::debug::inspect`] (I1 to I4) have the tables. The loom
//! model is `tests/loom/claim.rs`.

use crate::goroutine::{RUNNING_BIT, WATCHED_BIT};
use crate::shim::Ordering;
use crate::shim::fixed::{AtomicU8, AtomicUsize};
use crate::sys::barrier;

/// R2, by an M that has done R1 and is about to resume the goroutine.
#[inline(always)]
pub(crate) fn read(context: &AtomicUsize) -> usize {
    // The light barrier keeps R1 before the read, also if the barriers are plain fences.
    barrier::light();
    // Acquire: pairs with the store of the context by `switch`, the last action on the goroutine's
    // old stack, and with the Release in `release`.
    context.load(Ordering::Acquire)
}

/// R2 again, after an odd value. The barrier of [`read`] already keeps R1 before this read.
#[inline(always)]
pub(crate) fn read_again(context: &AtomicUsize) -> usize {
    // Acquire: as in `read`.
    context.load(Ordering::Acquire)
}

#[inline(always)]
pub(crate) fn saved(context: usize) -> usize {
    context & !WATCHED_BIT
}

/// R3: from here on the goroutine runs, on the stack of `saved`.
#[inline(always)]
pub(crate) fn resume(context: &AtomicUsize, saved: usize) {
    // Release: pairs with the Acquire of a thread that reads the stack's address here.
    if cfg!(rt_loom) {
        // An exchange does the same at a higher cost. Loom does not order a plain store against a
        // concurrent exchange, so the exchange of C4 could succeed after R3.
        context.swap(saved | RUNNING_BIT, Ordering::Release);
    } else {
        context.store(saved | RUNNING_BIT, Ordering::Release);
    }
}

/// R4: the goroutine, now on its own stack, stores the address of its header, for [`running_on`].
/// A plain store is enough: R3 has overwritten any claim, and a running goroutine is not claimed.
#[inline(always)]
pub(crate) fn arrive(context: &AtomicUsize, header: usize) {
    resume(context, header);
}

/// The header of the calling goroutine's stack.
#[inline(always)]
pub(crate) fn running_on(context: &AtomicUsize) -> usize {
    context.load(Ordering::Relaxed) & !RUNNING_BIT
}

/// C1: claims a goroutine; false if it is no longer suspended with this context.
pub(crate) fn claim(context: &AtomicUsize, saved: usize, claimed: usize) -> bool {
    // Acquire: the content of the stack is visible.
    context
        .compare_exchange(saved, claimed, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// C2 and I3: one barrier for all goroutines that are checked next.
pub(crate) fn confirm() {
    barrier::heavy();
}

/// C3: whether a claim holds, after [`confirm`].
pub(crate) fn holds(context: &AtomicUsize, claimed: usize, status: &AtomicU8, waiting: u8) -> bool {
    // Reads the status first. Acquire: pairs with the Release in `park`. If the goroutine is
    // already in its next wait, R3 is then visible in `context`.
    status.load(Ordering::Acquire) == waiting && context.load(Ordering::Relaxed) == claimed
}

/// Called by a goroutine that is about to park.
#[inline(always)]
pub(crate) fn park(status: &AtomicU8, waiting: u8) {
    // Release: pairs with the Acquire in `holds`; R3 is seen with it.
    status.store(waiting, Ordering::Release);
}

/// C4: ends a claim, whether it held or not.
pub(crate) fn release(context: &AtomicUsize, claimed: usize, saved: usize) {
    // Release: pairs with the Acquire in `read`, after which the changes of the stack are visible.
    // The exchange fails after R3.
    let _ = context.compare_exchange(claimed, saved, Ordering::Release, Ordering::Relaxed);
}

/// I1: watches a goroutine; false if it is no longer suspended with this context.
pub(crate) fn watch(context: &AtomicUsize, saved: usize) -> bool {
    context
        .compare_exchange(
            saved,
            saved | WATCHED_BIT,
            Ordering::Acquire,
            Ordering::Relaxed,
        )
        .is_ok()
}

/// I4, after [`confirm`]: true if the goroutine was not resumed since I1.
pub(crate) fn unwatch(context: &AtomicUsize, saved: usize, status: &AtomicU8, waiting: u8) -> bool {
    let waits = status.load(Ordering::Acquire) == waiting;
    // Relaxed: the watch wrote nothing to the stack, and an exchange continues the release sequence
    // of the store of the saved context.
    let watched = context.compare_exchange(
        saved | WATCHED_BIT,
        saved,
        Ordering::Relaxed,
        Ordering::Relaxed,
    );
    waits && watched.is_ok()
}
