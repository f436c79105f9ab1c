//! Where the stack header of a goroutine is.
//!
//! # Foreign stacks
//!
//! A goroutine may run on a foreign stack, which `stacker` or a library of coroutines has made
//! inside the goroutine.
//!
//! The stack pointer does not lead to a header there. But the thread is an M's, and the M has a
//! current goroutine whenever it is not on g0. A goroutine that parks on a foreign stack leaves a
//! context that is in no slot, so its header is kept here for the thread that readies it. Resuming
//! it needs no header.
//!
//! The entry of a goroutine that has ended is not read. It is overwritten when another goroutine
//! with the same record parks on a foreign stack.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::Ordering;

use super::{CLAIMED_BIT, FRESH, Goroutine, RUNNING_BIT, claim};
use crate::stack::{StackHeader, header_of};
use crate::util::lock::Lock;

/// The addresses of headers, by the addresses of their goroutines' records.
static HEADERS: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

/// The goroutine with this header.
#[inline(always)]
pub(crate) fn goroutine_of(header: &StackHeader) -> &'static Goroutine {
    // SAFETY: the thread that binds a stack writes the goroutine here first.
    unsafe { &*header.g.get().cast::<Goroutine>() }
}

/// The stack header of a goroutine that has started and not ended.
pub(crate) fn header_of_started(g: &Goroutine) -> Option<&'static StackHeader> {
    let context = g.context.load(Ordering::Acquire);
    if context == FRESH {
        return None;
    }
    // `context` is the header's address, or another address inside the slot.
    match header_of(context & !(RUNNING_BIT | CLAIMED_BIT)) {
        // SAFETY: slots are never unmapped.
        Some(header) => Some(unsafe { header.as_ref() }),
        None => header_of_suspended(g),
    }
}

/// The header of a goroutine that is running on a foreign stack. Also keeps it for the time when
/// the goroutine is suspended.
pub(crate) fn header_of_running(g: &'static Goroutine) -> &'static StackHeader {
    let header = claim::running_on(&g.context);
    HEADERS.lock().insert(ptr::from_ref(g) as usize, header);
    // SAFETY: `g` is the running goroutine, and has arrived; headers live for ever.
    unsafe { &*(header as *const StackHeader) }
}

/// The header of a goroutine that is suspended on a foreign stack.
#[cold]
#[inline(never)]
fn header_of_suspended(g: &Goroutine) -> Option<&'static StackHeader> {
    let header = *HEADERS.lock().get(&(ptr::from_ref(g) as usize))?;
    // SAFETY: `header_of_running` noted the header before the goroutine parked; headers live for
    // ever.
    Some(unsafe { &*(header as *const StackHeader) })
}
