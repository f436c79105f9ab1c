//! Reports of all goroutines on stderr.

use std::fmt::Write;
use std::io;

use super::dump::{GoroutineInfo, goroutines_of};
use super::job::HELPER_STACK;
use super::shared::Shared;
use super::{os_threads, profile, signals, trace};
use crate::util::lock::Lock;

/// Runtimes that write a dump at SIGQUIT.
static ON_QUIT: Lock<Vec<&'static Shared>> = Lock::new(Vec::new());
/// The signal is caught, and a thread writes the dumps.
static IS_HEARD: Lock<bool> = Lock::new(false);

/// From now on SIGQUIT writes this runtime's goroutines to stderr, and the
/// program goes on.
///
/// # Errors
///
/// When the kernel refuses what that takes; the next call tries again.
pub(crate) fn dump_on_quit(shared: &'static Shared) -> io::Result<()> {
    let mut is_heard = IS_HEARD.lock();
    if !*is_heard {
        hear_quits()?;
        *is_heard = true;
    }
    drop(is_heard);
    ON_QUIT.lock().push(shared);
    Ok(())
}

fn hear_quits() -> io::Result<()> {
    let (told, quits) = std::sync::mpsc::channel();
    // It ends with the channel, where the signal cannot be caught.
    os_threads::start_counted("sigquit", HELPER_STACK, move || {
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
    let tell = move |_| {
        // The thread that hears it stays.
        let _ = told.send(());
    };
    signals::listen(crate::sys::notice::bit(libc::SIGQUIT), tell)?.forget();
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

/// Writes the goroutines' stacks to stderr, equal ones once.
fn write_stacks(shared: &'static Shared) {
    let mut out = crate::fatal::StderrBuffer::new();
    let _ = write!(out, "\n{}", profile::of(shared, usize::MAX));
    out.flush();
}

/// As [`write_stacks`], on a thread of its own, for callers whose stack is small.
pub(crate) fn write_stacks_apart(shared: &'static Shared) {
    let thread = std::thread::Builder::new()
        .stack_size(HELPER_STACK)
        .spawn(move || write_stacks(shared));
    // Without a thread the report has no stacks.
    if let Ok(thread) = thread {
        let _ = thread.join();
    }
}
