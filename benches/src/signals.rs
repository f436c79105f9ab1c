//! The program's reaction to signals.
//!
//! | signal | here |
//! |---|---|
//! | `SIGINT`, `SIGTERM`, `SIGHUP` | stop the study; ignored if ignored at the start (`nohup`, a script's background job) |
//! | `SIGXFSZ` | caught, so that a write beyond `ulimit -f` is an error that names the file |
//! | `SIGCHLD` | set to its default if ignored at the start, because the kernel would keep no exit status of a lane |
//!
//! `exec` resets handlers, so lanes start with the defaults.
#![expect(
    unsafe_code,
    reason = "asking how a signal is handled, and setting that back to the default, are system calls that the safe crates do not offer"
)]

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

/// Sets up `SIGCHLD` and `SIGXFSZ`. Call it before the first lane starts and the first file is
/// written.
pub(crate) fn prepare() {
    if is_ignored(libc::SIGCHLD) {
        // SAFETY: the default action runs no code of this program.
        let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    }
    // The flag is not read. With the signal caught, the write fails with EFBIG.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

pub(crate) fn endings() -> io::Result<Signals> {
    let heard = [SIGINT, SIGTERM, SIGHUP];
    Signals::new(heard.into_iter().filter(|&one| !is_ignored(one)))
}

fn is_ignored(number: i32) -> bool {
    let mut old = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing changes, and if the kernel returns 0 it has filled in
    // the old action.
    unsafe {
        let code = libc::sigaction(number, std::ptr::null(), old.as_mut_ptr());
        Errno::result(code).is_ok() && old.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
