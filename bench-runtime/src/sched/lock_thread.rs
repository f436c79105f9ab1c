//! Binding a goroutine to its OS thread, for code that keeps state there.

use super::current::{self, goroutine_of, machine_of};
use super::os_threads::{set_bound, starter};
use crate::goroutine::FLAG_LOCKED;

/// Binds the calling goroutine to the OS thread that it runs on, until as many
/// calls of [`unlock_os_thread`]: it runs nowhere else, and in a migrating
/// runtime nothing else runs there. A goroutine that ends while bound takes
/// the thread with it, so that what it did to the thread affects no other goroutine.
///
/// In a pinned runtime every goroutine stays with its thread anyway; there
/// this only counts, and other goroutines go on sharing the thread. On a plain
/// thread it does nothing.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, lock_os_thread, unlock_os_thread, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     lock_os_thread();
///     let before = std::thread::current().id();
///     yield_now();
///     assert_eq!(std::thread::current().id(), before);
///     unlock_os_thread();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lock_os_thread() {
    let Some(header) = current::header() else {
        return;
    };
    let pins = header.pins.get();
    header.pins.set(pins + 1);
    if pins == 0 && !machine_of(header).shared().pinned {
        // While this thread is still as it was found.
        starter();
        goroutine_of(header).set_flag(FLAG_LOCKED);
        set_bound(true);
    }
}

/// Takes one [`lock_os_thread`] back.
///
/// # Panics
///
/// If there is none to take back.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, lock_os_thread, unlock_os_thread};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     lock_os_thread();
///     lock_os_thread();
///     unlock_os_thread(); // Still locked: they nest.
///     unlock_os_thread();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn unlock_os_thread() {
    let Some(header) = current::header() else {
        return;
    };
    let pins = header.pins.get();
    assert!(
        pins > 0,
        "unlock_os_thread without a lock_os_thread before it"
    );
    header.pins.set(pins - 1);
    if pins == 1 && !machine_of(header).shared().pinned {
        set_bound(false);
        goroutine_of(header).clear_flag(FLAG_LOCKED);
    }
}
