//! The program's messages on stderr and stdout, with control characters shown: text of result files
//! and lanes must not control the terminal. `eprintln!` would panic if stderr is closed or full,
//! and a run must continue.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, StdoutLock, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// Prints a line on stderr. An error is ignored.
pub(crate) fn say(text: impl Display) {
    let line = format!("{}\n", visible(&text.to_string()));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Stdout for the output of a command. Its errors are [`ToStdout`].
pub(crate) fn stdout() -> VisibleWriter<StdoutLock<'static>> {
    VisibleWriter(io::stdout().lock())
}

/// Prints `text` after `timeout`, unless the returned value is dropped first.
#[must_use]
pub(crate) fn say_after(timeout: Duration, text: String) -> Sender<()> {
    let (done, waited) = mpsc::channel();
    // If no thread can be started, the message is lost.
    let _ = std::thread::Builder::new().spawn(move || {
        if waited.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
            say(text);
        }
    });
    done
}

/// Writes each control character as JSON does, such as `\u001b`, except line ends and tabs. Marks
/// that change the direction of writing are control characters too.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for one in text.chars() {
        if needs_escape(one) {
            shown.push_str(&format!("\\u{:04x}", u32::from(one)));
        } else {
            shown.push(one);
        }
    }
    Cow::Owned(shown)
}

fn needs_escape(one: char) -> bool {
    let is_direction = matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_direction || (one.is_control() && !matches!(one, '\n' | '\t'))
}

#[derive(Debug)]
pub(crate) struct VisibleWriter<W>(W);

impl<W: Write> Write for VisibleWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let written = self.0.write_all(visible(&text).as_bytes());
        written.map_err(to_stdout)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(to_stdout)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("writing to stdout: {0}")]
pub(crate) struct ToStdout(io::Error);

fn to_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), ToStdout(error))
}

impl ToStdout {
    /// Whether the reader has closed the pipe, as `head` does.
    pub(crate) fn is_reader_gone(error: &anyhow::Error) -> bool {
        let of_stdout = |cause: &io::Error| cause.get_ref().is_some_and(|inner| inner.is::<Self>());
        error.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|cause| of_stdout(cause) && cause.kind() == io::ErrorKind::BrokenPipe)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_text_stays_as_it_is() {
        assert_eq!(visible("1.2 µs\tfoo\n"), "1.2 µs\tfoo\n");
        assert_eq!(
            visible("\u{1b}]0;pwned\u{7} \u{9b}31m \u{7f} \r \u{202e}"),
            "\\u001b]0;pwned\\u0007 \\u009b31m \\u007f \\u000d \\u202e"
        );
    }

    #[test]
    fn json_with_shown_characters_holds_the_same_text() {
        let text = "a\u{9b}b\u{1b}c";
        let json = serde_json::to_string(text).unwrap();
        let mut written = Vec::new();
        write!(VisibleWriter(&mut written), "{json}").unwrap();
        assert!(!written.contains(&0x9b) && !written.contains(&0x1b));
        assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
    }

    #[test]
    fn reader_that_left_differs_from_a_full_device() {
        let failing = |kind: io::ErrorKind| anyhow::Error::from(to_stdout(kind.into()));
        assert!(ToStdout::is_reader_gone(&failing(
            io::ErrorKind::BrokenPipe
        )));
        assert!(!ToStdout::is_reader_gone(&failing(
            io::ErrorKind::StorageFull
        )));
        let other = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(!ToStdout::is_reader_gone(&other.context("writing a pipe")));
    }
}
