//! `fatal!` prints an error and aborts. It never unwinds: an unwind would cross a context switch.
//! It writes with `write(2)` from a buffer on the stack, so that it also works in a signal handler
//! and while a lock of std's is held.

use std::fmt::{self, Write};
use std::io::{Error, ErrorKind};

macro_rules! fatal {
    ($($arg:tt)*) => {
        $crate::fatal::abort_with(format_args!($($arg)*))
    };
}
pub(crate) use fatal;

/// Written to stderr when it is full and by `flush`.
#[derive(Debug)]
pub(crate) struct StderrBuffer {
    bytes: [u8; 512],
    len: usize,
}

impl StderrBuffer {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; 512],
            len: 0,
        }
    }

    pub(crate) fn flush(&mut self) {
        let mut rest = &self.bytes[..self.len];
        while !rest.is_empty() {
            // SAFETY: the pointer and length come from one live slice.
            let n = unsafe { libc::write(2, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(n) {
                Ok(n) if n > 0 => rest = &rest[n..],
                Err(_) if Error::last_os_error().kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        self.len = 0;
    }
}

impl Write for StderrBuffer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for chunk in s.as_bytes() {
            if self.len == self.bytes.len() {
                self.flush();
            }
            self.bytes[self.len] = *chunk;
            self.len += 1;
        }
        Ok(())
    }
}

/// Writes a line of a report that the user requested.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    let mut out = StderrBuffer::new();
    let _ = writeln!(out, "{line}");
    out.flush();
}

#[cold]
#[inline(never)]
pub(crate) fn abort_with(message: fmt::Arguments<'_>) -> ! {
    let mut out = StderrBuffer::new();
    let _ = writeln!(out, "fatal error: {message}");
    out.flush();
    // SAFETY: abort has no precondition.
    unsafe { libc::abort() }
}
