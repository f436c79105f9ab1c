use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::io;
use std::path::PathBuf;

use crate::sched;
use crate::seam::blocking;

/// How many entries one blocking call reads.
const BATCH: usize = 256;

/// The entries of a folder, from [`read_dir`](super::read_dir).
///
/// # Examples
///
/// ```
/// let entries = bench_runtime::fs::read_dir("/proc/self/fd")?;
/// assert!(entries.count() >= 3);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ReadDir {
    unread: std::fs::ReadDir,
    batch: VecDeque<io::Result<std::fs::DirEntry>>,
    is_at_end: bool,
}

impl ReadDir {
    pub(super) fn new(unread: std::fs::ReadDir) -> Self {
        Self {
            unread,
            batch: VecDeque::new(),
            is_at_end: false,
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() && !self.is_at_end {
            let (unread, batch) = (&mut self.unread, &mut self.batch);
            blocking(|| batch.extend(unread.take(BATCH)));
            self.is_at_end = self.batch.len() < BATCH;
        } else {
            sched::give_way();
        }
        Some(self.batch.pop_front()?.map(|inner| DirEntry { inner }))
    }
}

/// An entry of a folder.
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// bench_runtime::fs::write(folder.join("file"), "text")?;
/// let entry = bench_runtime::fs::read_dir(folder)?.next().unwrap()?;
/// assert_eq!(entry.file_name(), "file");
/// assert_eq!(entry.path(), folder.join("file"));
/// assert!(entry.file_type()?.is_file());
/// assert_eq!(entry.metadata()?.len(), 4);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirEntry {
    inner: std::fs::DirEntry,
}

impl DirEntry {
    /// The folder's path with the name of the entry. Does not block.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inner.path()
    }

    /// The name alone. Does not block.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.inner.file_name()
    }

    /// The metadata of the entry; links are not followed. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::DirEntry::metadata`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.inner.metadata())
    }

    /// The entry's file type. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::DirEntry::file_type`].
    pub fn file_type(&self) -> io::Result<FileType> {
        blocking(|| self.inner.file_type())
    }
}
