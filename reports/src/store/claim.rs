//! The right of one process to write a result file.
//!
//! It is an advisory lock (`flock`), which the kernel releases when its holder ends. On a file
//! system without locks, two processes may claim one file.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::WriteError;

/// The right to write a result file, until this value is dropped.
#[derive(Debug)]
pub struct Claim {
    file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims the file at `path`, which must exist.
    ///
    /// # Errors
    ///
    /// [`WriteError::Busy`] if another process has the claim, or the system's error.
    pub fn of(path: &Path) -> Result<Self, WriteError> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        Self::claim_opened(opened, path)
    }

    /// Creates the file at `path`, which must not exist, and claims it.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`] if the file exists, [`WriteError::Busy`] if another process claims
    /// the new file first, or the system's error.
    pub(super) fn create(path: &Path) -> Result<Self, WriteError> {
        let created = OpenOptions::new().write(true).create_new(true).open(path);
        Self::claim_opened(created, path)
    }

    fn claim_opened(opened: std::io::Result<File>, path: &Path) -> Result<Self, WriteError> {
        let path = path.to_path_buf();
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(WriteError::Exists { file: path });
            }
            Err(error) => return Err(WriteError::Open { file: path, error }),
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(WriteError::Busy {
                holder: holder(&file).unwrap_or_else(|| "another process".to_owned()),
                file: path,
            }),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { file, path }),
        }
    }

    pub(super) fn into_parts(self) -> (File, PathBuf) {
        (self.file, self.path)
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn holder(file: &File) -> Option<String> {
    let facts = file.metadata().ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let device = facts.dev();
    // The kernel's format: `1: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF`.
    let place = format!(
        "{:02x}:{:02x}:{}",
        device >> 8 & 0xfff,
        device & 0xff | device >> 12 & 0xffff_ff00,
        facts.ino()
    );
    let pid_in_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == place)?;
        let pid: u32 = words.get(at.checked_sub(1)?)?.parse().ok()?;
        (pid > 0).then_some(pid)
    };
    let pid = locks.lines().find_map(pid_in_line)?;
    Some(format!("process {pid}"))
}
