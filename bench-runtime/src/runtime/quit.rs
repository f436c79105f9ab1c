//! SIGQUIT writes all goroutines to stderr.

use std::io;

use super::trace;
use crate::debug::info::infos_in;
use crate::debug::snapshot;
use crate::debug::stderr::{write_all, write_stacks};
use crate::sched::shared::Shared;
use crate::signal::thread::listen;
use crate::threads::{self, HELPER_STACK};
use crate::util::lock::Lock;

static DUMPED_ON_QUIT: Lock<Vec<&'static Shared>> = Lock::new(Vec::new());
static IS_CAUGHT: Lock<bool> = Lock::new(false);

/// From now on SIGQUIT writes the goroutines of `shared`, and the program continues.
///
/// # Errors
///
/// If the kernel refuses the resources for it; the next call tries again.
pub(crate) fn dump_on_quit(shared: &'static Shared) -> io::Result<()> {
    let mut is_caught = IS_CAUGHT.lock();
    if !*is_caught {
        catch_quits()?;
        *is_caught = true;
    }
    drop(is_caught);
    DUMPED_ON_QUIT.lock().push(shared);
    Ok(())
}

fn catch_quits() -> io::Result<()> {
    let (sender, quits) = std::sync::mpsc::channel();
    // If the signal cannot be caught, the channel is closed and this thread ends.
    threads::start_counted("sigquit", HELPER_STACK, move || {
        for () in quits {
            // A runtime on the list has not stopped, so `shared` is not freed yet.
            let all: Vec<_> = DUMPED_ON_QUIT
                .lock()
                .iter()
                .map(|shared| shared.user())
                .collect();
            for (number, user) in all.iter().enumerate() {
                let shared = user.shared();
                write_all("SIGQUIT: all goroutines\n\n", &infos_in(shared.slab()));
                snapshot::write_trace_file(number, || trace::read(shared));
                write_stacks(shared.slab().in_use());
            }
        }
    })?;
    let tell = move |_| {
        // The receiving thread never ends, so this cannot fail.
        let _ = sender.send(());
    };
    listen(crate::sys::notice::bit(libc::SIGQUIT), tell)?.forget();
    Ok(())
}

pub(crate) fn no_dump_on_quit(shared: &'static Shared) {
    DUMPED_ON_QUIT
        .lock()
        .retain(|other| !std::ptr::eq(*other, shared));
}
