//! Goroutines that run on a stack which is none of ours: what `stacker` or a
//! library of coroutines makes, inside a goroutine.
//!
//! The stack pointer does not lead to a header there. But the thread is an M's, and the
//! M has a current goroutine whenever it is not on g0. A goroutine that parks
//! there leaves a context that lies in no slot, so its header is kept here for
//! the thread that readies it. Resuming it needs no header.
//!
//! What is kept of a goroutine that has ended is overwritten when another goroutine
//! with the same record parks here, and is not read before.

use std::collections::BTreeMap;
use std::ptr;

use super::claim;
use crate::goroutine::Goroutine;
use crate::stack::StackHeader;
use crate::util::lock::Lock;

/// By the addresses of their records, those of their headers.
static HEADERS: Lock<BTreeMap<usize, usize>> = Lock::new(BTreeMap::new());

/// The header of a goroutine that runs now, off its slot.
pub(super) fn header_of_running(g: &'static Goroutine) -> &'static StackHeader {
    let header = claim::running_on(&g.context);
    HEADERS.lock().insert(ptr::from_ref(g) as usize, header);
    // SAFETY: `g` is the running goroutine, and has arrived; headers live for ever.
    unsafe { &*(header as *const StackHeader) }
}

/// The header of a goroutine that is suspended off its slot.
#[cold]
#[inline(never)]
pub(super) fn header_of_suspended(g: &Goroutine) -> Option<&'static StackHeader> {
    let header = *HEADERS.lock().get(&(ptr::from_ref(g) as usize))?;
    // SAFETY: it parked there after `header` had noted it; headers live for ever.
    Some(unsafe { &*(header as *const StackHeader) })
}
