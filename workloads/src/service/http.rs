//! HTTP/1.1 for lanes without a framework.

use std::ops::Range;

use super::{DRAIN, Route};

const MOST_HEADERS: usize = 32;
const MOST_HEAD_BYTES: usize = 8 << 10;
const MOST_BODY_BYTES: usize = 64 << 10;

/// A request as ranges of the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) target: Target,
    pub(crate) authorization: Range<usize>,
    pub(crate) body: Range<usize>,
    pub(crate) closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Route(Route),
    Drain,
    Nothing,
}

impl Target {
    pub(crate) fn at(path: &str) -> Self {
        match Route::at(path) {
            Some(route) => Self::Route(route),
            None if path == DRAIN => Self::Drain,
            None => Self::Nothing,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The first request of `bytes`; `None` until it is complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Request>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let end = match head.parse(bytes).map_err(|_| Malformed)? {
        httparse::Status::Complete(end) => end,
        httparse::Status::Partial if bytes.len() > MOST_HEAD_BYTES => return Err(Malformed),
        httparse::Status::Partial => return Ok(None),
    };
    let mut request = Request {
        target: Target::at(head.path.unwrap_or_default()),
        authorization: 0..0,
        body: end..end,
        closes: head.version == Some(0),
    };
    for header in head.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            request.body.end += length(header.value)?;
        } else if is("transfer-encoding") {
            return Err(Malformed);
        } else if is("connection") {
            request.closes |= header.value.eq_ignore_ascii_case(b"close");
        } else if is("authorization") {
            // A header's value is a slice of `bytes`.
            let from = header.value.as_ptr().addr() - bytes.as_ptr().addr();
            request.authorization = from..from + header.value.len();
        }
    }
    Ok((request.body.end <= bytes.len()).then_some(request))
}

fn length(value: &[u8]) -> Result<usize, Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
    let length = text.trim().parse().map_err(|_| Malformed)?;
    match length {
        0..=MOST_BODY_BYTES => Ok(length),
        _ => Err(Malformed),
    }
}

pub(crate) fn respond(out: &mut Vec<u8>, status: u16, body: &[u8], closes: bool) {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Gateway Timeout",
    };
    let connection = if closes { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{connection}\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"POST /fan-out HTTP/1.1\r\nHost: x\r\nauthorization: Bearer u1:s\r\nContent-Length: 10\r\n\r\n{\"item\":1}";

    #[test]
    fn request_is_parsed_only_when_complete() {
        for end in 0..WHOLE.len() {
            assert_eq!(parse(&WHOLE[..end]), Ok(None), "{end}");
        }
        let more = [WHOLE, b"POST /cheap HT"].concat();
        let request = parse(&more).unwrap().unwrap();
        assert_eq!(request.target, Target::Route(Route::FanOut));
        assert_eq!(&more[request.authorization], b"Bearer u1:s");
        assert_eq!(&more[request.body.clone()], b"{\"item\":1}");
        assert_eq!((request.body.end, request.closes), (WHOLE.len(), false));
    }

    #[test]
    fn malformed_and_too_long_requests_are_refused() {
        let long = [b"POST /".to_vec(), vec![b'a'; MOST_HEAD_BYTES]].concat();
        let malformed: [&[u8]; 6] = [
            b"\x00\x01\x02",
            b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            &long,
        ];
        for bytes in malformed {
            assert_eq!(
                parse(bytes),
                Err(Malformed),
                "{:?}",
                &bytes[..40.min(bytes.len())]
            );
        }
    }

    #[test]
    fn response_says_how_long_it_is_and_whether_the_connection_ends() {
        let mut out = Vec::new();
        respond(&mut out, 503, b"{}", true);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{text}"
        );
        assert!(
            text.contains("Content-Length: 2\r\nConnection: close\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\n{}"), "{text}");
    }
}
