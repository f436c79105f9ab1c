//! Files to read, in a temporary folder that is deleted with them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tempfile::TempDir;

use crate::kernels::bytes;
use crate::lane::Failure;

const BLOCK_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Files {
    folder: TempDir,
    count: usize,
}

impl Files {
    pub(crate) fn create(count: usize, size: u64) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::host("making a folder in TMPDIR", &error, "the space in TMPDIR")
        })?;
        let files = Self { folder, count };
        for index in 0..count as u64 {
            write(&files.path(index), index, size).map_err(|error| {
                Failure::host("writing a temporary file", &error, "the space in TMPDIR")
            })?;
        }
        Ok(files)
    }

    pub(crate) fn path(&self, index: u64) -> PathBuf {
        self.folder.path().join(index.to_string())
    }

    pub(crate) fn drop_cache(&self) -> Result<(), Failure> {
        for index in 0..self.count as u64 {
            let file = File::open(self.path(index))
                .map_err(|error| Failure::host("opening a temporary file", &error, "ulimit -n"))?;
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).map_err(
                |errno| Failure::failed(format!("posix_fadvise on a temporary file: {errno}")),
            )?;
        }
        Ok(())
    }

    /// Blocks the thread.
    pub(crate) fn add_up(path: &Path, block_bytes: usize) -> Result<u64, Failure> {
        let read = || -> io::Result<u64> {
            let mut file = File::open(path)?;
            let mut block = vec![0; block_bytes];
            let mut sum = 0;
            loop {
                match file.read(&mut block)? {
                    0 => return Ok(sum),
                    size => sum += bytes::add_up(&block[..size]),
                }
            }
        };
        read().map_err(|error| Failure::host("reading a temporary file", &error, "ulimit -n"))
    }
}

fn write(path: &Path, index: u64, size: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut written = 0;
    while written < size {
        let length = (size - written).min(BLOCK_BYTES as u64) as usize;
        bytes::fill(index, written, &mut block[..length]);
        file.write_all(&block[..length])?;
        written += length as u64;
    }
    file.sync_all()
}
