//! A lane's requests to the study in the middle of a sample.

use std::io;

use nix::errno::Errno;
use nix::unistd::{read, write};

use crate::lane::Failure;
use crate::protocol::{Request, Response};

/// Requests a reading of the memory ledger. Blocks the thread until it is taken.
///
/// Uses the pipes without buffers, because the serving thread holds the locks of std's streams.
pub(crate) fn read_memory() -> Result<(), Failure> {
    ask().map_err(|error| Failure::failed(format!("asking for a reading of memory: {error}")))
}

fn ask() -> io::Result<()> {
    let mut line = serde_json::to_vec(&Response::ReadMemory)?;
    line.push(b'\n');
    let mut rest = &line[..];
    while !rest.is_empty() {
        match write(io::stdout(), rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        let mut bytes = [0; 64];
        match read(io::stdin(), &mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => answer.extend_from_slice(&bytes[..count]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    match serde_json::from_slice(&answer)? {
        Request::MemoryRead => Ok(()),
        other => Err(io::Error::other(format!("the study answered {other:?}"))),
    }
}
