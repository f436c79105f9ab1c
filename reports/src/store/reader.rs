//! Reads a result file. Errors name the file, the line and what to do.
//!
//! Files come from other people, so lines, files and numbers of records have limits. A line that is
//! too long is refused before all of it is read.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::columns;
use super::source::{self, Unread};
use crate::machine;
use crate::run::{Place, Run};
use crate::schema::{COLUMNS_VERSION, Record, SCHEMA_VERSION};

/// Renamed lanes: the old and the new name. The names of a lane's variants and of its tasks change
/// too.
const RENAMED: [(&str, &str); 1] = [("goroutine", "threadbare")];

/// How much a reader accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest line.
    pub line_bytes: u64,
    /// The largest file.
    pub file_bytes: u64,
    /// The most lines.
    pub lines_count: u64,
    /// The most samples over all groups.
    pub samples_count: u64,
    /// The most values in all lines of type `columns` together.
    pub values_count: u64,
}

impl Default for Limits {
    /// About ten times the largest real run.
    fn default() -> Limits {
        Limits {
            line_bytes: 16 << 20,
            file_bytes: 1 << 30,
            lines_count: 1_000_000,
            samples_count: 10_000_000,
            values_count: 50_000_000,
        }
    }
}

/// Why a result file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("{}: {error}{}", file.display(), advice(error))]
    Io {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file has a form that the reader does not support.
    #[error("{}: {form}", file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// The form, with advice.
        form: Unread,
    },
    /// The file is empty.
    #[error(
        "{}: the file is empty; a result file begins with a header line. Run the study again",
        file.display()
    )]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// A line has no valid record.
    #[error("{}:{line}: {problem}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The problem, with advice.
        problem: String,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ". Let this user read it",
        // The decompressor's error contains advice.
        io::ErrorKind::Other => "",
        _ => ". Give the path of a run.jsonl that a run has written",
    }
}

/// Reads the result file at `path`, compressed by zstd or not. An incomplete last line is dropped
/// with a warning in [`Run::warnings`].
///
/// # Errors
///
/// [`ReadError`].
pub fn read(path: &Path) -> Result<Run, ReadError> {
    read_text(source::open(path), path, Limits::default())
}

/// Reads a result file from `source`; `path` is only for messages.
///
/// # Errors
///
/// As [`read`].
pub fn read_from(source: impl BufRead, path: &Path, limits: Limits) -> Result<Run, ReadError> {
    read_text(source::text(source), path, limits)
}

fn read_text<'a>(
    opened: io::Result<Result<Box<dyn BufRead + 'a>, Unread>>,
    path: &Path,
    limits: Limits,
) -> Result<Run, ReadError> {
    let file = || path.to_path_buf();
    let opened = opened.map_err(|error| ReadError::Io {
        file: file(),
        error,
    })?;
    let source = opened.map_err(|form| ReadError::Form { file: file(), form })?;
    Reader {
        source,
        path,
        limits,
        line: 0,
        bytes_read: 0,
    }
    .run()
}

struct Line {
    bytes: Vec<u8>,
    has_newline: bool,
}

struct Reader<'a, S> {
    source: S,
    path: &'a Path,
    limits: Limits,
    line: u64,
    bytes_read: u64,
}

impl<S: BufRead> Reader<'_, S> {
    fn run(mut self) -> Result<Run, ReadError> {
        let Some(first) = self.next()? else {
            return Err(ReadError::Empty {
                file: self.path.to_path_buf(),
            });
        };
        let mut run = self.header(&first)?;
        let mut samples = 0;
        let mut places = BTreeSet::new();
        while let Some(line) = self.next()? {
            if line.bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let records = match parse(&line.bytes) {
                Ok(value) if value["type"] == columns::TYPE => {
                    columns::records(value, &mut self.limits.values_count)
                }
                Ok(value) => Record::from_value(value).map(|record| vec![record]),
                Err(error) if !line.has_newline => {
                    run.warnings.push(format!(
                        "{}:{}: the last line is cut off and was left out ({}); everything before it is used",
                        self.path.display(),
                        self.line,
                        without_line(&error)
                    ));
                    break;
                }
                Err(error) => return Err(self.not_json(&error)),
            };
            for record in records.map_err(|problem| self.error(problem))? {
                self.add(&mut run, record, &mut samples, &mut places)?;
            }
        }
        let path = self.path.display();
        match &run.end {
            None => run.warnings.push(format!(
                "{path}: the run has no closing line: it was cut short. Its samples are used"
            )),
            Some(end) if end.samples_count != samples => run.warnings.push(format!(
                "{path}: its closing line says {} samples, but the file has {samples}: lines are missing or were added. Take the file from its source again",
                end.samples_count
            )),
            Some(_) => {}
        }
        rename_lanes(&mut run);
        Ok(run)
    }

    fn add(
        &self,
        run: &mut Run,
        record: Record,
        samples: &mut u64,
        places: &mut BTreeSet<Place>,
    ) -> Result<(), ReadError> {
        if let Record::Group(group) = &record {
            *samples += group.samples.len() as u64;
            if *samples > self.limits.samples_count {
                let limit = self.limits.samples_count;
                return Err(self.error(format!(
                    "more than {limit} samples: refused. If the file is really a run's, split it by workload"
                )));
            }
            if !places.insert(Place::of(group)) {
                return Err(self.error(format!(
                    "the samples of {} on {} (process {}, block {}) occur twice. Remove one of the two lines",
                    group.workload, group.lane, group.process_index, group.block_index
                )));
            }
        }
        if matches!(record, Record::Header(_)) {
            return Err(self.error(
                "a second header: two runs in one file. Keep each run in its own file, or join shards with `threadbare merge`".to_owned(),
            ));
        }
        if run.end.is_some() {
            return Err(self.error(
                "a record after the end of the run. Remove what was appended to the file"
                    .to_owned(),
            ));
        }
        run.push(record);
        Ok(())
    }

    fn header(&mut self, line: &Line) -> Result<Run, ReadError> {
        let value = parse(&line.bytes).map_err(|error| self.not_json(&error))?;
        let is_header = value.get("type").and_then(Value::as_str) == Some("header");
        if !is_header {
            return Err(self.error(
                "the first line is not a header ({\"type\":\"header\",…}), so this is no result file. Give the path of a run.jsonl".to_owned(),
            ));
        }
        match value.get("schema_version").and_then(Value::as_u64) {
            Some(version)
                if (u64::from(SCHEMA_VERSION)..=u64::from(COLUMNS_VERSION)).contains(&version) => {}
            Some(version) if version > u64::from(COLUMNS_VERSION) => {
                return Err(self.error(format!(
                    "schema version {version} is newer than {COLUMNS_VERSION}, the newest known here. Read it with a newer threadbare"
                )));
            }
            Some(version) => {
                return Err(self.error(format!(
                    "schema version {version} was never written by any threadbare. Check where the file comes from"
                )));
            }
            None => {
                return Err(self.error(
                    "the header has no schema_version that is a whole number. Check where the file comes from".to_owned(),
                ));
            }
        }
        match Record::from_value(value).map_err(|problem| self.error(problem))? {
            Record::Header(mut header) => {
                let edited = machine::contradiction(&header.host);
                machine::complete(&mut header.host);
                header.schema_version = SCHEMA_VERSION;
                let path = self.path.display();
                let warnings = edited.into_iter().map(|what| {
                    format!("{path}: the file's facts about its machine contradict each other: {what}. Get the file from its source again")
                });
                Ok(Run {
                    warnings: warnings.collect(),
                    ..Run::new(*header)
                })
            }
            _ => Err(self.error("the first line is not a header".to_owned())),
        }
    }

    /// `None` at the end of the file.
    fn next(&mut self) -> Result<Option<Line>, ReadError> {
        let mut bytes = Vec::new();
        let limit = self.limits.line_bytes;
        let got = (&mut self.source)
            .take(limit + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|error| ReadError::Io {
                file: self.path.to_path_buf(),
                error,
            })?;
        if got == 0 {
            return Ok(None);
        }
        self.line += 1;
        self.bytes_read += got as u64;
        let has_newline = bytes.last() == Some(&b'\n');
        if got as u64 > limit && !has_newline {
            return Err(self.error(format!(
                "the line is longer than {limit} bytes: refused. No run writes such a line; check where the file comes from"
            )));
        }
        if self.line > self.limits.lines_count {
            let limit = self.limits.lines_count;
            return Err(self.error(format!(
                "more than {limit} lines: refused. Check where the file comes from"
            )));
        }
        if self.bytes_read > self.limits.file_bytes {
            let limit = self.limits.file_bytes;
            return Err(self.error(format!(
                "the file is larger than {limit} bytes: refused. Check where the file comes from"
            )));
        }
        Ok(Some(Line { bytes, has_newline }))
    }

    fn not_json(&self, error: &serde_json::Error) -> ReadError {
        self.error(format!(
            "not JSON: {}. A result file has one JSON object a line; take the file from its source again",
            without_line(error)
        ))
    }

    fn error(&self, problem: String) -> ReadError {
        ReadError::Line {
            file: self.path.to_path_buf(),
            line: self.line,
            problem,
        }
    }
}

fn rename_lanes(run: &mut Run) {
    for (old, new) in RENAMED {
        let is_old = |name: &str| {
            let suffix = name.strip_prefix(old);
            suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with(['-', '@']))
        };
        for lane in run
            .header
            .lanes
            .iter_mut()
            .filter(|lane| is_old(&lane.name))
        {
            lane.noun = lane.noun.replace(old, &format!("{new} {old}"));
        }
        for name in run.lane_names_mut().filter(|name| is_old(name)) {
            name.replace_range(..old.len(), new);
        }
    }
}

/// The problem of a line, without the parser's line number, which is always 1.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(problem) => format!("{problem} at column {}", error.column()),
        None => text,
    }
}

fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(bytes)
}
