//! The standard streams, which block the goroutine and not its thread.
//!
//! Other processes, such as a shell, share these streams, so they stay in blocking mode. A
//! goroutine waits until the stream is ready, and then reads or writes as much as it can without
//! blocking. If the kernel cannot do that, a helper thread makes the call. A file is always ready.
//!
//! ```
//! use bench_runtime::io::stdout;
//! use std::io::Write;
//!
//! writeln!(stdout(), "hello")?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod stdin;
mod stdout;

use std::io;
use std::os::fd::BorrowedFd;

pub use stdin::{Stdin, StdinLock, stdin};
pub use stdout::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout};

use crate::net::fd::Fd;
use crate::netpoll::Side;
use crate::seam::blocking;
use crate::sys::{fd, transfer};

/// One of the three standard streams.
#[derive(Clone, Copy, Debug)]
struct Stream(i32);

impl Stream {
    /// Calls `op`, which does not block. If `op` returns `None`, waits until the stream is ready,
    /// and calls `op` again. If `op` returns `None` although the stream is ready, a helper thread
    /// calls `by_thread`, which may block. Blocks the goroutine.
    fn when_ready<B: Send>(
        self,
        side: Side,
        mut buf: B,
        op: fn(BorrowedFd<'_>, &mut B) -> Option<usize>,
        by_thread: fn(BorrowedFd<'_>, &mut B) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // SAFETY: the number is open, or the kernel returns an error. std assumes that it is open
        // too.
        let fd = unsafe { BorrowedFd::borrow_raw(self.0) };
        // Watched only for this call, because the program may later use the number for another
        // file.
        let done = Fd::new(fd).io(side, |_| {
            if let Some(count) = op(fd, &mut buf) {
                return Ok(Ok(count));
            }
            if !fd::is_ready(fd, side == Side::Write) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(blocking(|| by_thread(fd, &mut buf)))
        });
        // If the stream cannot be watched, a helper thread waits.
        done.unwrap_or_else(|_| blocking(|| by_thread(fd, &mut buf)))
    }

    /// If the stream is closed, a read returns 0 bytes, as with std.
    fn read(self, buf: &mut [u8]) -> io::Result<usize> {
        let op = |fd: BorrowedFd<'_>, buf: &mut &mut [u8]| transfer::read_now(fd, buf, None);
        let read = self.when_ready(Side::Read, buf, op, |fd, buf| transfer::read(fd, buf));
        count_if_closed(read, 0)
    }

    /// If the stream is closed, written bytes are lost, as with std.
    fn write(self, buf: &[u8]) -> io::Result<usize> {
        let op = |fd: BorrowedFd<'_>, buf: &mut &[u8]| transfer::write_now(fd, buf);
        let written = self.when_ready(Side::Write, buf, op, |fd, buf| transfer::write(fd, buf));
        count_if_closed(written, buf.len())
    }
}

fn count_if_closed(result: io::Result<usize>, count: usize) -> io::Result<usize> {
    match result {
        Err(e) if e.raw_os_error() == Some(libc::EBADF) => Ok(count),
        other => other,
    }
}
