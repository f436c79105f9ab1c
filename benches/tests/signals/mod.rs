//! The signals that a tested program finds when it starts.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigHandler, Signal, signal};

/// Has the program start with the usual ends by signals. A shell starts what runs in
/// its background with SIGINT ignored, `nohup` with SIGHUP, and what finds it so
/// leaves it so.
pub(crate) fn with_default_signals(command: &mut Command) {
    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for each in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
                signal(each, SigHandler::SigDfl)?;
            }
            Ok(())
        });
    }
}
