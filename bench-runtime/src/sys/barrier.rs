//! An asymmetric memory barrier: the frequent side costs nothing, the rare side does all the work
//! by `membarrier(2)`.
//!
//! `light` on one thread and `heavy` on another order like two full fences: before `heavy` returns,
//! the kernel runs a full fence on every CPU on which a thread of the process runs. A thread that
//! is switched in passes a full fence too. If the kernel refuses, both functions are full fences.

use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

/// From linux/membarrier.h.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
/// From linux/membarrier.h.
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes integers only.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Registers the process, before the first thread that uses `light` starts. True if `light` is not
/// a fence.
pub(crate) fn register() -> bool {
    // Set in tests of the form with two fences.
    if std::env::var_os("THREADBARE_NO_MEMBARRIER").is_none()
        && !ASYMMETRIC.load(Ordering::Acquire)
        && membarrier(REGISTER_PRIVATE_EXPEDITED)
    {
        ASYMMETRIC.store(true, Ordering::Release);
    }
    ASYMMETRIC.load(Ordering::Acquire)
}

#[inline(always)]
pub(crate) fn light() {
    if ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        // SeqCst: a load after it cannot move before a store ahead of it.
        fence(Ordering::SeqCst);
    }
}

pub(crate) fn heavy() {
    // SeqCst: as in `light`.
    fence(Ordering::SeqCst);
    if ASYMMETRIC.load(Ordering::Relaxed) && !membarrier(PRIVATE_EXPEDITED) {
        crate::fatal::fatal!("membarrier(2) failed after it was registered");
    }
}
