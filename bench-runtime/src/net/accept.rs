//! An accept loop that pauses while the process is out of descriptors.

use std::io;
use std::time::Duration;

use crate::sys::socket::is_shortage;
use crate::time;

/// The pauses of net/http's server in Go.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct BackOff {
    pause: Duration,
}

impl BackOff {
    pub(super) fn new() -> Self {
        Self { pause: FIRST_PAUSE }
    }

    /// Accepts a connection. While the process is out of descriptors or memory, pauses, longer each
    /// time, and tries again. `None` once the listener is closed. Blocks the goroutine.
    pub(super) fn accept<T>(
        &mut self,
        mut accept: impl FnMut() -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        loop {
            match accept() {
                Err(e) if is_shortage(&e) => {
                    time::sleep(self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
                Err(e) if super::is_closed_error(&e) => return None,
                done => {
                    self.pause = FIRST_PAUSE;
                    return Some(done);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_is_waited_out_with_longer_pauses() {
        let mut left = 3;
        let mut back_off = BackOff::new();
        let start = std::time::Instant::now();
        let done = back_off.accept(|| {
            left -= 1;
            if left > 0 {
                return Err(nix::Error::EMFILE.into());
            }
            Ok("connection")
        });
        assert!(matches!(done, Some(Ok("connection"))));
        assert!(
            start.elapsed() >= FIRST_PAUSE * 3,
            "one pause, then twice it"
        );
        assert_eq!(back_off.pause, FIRST_PAUSE, "success begins anew");
    }

    #[test]
    fn other_errors_are_returned_and_close_ends_the_loop() {
        let mut back_off = BackOff::new();
        let failed = back_off.accept(|| Err::<(), _>(nix::Error::EINVAL.into()));
        assert!(matches!(failed, Some(Err(_))));
        assert!(
            back_off
                .accept(|| Err::<(), _>(super::super::closed_error()))
                .is_none()
        );
    }
}
