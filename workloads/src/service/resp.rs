//! RESP, the protocol of Redis: the part that `GET` and `SET` need.

use std::ops::Range;

const MOST_BYTES: usize = 1 << 20;

pub(crate) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bulk(out, word);
    }
}

pub(crate) fn bulk(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A reply as ranges of the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A value or a line such as `OK`.
    Value(Range<usize>),
    Nothing,
    Error(Range<usize>),
}

/// A value and its end; `None` until it is complete.
type Parsed<T> = Result<Option<(T, usize)>, Malformed>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

pub(crate) fn reply(bytes: &[u8]) -> Parsed<Reply> {
    let Some((line, end)) = line(bytes, 0)? else {
        return Ok(None);
    };
    Ok(match bytes[line.start] {
        b'+' => Some((Reply::Value(line.start + 1..line.end), end)),
        b'-' => Some((Reply::Error(line.start + 1..line.end), end)),
        b'$' if &bytes[line.clone()] == b"$-1" => Some((Reply::Nothing, end)),
        b'$' => value(bytes, line, end)?.map(|(value, end)| (Reply::Value(value), end)),
        _ => return Err(Malformed),
    })
}

pub(crate) fn words(bytes: &[u8]) -> Parsed<Vec<Range<usize>>> {
    let Some((first, mut end)) = line(bytes, 0)? else {
        return Ok(None);
    };
    let count = number(bytes, b'*', first)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((head, at)) = line(bytes, end)? else {
            return Ok(None);
        };
        let Some((word, after)) = value(bytes, head, at)? else {
            return Ok(None);
        };
        words.push(word);
        end = after;
    }
    Ok(Some((words, end)))
}

fn value(bytes: &[u8], head: Range<usize>, from: usize) -> Parsed<Range<usize>> {
    let to = from + number(bytes, b'$', head)?;
    match bytes.get(to..to + 2) {
        None => Ok(None),
        Some(b"\r\n") => Ok(Some((from..to, to + 2))),
        Some(_) => Err(Malformed),
    }
}

/// The line that begins at `from`. An empty line is malformed.
fn line(bytes: &[u8], from: usize) -> Parsed<Range<usize>> {
    const MOST_LINE_BYTES: usize = 1 << 10;
    let rest = &bytes[from..];
    match rest.windows(2).position(|pair| pair == b"\r\n") {
        Some(0) => Err(Malformed),
        Some(length) => Ok(Some((from..from + length, from + length + 2))),
        None if rest.len() > MOST_LINE_BYTES => Err(Malformed),
        None => Ok(None),
    }
}

fn number(bytes: &[u8], sign: u8, line: Range<usize>) -> Result<usize, Malformed> {
    let text = bytes[line].strip_prefix(&[sign]).ok_or(Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    match text.parse().map_err(|_| Malformed)? {
        number @ 0..=MOST_BYTES => Ok(number),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_parsed_as_written_and_only_when_complete() {
        let mut bytes = Vec::new();
        command(&mut bytes, &[b"SET", b"item:1", b"a\r\nb"]);
        let whole = bytes.len();
        bytes.extend_from_slice(b"*1\r\n$4");
        for end in 0..whole {
            assert_eq!(words(&bytes[..end]), Ok(None), "{end}");
        }
        let (found, end) = words(&bytes).unwrap().unwrap();
        let found: Vec<_> = found.into_iter().map(|word| &bytes[word]).collect();
        assert_eq!(found, [&b"SET"[..], b"item:1", b"a\r\nb"]);
        assert_eq!(end, whole);
    }

    #[test]
    fn replies_of_each_kind_are_parsed() {
        assert_eq!(reply(b"+OK\r\n+"), Ok(Some((Reply::Value(1..3), 5))));
        assert_eq!(reply(b"$2\r\nab\r\n"), Ok(Some((Reply::Value(4..6), 8))));
        assert_eq!(reply(b"$0\r\n\r\n"), Ok(Some((Reply::Value(4..4), 6))));
        assert_eq!(reply(b"$-1\r\n"), Ok(Some((Reply::Nothing, 5))));
        assert_eq!(reply(b"-ERR no\r\n"), Ok(Some((Reply::Error(1..7), 9))));
        for part in [&b""[..], b"$", b"$2\r", b"$2\r\nab", b"$2\r\nab\r"] {
            assert_eq!(reply(part), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn malformed_replies_are_refused() {
        let wrong: [&[u8]; 5] = [
            b"\r\n",
            b"?1\r\n",
            b"$x\r\n",
            b"$2\r\nabcd",
            b"$9999999\r\n",
        ];
        for bytes in wrong {
            assert_eq!(reply(bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(words(b"$1\r\na\r\n"), Err(Malformed));
        assert_eq!(words(b"*1\r\n+a\r\n"), Err(Malformed));
    }
}
