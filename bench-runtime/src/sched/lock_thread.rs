//! Binding a goroutine to its OS thread, for code that keeps state there.
//!
//! A thread that is started inherits state of the one that starts it: its CPUs,
//! its signal mask, its niceness. So a thread with a bound goroutine starts
//! none, but asks a thread that no goroutine is ever bound to: Go's template thread.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};

use super::current::{self, goroutine_of, machine_of};
use super::dump::HELPERS_COUNT;
use crate::goroutine::FLAG_LOCKED;

type Start = Box<dyn FnOnce() + Send>;

/// The thread that starts threads for those that must not.
static STARTER: OnceLock<Sender<Start>> = OnceLock::new();

thread_local! {
    /// Whether a goroutine is bound to this thread, outside of pinned runtimes.
    static IS_BOUND: Cell<bool> = const { Cell::new(false) };
}

// Each use in a function of its own, so that no address of the thread-local is
// kept on a goroutine's stack.

#[inline(never)]
fn is_bound() -> bool {
    IS_BOUND.get()
}

#[inline(never)]
fn set_bound(bound: bool) {
    IS_BOUND.set(bound);
}

fn starter() -> &'static Sender<Start> {
    STARTER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Start>();
        HELPERS_COUNT.fetch_add(1, Ordering::SeqCst);
        let started = std::thread::Builder::new()
            .name("starter".into())
            .stack_size(128 * 1024)
            .spawn(move || receiver.into_iter().for_each(|start| start()));
        if let Err(error) = started {
            crate::fatal::fatal!(
                "cannot start the thread that starts threads beside locked ones: {error}; see \
                 ulimit -u, kernel.threads-max and the control group's pids.max"
            );
        }
        sender
    })
}

/// Runs `start`, which starts a thread, where no goroutine has changed what
/// that thread will inherit.
pub(super) fn on_clean_thread(start: impl FnOnce() + Send + 'static) {
    if !is_bound() {
        start();
    } else if starter().send(Box::new(start)).is_err() {
        crate::fatal::fatal!("the thread that starts threads is gone");
    }
}

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
    if pins == 0 && !machine_of(header).shared.pinned {
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
    if pins == 1 && !machine_of(header).shared.pinned {
        set_bound(false);
        goroutine_of(header).clear_flag(FLAG_LOCKED);
    }
}
