//! The goroutine that runs this code, found from the stack pointer: no thread-local is read on a
//! goroutine's stack.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use super::machine::Machine;
use super::shared::Shared;
use super::this_m::ThisM;
use crate::arch;
use crate::goroutine::header::{header_of_running, header_of_started};
use crate::goroutine::slab::Slab;
use crate::goroutine::{FLAG_COMPACTED, Goroutine, RUNNING_BIT, stacks};
use crate::stack::{StackHeader, header_of};
use crate::sys::clock;

thread_local! {
    /// For code on the thread's own stack.
    static MACHINE: Cell<Option<ThisM>> = const { Cell::new(None) };
}

/// `None` outside of goroutines.
#[inline(always)]
pub(crate) fn header() -> Option<&'static StackHeader> {
    if cfg!(miri) {
        // Miri has no assembly, and so no goroutines: only plain threads.
        return None;
    }
    match header_of(arch::stack_pointer()) {
        // SAFETY: slots are never unmapped, and the running one is in use.
        Some(header) => Some(unsafe { header.as_ref() }),
        None => header_off_slot(),
    }
}

/// Valid until the next switch.
#[inline(always)]
pub(crate) fn machine_of(header: &StackHeader) -> ThisM {
    // SAFETY: the thread that resumes a goroutine first writes its own M there.
    unsafe { ThisM::new(last_machine_of(header)) }
}

/// The M that runs the goroutine with this header, or ran it last.
#[inline(always)]
pub(crate) fn last_machine_of(header: &StackHeader) -> &'static Machine {
    // SAFETY: as in `machine_of`; Ms live as long as their runtime has goroutines.
    unsafe { &*header.machine.get().cast::<Machine>() }
}

/// Only on a thread's own stack: see [`header`].
#[inline(never)]
pub(crate) fn thread_machine() -> Option<ThisM> {
    MACHINE.get()
}

/// In the child of a fork: the M holds no P, so its next call into the runtime ends the process.
pub(crate) extern "C" fn after_fork() {
    if let Some(m) = thread_machine() {
        m.own().p_lock.clear();
    }
}

pub(crate) fn set_thread_machine(m: Option<ThisM>) {
    MACHINE.set(m);
}

/// For a goroutine that runs on another stack than its own. `None` on a plain thread, and on an M's
/// own stack.
#[cold]
#[inline(never)]
fn header_off_slot() -> Option<&'static StackHeader> {
    thread_machine()?.current_goroutine().map(header_of_running)
}

/// The runtime of the goroutine, or of the M, that runs this code.
pub(crate) fn runtime() -> Option<&'static Shared> {
    match header() {
        Some(header) => Some(machine_of(header).shared()),
        None => thread_machine().map(|m| m.shared()),
    }
}

/// Fake if the runtime's time is fake.
#[inline]
pub(crate) fn now_ns() -> u64 {
    match runtime() {
        Some(shared) => shared.now_ns(),
        None => clock::now_ns(),
    }
}

#[inline(always)]
pub(crate) fn shared_of(g: &Goroutine) -> &'static Shared {
    // SAFETY: the slab of a runtime names its `Shared`, which lives as long as any of its records.
    unsafe { &*Slab::owner_of(g).cast::<Shared>() }
}

/// The M on which a goroutine ran last, if it has started and not ended. Only for the caller that
/// has readied it.
pub(crate) fn machine_of_started(g: &Goroutine) -> Option<&'static Machine> {
    let context = g.context.load(Ordering::Acquire);
    if context & RUNNING_BIT == 0
        && g.has_flag(FLAG_COMPACTED)
        && let Some(m) = stacks::machine_of_compacted(context)
    {
        // SAFETY: as in `machine_of`.
        return Some(unsafe { m.cast().as_ref() });
    }
    header_of_started(g).map(last_machine_of)
}
