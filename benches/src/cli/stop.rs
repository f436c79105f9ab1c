//! Ctrl-C: the first asks the study to stop, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::lane_process::Stop;

/// The exit status of a program that a Ctrl-C ended, as shells have it.
pub(super) const STOPPED: u8 = 130;

/// A wish to stop that follows Ctrl-C, SIGTERM and SIGHUP from now on.
///
/// # Errors
///
/// Where the signals are taken already.
pub(super) fn on_ctrl_c() -> Result<Stop, ctrlc::Error> {
    let stop = Stop::default();
    let asked = stop.clone();
    let times = Arc::new(AtomicU32::new(0));
    ctrlc::set_handler(move || {
        if times.fetch_add(1, Ordering::Relaxed) == 0 {
            asked.ask();
            eprintln!("\nstopping: what was measured is kept (Ctrl-C again ends at once)");
        } else {
            asked.kill_lane();
            std::process::exit(i32::from(STOPPED));
        }
    })?;
    Ok(stop)
}
