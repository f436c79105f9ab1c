//! A kernel pipe that carries whole numbers of 8 bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

/// Both ends of a pipe. Reads and writes block the calling thread.
///
/// No number is split, because writes up to `PIPE_BUF` are atomic.
#[derive(Clone, Debug)]
pub struct NumberPipe(Arc<(File, File)>);

impl NumberPipe {
    /// A pipe for at least `capacity` numbers. It holds fewer if `capacity` is above 131,072 or the
    /// kernel refuses to enlarge the pipe.
    ///
    /// # Errors
    ///
    /// The host's error: `EMFILE`, `ENFILE`.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        // On an error the pipe keeps its first size.
        let _ = fcntl(
            &write,
            FcntlArg::F_SETPIPE_SZ((capacity * 8).clamp(4_096, 1 << 20) as i32),
        );
        Ok(Self(Arc::new((read.into(), write.into()))))
    }

    /// Blocks the thread until there is a number.
    ///
    /// # Errors
    ///
    /// The error of `read`, or an unexpected end.
    pub fn read(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        (&self.0.0).read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Blocks the thread until one of two pipes has a number. Another task may read the number
    /// first.
    ///
    /// # Errors
    ///
    /// The error of `poll`.
    pub fn either_ready(pipes: &[Self; 2]) -> io::Result<&Self> {
        loop {
            let mut waited = pipes
                .each_ref()
                .map(|pipe| PollFd::new(pipe.0.0.as_fd(), PollFlags::POLLIN));
            match poll(&mut waited, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            for (pipe, waited) in pipes.iter().zip(&waited) {
                if waited.any().unwrap_or(false) {
                    return Ok(pipe);
                }
            }
        }
    }

    /// Blocks the thread while the pipe is full.
    ///
    /// # Errors
    ///
    /// The error of `write`.
    pub fn write(&self, number: u64) -> io::Result<()> {
        (&self.0.1).write_all(&number.to_le_bytes())
    }
}
