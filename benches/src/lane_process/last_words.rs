//! The last lines that a lane wrote to its standard error.

use std::collections::VecDeque;

/// Enough for a panic's message and the top of its backtrace.
const LINES: usize = 12;
const LINE_BYTES: usize = 400;

#[derive(Debug, Default)]
pub(super) struct LastWords {
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl LastWords {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.open.len() < LINE_BYTES => self.open.push(byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        let line: String = String::from_utf8_lossy(&self.open)
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        self.open.clear();
        if line.trim().is_empty() {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn text(&mut self) -> String {
        self.end_line();
        self.lines.make_contiguous().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut words = LastWords::default();
        for n in 0..1000 {
            words.push(format!("line {n}\n\n").as_bytes());
        }
        words.push(&[b'x'; 10_000]);
        let text = words.text();
        assert_eq!(text.lines().count(), LINES);
        assert!(text.starts_with("line 989\n"), "{text}");
        assert_eq!(text.lines().last().unwrap().len(), LINE_BYTES);
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let mut words = LastWords::default();
        words.push(b"\x1b[31mred\xff\n");
        assert_eq!(words.text(), "[31mred\u{fffd}");
    }
}
