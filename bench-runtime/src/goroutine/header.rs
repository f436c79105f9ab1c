//! Where the stack header of a goroutine is.
//!
//! A goroutine may run on a foreign stack, which `stacker` or a library of coroutines has made.
//! There the stack pointer does not lead to a header. While the goroutine runs, its M leads to the
//! header. While it is parked, [`HEADERS`] keeps its header for the thread that readies it.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::atomic::Ordering;

use super::{CLAIMED_BIT, FRESH, Goroutine, RUNNING_BIT, claim};
use crate::stack::{StackHeader, header_of};
use crate::util::lock::Lock;

/// The addresses of headers, by the addresses of their goroutines' records.
static HEADERS: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

#[inline(always)]
pub(crate) fn goroutine_of(header: &StackHeader) -> &'static Goroutine {
    // SAFETY: the thread that binds a stack writes the goroutine here first.
    unsafe { &*header.g.get().cast::<Goroutine>() }
}

pub(crate) fn header_of_started(g: &Goroutine) -> Option<&'static StackHeader> {
    let context = g.context.load(Ordering::Acquire);
    if context == FRESH {
        return None;
    }
    // `context` is the header's address, another address inside the slot or, if the goroutine was
    // suspended on a foreign stack, an address outside every slot.
    match header_of(context & !(RUNNING_BIT | CLAIMED_BIT)) {
        // SAFETY: slots are never unmapped.
        Some(header) => Some(unsafe { header.as_ref() }),
        None => header_of_suspended(g),
    }
}

/// Returns the header of a goroutine that is running on a foreign stack, and stores it in
/// [`HEADERS`].
pub(crate) fn header_of_running(g: &'static Goroutine) -> &'static StackHeader {
    let header = claim::running_on(&g.context);
    HEADERS.lock().insert(ptr::from_ref(g) as usize, header);
    // SAFETY: `g` runs on this thread, and R4 (`claim::arrive`) stored the address of its header;
    // headers are never freed.
    unsafe { &*(header as *const StackHeader) }
}

#[cold]
#[inline(never)]
fn header_of_suspended(g: &Goroutine) -> Option<&'static StackHeader> {
    let header = *HEADERS.lock().get(&(ptr::from_ref(g) as usize))?;
    // SAFETY: `header_of_running` stored the header before the goroutine parked; headers are never
    // freed.
    Some(unsafe { &*(header as *const StackHeader) })
}
