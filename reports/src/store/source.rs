//! The text of a result file, which may be compressed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// A form that the reader does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    what: &'static str,
    /// How to make it readable.
    advice: &'static str,
}

impl fmt::Display for Unread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the file is {}: {}", self.what, self.advice)
    }
}

const fn unread(what: &'static str, advice: &'static str) -> Unread {
    Unread { what, advice }
}

/// The unsupported forms, by their first bytes.
const FORMS: [(&[u8], Unread); 6] = [
    (
        b"\xff\xfe",
        unread("UTF-16 text", "make it UTF-8 by `iconv -f UTF-16 -t UTF-8`"),
    ),
    (
        b"\xfe\xff",
        unread("UTF-16 text", "make it UTF-8 by `iconv -f UTF-16 -t UTF-8`"),
    ),
    (
        b"\x1f\x8b",
        unread("compressed by gzip", "unpack it by `gunzip` first"),
    ),
    (
        b"BZh",
        unread("compressed by bzip2", "unpack it by `bunzip2` first"),
    ),
    (
        b"\xfd7zXZ\0",
        unread("compressed by xz", "unpack it by `unxz` first"),
    ),
    (
        b"PK\x03\x04",
        unread("a zip archive", "unpack it by `unzip` first"),
    ),
];
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// The byte order mark.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";
/// A form is recognised by at most this many first bytes.
const LONGEST: usize = 6;

/// The text in `file`, decompressed if needed, without a byte order mark; or its unsupported form.
///
/// # Errors
///
/// The file system's error.
pub(super) fn open(file: &Path) -> io::Result<Result<Box<dyn BufRead>, Unread>> {
    text(BufReader::with_capacity(1 << 16, File::open(file)?))
}

/// As [`open`], for an open source.
pub(super) fn text<'a>(
    source: impl BufRead + 'a,
) -> io::Result<Result<Box<dyn BufRead + 'a>, Unread>> {
    let (start, source) = read_start(source)?;
    if let Some((_, form)) = FORMS.iter().find(|(sign, _)| start.starts_with(sign)) {
        return Ok(Err(*form));
    }
    if !start.starts_with(ZSTD) {
        return Ok(Ok(Box::new(without_mark(start, source))));
    }
    let (start, source) = read_start(BufReader::new(Frames::of(source)?))?;
    Ok(Ok(Box::new(without_mark(start, source))))
}

struct Frames<S: Read>(Option<StreamingDecoder<S, FrameDecoder>>);

impl<S: BufRead> Frames<S> {
    fn of(source: S) -> io::Result<Self> {
        let decoder = StreamingDecoder::new(source).map_err(damaged)?;
        Ok(Self(Some(decoder)))
    }
}

impl<S: BufRead> Read for Frames<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let got = match decoder.read(bytes) {
                Ok(got) => got,
                Err(error) => {
                    let source = self.0.take().map(StreamingDecoder::into_inner);
                    let is_cut = source.is_some_and(|mut source| is_at_end(&mut source));
                    return Err(match is_cut {
                        true => io::Error::other("the file is cut off: copy it again"),
                        false => damaged(error),
                    });
                }
            };
            if got > 0 || bytes.is_empty() {
                return Ok(got);
            }
            let mut source = self.0.take().map(StreamingDecoder::into_inner);
            if let Some(source) = source.take_if(|source| !is_at_end(source)) {
                *self = Self::of(source)?;
            }
        }
        Ok(0)
    }
}

fn damaged(error: impl fmt::Display) -> io::Error {
    io::Error::other(format!("{error}: the file is damaged; copy it again"))
}

/// False after an error, which the next read reports.
fn is_at_end(source: &mut impl BufRead) -> bool {
    source.fill_buf().is_ok_and(<[u8]>::is_empty)
}

fn read_start(mut source: impl BufRead) -> io::Result<(Vec<u8>, impl BufRead)> {
    let mut start = Vec::new();
    (&mut source).take(LONGEST as u64).read_to_end(&mut start)?;
    Ok((start.clone(), io::Cursor::new(start).chain(source)))
}

fn without_mark(start: Vec<u8>, mut source: impl BufRead) -> impl BufRead {
    if start.starts_with(MARK) {
        // The mark is in the buffer.
        source.consume(MARK.len());
    }
    source
}
