//! Ctrl-C: the first stops the study at its next block, the second ends the program at once.

use std::io;

use crate::lane_process::Stop;
use crate::say::say;
use crate::signals;

/// The exit status after a Ctrl-C, as in shells.
pub(super) const STOPPED: u8 = 130;

/// Ctrl-C, SIGTERM and SIGHUP request the returned [`Stop`].
///
/// # Errors
///
/// If the signals cannot be caught.
pub(super) fn on_ctrl_c() -> io::Result<Stop> {
    let stop = Stop::default();
    let asked = stop.clone();
    let mut endings = signals::endings()?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in endings.forever() {
                if asked.asked() {
                    asked.kill_lane();
                    std::process::exit(i32::from(STOPPED));
                }
                asked.ask();
                say("\nstopping: what was measured is kept (Ctrl-C again ends at once)");
            }
        })?;
    Ok(stop)
}
