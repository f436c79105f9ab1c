use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use crate::net::convert::{
    both_deadlines, common, read_by_ref, read_timeout, write_by_ref, write_timeout,
};
use crate::net::fd::Fd;
use crate::netpoll::Side;
use crate::sys::{fd, transfer};
use crate::util::write::write_at_once;

/// The reading and the writing end, as [`std::io::pipe`].
///
/// # Errors
///
/// If the process is out of descriptors, or the user's pipes have used up their memory.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let (mut reader, mut writer) = bench_runtime::net::pipe()?;
/// writer.write_all(b"hello")?;
/// drop(writer);
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok(())
/// # }
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = fd::pipe()?;
    Ok((
        PipeReader {
            fd: Fd::new(reader.into()),
        },
        PipeWriter {
            fd: Fd::new(writer.into()),
        },
    ))
}

/// The end of a pipe to read from.
///
/// # Examples
///
/// ```
/// use bench_runtime::net::pipe;
/// use std::io::{BufRead, BufReader, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let (reader, mut writer) = pipe()?;
/// writer.write_all(b"one\ntwo\n")?;
/// drop(writer);
/// assert_eq!(BufReader::new(reader).lines().count(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PipeReader {
    fd: Fd<io::PipeReader>,
}

/// The end of a pipe to write to.
///
/// # Examples
///
/// ```
/// use bench_runtime::net::pipe;
/// use std::io::{ErrorKind, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let (reader, mut writer) = pipe()?;
/// drop(reader);
/// let gone = writer.write(b"is anybody there?").unwrap_err();
/// assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PipeWriter {
    fd: Fd<io::PipeWriter>,
}

#[cfg(test)]
impl PipeReader {
    pub(super) fn is_watched_by_level(&self) -> bool {
        self.fd.is_watched_by_level()
    }

    pub(super) fn watch_by_level(&self) {
        self.fd.watch_by_level();
    }
}

impl PipeReader {
    /// Appends the bytes that are there now, at most 64 KiB (a pipe's default capacity). Does not
    /// block, and ignores deadlines.
    pub(crate) fn read_rest(&self, all: &mut Vec<u8>) -> io::Result<()> {
        let mut buf = vec![0; 64 << 10];
        match self.fd.with(|pipe| transfer::read(pipe.as_fd(), &mut buf)) {
            Ok(len) => all.extend_from_slice(&buf[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

common!(PipeReader of io::PipeReader, reads set_read_deadline);
both_deadlines!(
    PipeReader,
    "As `set_read_deadline`: a pipe has one side at each end.",
    read,
    set_read_deadline
);
read_timeout!(PipeReader);
read_by_ref!(PipeReader);
common!(PipeWriter of io::PipeWriter, writes set_write_deadline);
both_deadlines!(
    PipeWriter,
    "As `set_write_deadline`: a pipe has one side at each end.",
    write,
    set_write_deadline
);
write_timeout!(PipeWriter);
write_by_ref!(PipeWriter);

impl TryFrom<OwnedFd> for PipeReader {
    type Error = io::Error;

    /// Takes any descriptor that can be polled and read: a pipe, a terminal, a socket.
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        io::PipeReader::from(fd).try_into()
    }
}

impl TryFrom<OwnedFd> for PipeWriter {
    type Error = io::Error;

    /// Takes any descriptor that can be polled and written to.
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        io::PipeWriter::from(fd).try_into()
    }
}

impl Read for &PipeReader {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd
            .read_pipe(buf.len(), |pipe| transfer::read(pipe.as_fd(), buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.fd.read_pipe(len, |mut pipe| pipe.read_vectored(bufs))
    }
}

impl Write for &PipeWriter {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.fd
            .io(Side::Write, |pipe| transfer::write(pipe.as_fd(), buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.fd
            .io(Side::Write, |mut pipe| pipe.write_vectored(bufs))
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        write_at_once(self, text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
