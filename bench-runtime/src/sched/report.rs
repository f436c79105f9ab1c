//! Reports of all goroutines on stderr.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use super::dump::{GoroutineInfo, goroutines_of};
use super::os_threads::HELPERS_COUNT;
use super::shared::Shared;
use super::{profile, signals, trace};
use crate::util::lock::Lock;

/// Runtimes that write a dump at SIGQUIT.
static ON_QUIT: Lock<Vec<&'static Shared>> = Lock::new(Vec::new());
static QUIT_READY: AtomicBool = AtomicBool::new(false);

/// From now on SIGQUIT writes this runtime's goroutines to stderr, and the
/// program goes on.
pub(crate) fn dump_on_quit(shared: &'static Shared) -> std::io::Result<()> {
    let mut all = ON_QUIT.lock();
    all.push(shared);
    if QUIT_READY.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    drop(all);
    let (told, quits) = std::sync::mpsc::channel();
    let quit = crate::sys::notice::bit(libc::SIGQUIT);
    let tell = move |_| {
        // The thread that hears it stays.
        let _ = told.send(());
    };
    signals::listen(quit, tell)?.forget();
    HELPERS_COUNT.fetch_add(1, Ordering::SeqCst);
    std::thread::Builder::new()
        .name("sigquit".into())
        .stack_size(REPORT_STACK)
        .spawn(move || {
            for () in quits {
                // One that is on the list has not stopped, so it is there.
                let all: Vec<_> = ON_QUIT.lock().iter().map(|shared| shared.user()).collect();
                for (number, user) in all.iter().enumerate() {
                    write_all("SIGQUIT: all goroutines\n\n", &goroutines_of(user.shared()));
                    trace::write_if_asked(user.shared(), number);
                    write_stacks(user.shared());
                }
            }
        })?;
    Ok(())
}

pub(crate) fn no_dump_on_quit(shared: &'static Shared) {
    ON_QUIT.lock().retain(|other| !std::ptr::eq(*other, shared));
}

/// Writes a heading and a line a goroutine to stderr.
pub(crate) fn write_all(heading: &str, goroutines: &[GoroutineInfo]) {
    let mut out = crate::fatal::StderrBuffer::new();
    let _ = out.write_str(heading);
    for info in goroutines {
        let _ = writeln!(out, "{info}");
    }
    out.flush();
}

/// Bytes of stack that finding the names of frames may need.
const REPORT_STACK: usize = 1 << 20;

/// Writes the goroutines' stacks to stderr, equal ones once.
fn write_stacks(shared: &'static Shared) {
    let mut out = crate::fatal::StderrBuffer::new();
    let _ = write!(out, "\n{}", profile::of(shared, usize::MAX));
    out.flush();
}

/// As [`write_stacks`], on a thread of its own, for callers whose stack is small.
pub(crate) fn write_stacks_apart(shared: &'static Shared) {
    let thread = std::thread::Builder::new()
        .stack_size(REPORT_STACK)
        .spawn(move || write_stacks(shared));
    // Without a thread the report has no stacks.
    if let Ok(thread) = thread {
        let _ = thread.join();
    }
}
