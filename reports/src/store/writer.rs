//! Writes a result file: whole lines only, synced to the disk at block ends.
//!
//! # Invariants
//!
//! 1. A call that fails removes its partial line, so the file ends with a whole line. If the removal
//!    fails too, readers ignore the partial line, and nothing is appended before it is removed.
//! 2. No written line is changed. Only `Writer::resume` removes lines: those after the last block
//!    mark.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::claim::Claim;
use super::source::MARK;
use crate::schema::{Block, End, Header, Record};

/// Why a readable file cannot be continued.
const NO_HEADER: &str = "it does not begin with a header line; decompress a compressed file first";

/// Where a writer's lines go: a file, or in tests a medium that fails.
pub trait Medium: Write {
    /// Syncs all written bytes to the disk.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn sync(&mut self) -> io::Result<()>;

    /// Removes all after the first `len` bytes; writing continues there.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Medium for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(drop)
    }
}

/// Why a file could not be opened, or why a record is not in the file or not synced. All records
/// before that record are in the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file exists already; a run never overwrites another.
    #[error("{} exists already, and a result file is never overwritten. Choose another folder", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// Another process is writing the file.
    #[error("{} is still being measured by {holder}: wait until it has ended, or end it", file.display())]
    Busy {
        /// The file.
        file: PathBuf,
        /// The process that writes it.
        holder: String,
    },
    /// The file could not be opened for writing.
    #[error("{}: {error}. Name a folder of a run that you may write to", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The disk or the quota is full, or the file would be too large.
    #[error("{}: no space left ({error}). {}", file.display(), kept(*lines))]
    Full {
        /// The file.
        file: PathBuf,
        /// Lines that are in the file.
        lines: u64,
        /// The system's error.
        error: io::Error,
    },
    /// The system refused for another reason.
    #[error("{}: {error}. All {lines} lines written so far are kept", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Lines that are in the file.
        lines: u64,
        /// The system's error.
        error: io::Error,
    },
}

/// What the user can do when the disk is full.
fn kept(lines: u64) -> String {
    match lines {
        0 => "Nothing was measured yet: free some space and start it again".to_owned(),
        _ => format!(
            "All {lines} lines written so far are kept; free some space and continue with --resume"
        ),
    }
}

/// An open result file.
#[derive(Debug)]
pub struct Writer<M = File> {
    medium: M,
    file: PathBuf,
    written: Written,
    /// Whether the file may end with a partial line.
    torn: bool,
}

#[derive(Clone, Debug, Default)]
struct Written {
    len: u64,
    lines: u64,
    samples: u64,
    /// The number of records by type, without the header and the end.
    records: BTreeMap<String, u64>,
}

impl Written {
    fn add(&mut self, record: &Record, len: usize) {
        self.len += len as u64;
        self.lines += 1;
        match record {
            Record::Header(_) | Record::End(_) => return,
            Record::Group(group) => self.samples += group.samples.len() as u64,
            _ => {}
        }
        *self.records.entry(record.kind().to_owned()).or_default() += 1;
    }

    fn count(&self, kind: &str) -> u64 {
        self.records.get(kind).copied().unwrap_or(0)
    }
}

impl Writer<File> {
    /// Creates a file with its header, and syncs it. If that fails, the file is removed, because it
    /// would block the next run.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`] if the file exists, [`WriteError::Busy`] if another process claims it
    /// first, or the system's error.
    pub fn create(path: &Path, header: &Header) -> Result<Writer<File>, WriteError> {
        let (medium, _) = Claim::create(path)?.into_parts();
        let mut writer = Writer::on(medium, path);
        let begun = writer
            .append(&Record::Header(Box::new(header.clone())))
            .and_then(|()| writer.sync());
        if let Err(error) = begun {
            // Only the first error is reported.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(writer)
    }

    /// Continues the file of a run that was cut short. Lines after the last [`Block`] mark are
    /// removed, because their block will be measured again.
    ///
    /// The lines are not checked: use [`read`](super::read) first.
    ///
    /// # Errors
    ///
    /// The system's error, or one for a file without a header; [`WriteError::Exists`] if the run
    /// has ended.
    pub fn resume(claim: Claim) -> Result<Writer<File>, WriteError> {
        let (medium, path) = claim.into_parts();
        let path = path.as_path();
        let fail = |error| WriteError::Io {
            file: path.to_path_buf(),
            lines: 0,
            error,
        };
        let mut writer = Writer::on(medium, path);
        let mut written = Written::default();
        // The state after the header or the last block mark.
        let mut kept = None;
        let mut reader = BufReader::new(&writer.medium);
        let mut line = Vec::new();
        loop {
            line.clear();
            let got = reader.read_until(b'\n', &mut line).map_err(fail)?;
            if got == 0 || line.last() != Some(&b'\n') {
                break;
            }
            let text = match written.lines {
                0 => line.strip_prefix(MARK).unwrap_or(&line),
                _ => &line,
            };
            let record = serde_json::from_slice(text).map(Record::from_value);
            let Ok(Ok(record)) = record else {
                break;
            };
            written.add(&record, got);
            match record {
                Record::Header(_) | Record::Block(_) => kept = Some(written.clone()),
                Record::End(end) if !end.interrupted => {
                    return Err(WriteError::Exists {
                        file: path.to_path_buf(),
                    });
                }
                _ => {}
            }
        }
        writer.written = kept.ok_or_else(|| fail(io::Error::other(NO_HEADER)))?;
        writer.medium.cut(writer.written.len).map_err(fail)?;
        Ok(writer)
    }
}

impl<M: Medium> Writer<M> {
    /// Writes to an empty `medium`; `file` is for messages.
    pub fn on(medium: M, file: &Path) -> Writer<M> {
        Writer {
            medium,
            file: file.to_path_buf(),
            written: Written::default(),
            torn: false,
        }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Appends one record as a line.
    ///
    /// # Errors
    ///
    /// The system's error. The file then ends with the line before.
    pub fn append(&mut self, record: &Record) -> Result<(), WriteError> {
        let mut line =
            serde_json::to_vec(record).map_err(|error| self.fail(io::Error::other(error)))?;
        line.push(b'\n');
        if self.torn {
            self.remove_partial_line()
                .map_err(|error| self.fail(error))?;
        }
        if let Err(error) = self
            .medium
            .write_all(&line)
            .and_then(|()| self.medium.flush())
        {
            // A partial line that stays is removed before the next append.
            let _ = self.remove_partial_line();
            return Err(self.fail(error));
        }
        self.written.add(record, line.len());
        Ok(())
    }

    fn remove_partial_line(&mut self) -> io::Result<()> {
        let removed = self.medium.cut(self.written.len);
        self.torn = removed.is_err();
        removed
    }

    /// Appends a block's mark, and syncs the file to the disk. If only the sync fails, the mark is
    /// in the file.
    ///
    /// # Errors
    ///
    /// As [`append`](Writer::append).
    pub fn end_block(&mut self, block: Block) -> Result<(), WriteError> {
        self.append(&Record::Block(block))?;
        self.sync()
    }

    /// Appends the end with the counts, and syncs the file. If only the sync fails, the end is in
    /// the file.
    ///
    /// # Errors
    ///
    /// As [`append`](Writer::append).
    pub fn finish(mut self, end: End) -> Result<M, WriteError> {
        let end = End {
            groups_count: self.written.count("group"),
            samples_count: self.written.samples,
            failures_count: self.written.count("failure"),
            records_count: std::mem::take(&mut self.written.records),
            ..end
        };
        self.append(&Record::End(end))?;
        self.sync()?;
        Ok(self.medium)
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        self.medium.sync().map_err(|error| self.fail(error))
    }

    fn fail(&self, error: io::Error) -> WriteError {
        let (file, lines) = (self.file.clone(), self.written.lines);
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => WriteError::Full { file, lines, error },
            _ => WriteError::Io { file, lines, error },
        }
    }
}
