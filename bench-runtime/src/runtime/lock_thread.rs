//! Binding a goroutine to its OS thread.

use crate::sched::{current, scheduler};

/// Binds the calling goroutine to its OS thread, until [`unlock_os_thread`] has been called as
/// often. Use this for code that keeps state in the thread.
///
/// In a migrating runtime the goroutine then runs on no other thread, and no other goroutine runs
/// on this thread. If the goroutine ends while bound, the thread ends too.
///
/// In a pinned runtime every goroutine stays on its thread anyway, and shares the thread with
/// others. There this only makes [`blocking`](crate::blocking) run its function on that thread,
/// while the other goroutines of the thread wait. It has no effect on a plain thread.
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
    if pins == 0 {
        scheduler::lock_os_thread(header);
    }
}

/// Undoes one [`lock_os_thread`].
///
/// # Panics
///
/// If no [`lock_os_thread`] is left to undo.
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
    if pins == 1 {
        scheduler::unlock_os_thread(header);
    }
}
