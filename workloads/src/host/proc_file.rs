//! Files of `/proc` with lines such as `MemAvailable:  123 kB`.

use std::{fs, io};

#[derive(Debug)]
pub(crate) struct ProcFile(String);

impl ProcFile {
    pub(crate) fn read(path: &str) -> io::Result<Self> {
        fs::read_to_string(path).map(Self)
    }

    /// The line's number in bytes; 0 if the kernel has no such line.
    pub(crate) fn bytes(&self, name: &str) -> i64 {
        self.number(name) * 1024
    }

    /// The line's number; 0 if there is no such line.
    pub(crate) fn number(&self, name: &str) -> i64 {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let word = line.and_then(|rest| rest.split_whitespace().next());
        word.and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}
