//! A new thread inherits its CPUs, its signal mask and its niceness from the thread that starts it.
//! So a thread with a bound goroutine leaves starts to another thread ([`starter`]), like Go's
//! template thread.

pub(crate) mod count;
pub(crate) mod idle;
pub(crate) mod spin;
pub(crate) mod waker;

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crate::util::lock::Lock;

/// Bytes of stack of a thread that runs no code of the program. Chosen, not measured; only used
/// pages take memory.
pub(crate) const THREAD_STACK: usize = 256 * 1024;

/// Bytes of a helper's stack: as much as a program's first thread has, because foreign code may
/// need it.
pub(crate) const HELPER_STACK: usize = 8 << 20;

/// The number of this crate's threads that belong to no runtime and cannot end a wait at the
/// moment. The search for deadlocks does not count them as outside threads. A thread that has
/// ended is never included, because the search would then miss an outside thread. The upper half
/// is the number of the process: the child of a fork has none of its parent's threads.
static COUNTED: AtomicU64 = AtomicU64::new(0);

fn counted_in(process: u32, counted: u64) -> u32 {
    let is_ours = counted >> u32::BITS == u64::from(process);
    if is_ours { counted as u32 } else { 0 }
}

pub(crate) fn counted() -> usize {
    counted_in(std::process::id(), COUNTED.load(Ordering::SeqCst)) as usize
}

/// Adds `by` to the number that [`counted`] returns.
pub(crate) fn count(by: i32) {
    let process = std::process::id();
    let change = |counted| {
        let count = counted_in(process, counted).saturating_add_signed(by);
        Some(u64::from(process) << u32::BITS | u64::from(count))
    };
    // `change` always returns a value.
    let _ = COUNTED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadEnd {
    Usual,
    /// Without the destructors of its thread-locals: goroutines that started on it have not ended,
    /// and may have lent values in its thread-locals to other threads.
    KeepsLocals,
}

/// How often a start is repeated if the kernel has no resources at the moment, after pauses of 1
/// ms, 2 ms and so on: Go's figures.
const START_TRIES: u64 = 20;

/// Starts an OS thread with a stack of this many bytes. Blocks the thread, for 210 ms at most,
/// while the kernel has no room for another thread.
///
/// # Errors
///
/// If the kernel still has no room then; the text says what to do.
pub(crate) fn start(
    name: &str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    // A start that fails drops its closure, but not `body`.
    let body = Arc::new(Lock::new(Some(body)));
    for pause in 1.. {
        let body = Arc::clone(&body);
        let run = move || {
            let taken = body.lock().take();
            // Dropped now, because the thread may end without destructors.
            drop(body);
            if let Some(body) = taken {
                body();
            }
        };
        let thread = thread::Builder::new().name(name.into()).stack_size(stack);
        match thread.spawn(run) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && pause <= START_TRIES => {
                thread::sleep(Duration::from_millis(pause));
            }
            Err(e) => {
                let text = format!(
                    "cannot start a thread: {e}; see ulimit -u, ulimit -v, kernel.threads-max and \
                     the control group's pids.max"
                );
                return Err(io::Error::new(e.kind(), text));
            }
        }
    }
    Ok(())
}

/// As [`start`], for a thread that [`counted`] includes.
///
/// # Errors
///
/// As for [`start`].
pub(crate) fn start_counted(
    name: &str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            count(-1);
        }
    }
    start(name, stack, move || {
        // The thread counts itself, because it may be long until the kernel has room for it.
        count(1);
        let _counted = Counted;
        body();
    })
}

/// As [`start`], for a function of the program, on a stack as large as a helper's.
///
/// # Errors
///
/// As for [`start`]; the function is dropped then.
pub(crate) fn start_thread(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    start(name, HELPER_STACK, f)
}

type Start = Box<dyn FnOnce() + Send>;

static STARTER: OnceLock<Sender<Start>> = OnceLock::new();

thread_local! {
    /// Whether a goroutine is bound to this thread, outside of pinned runtimes.
    static IS_BOUND: Cell<bool> = const { Cell::new(false) };
}

// Each use in a function of its own, so that no address of the thread-local is kept on a
// goroutine's stack.

#[inline(never)]
pub(crate) fn is_bound() -> bool {
    IS_BOUND.get()
}

#[inline(never)]
pub(crate) fn set_bound(bound: bool) {
    IS_BOUND.set(bound);
}

pub(crate) fn starter() -> &'static Sender<Start> {
    STARTER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Start>();
        let started = start_counted("starter", THREAD_STACK, move || {
            receiver.into_iter().for_each(|start| start());
        });
        if let Err(error) = started {
            crate::fatal::fatal!("{error}; it was to start threads beside locked ones");
        }
        sender
    })
}

/// Runs `start`, which starts a thread, on a thread whose inherited state no goroutine has changed.
/// `is_small`: this thread's stack is too small for libc, so [`starter`] must have been called
/// before.
pub(crate) fn on_clean_thread(is_small: bool, start: impl FnOnce() + Send + 'static) {
    if !is_bound() && !is_small {
        start();
    } else if starter().send(Box::new(start)).is_err() {
        crate::fatal::fatal!("the thread that starts threads is gone");
    }
}
