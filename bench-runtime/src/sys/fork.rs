//! Whether this process is the child of a fork. Such a child has only the thread that forked, and
//! shares descriptors with the parent.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// From now on [`is_child`] detects a fork. The children of `posix_spawn` and `vfork` do not
/// count: they run no code of the program.
pub(crate) fn watch() {
    static WATCHES: Once = Once::new();
    extern "C" fn in_child() {
        IS_CHILD.store(true, Ordering::Relaxed);
    }
    // SAFETY: the function is never unloaded and only stores to an atomic.
    WATCHES.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) });
}

/// As [`watch`]. Also calls `then`, which may only do what a signal handler may, in each child.
/// Only the first call has an effect.
pub(crate) fn watch_and_call(then: extern "C" fn()) {
    static WATCHES: Once = Once::new();
    watch();
    // SAFETY: the function is never unloaded, and makes only calls that are allowed.
    WATCHES.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(then)) });
}

#[inline]
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}
