//! A ring of events: one thread at a time writes, and any thread reads without stopping the writer.
//! In this file a *record* is an event in two words.
//!
//! # The protocol
//!
//! | the writer, record `n`                    | a reader                              |
//! |-------------------------------------------|---------------------------------------|
//! | W1 read `written`: `n`                    | R1 read `written`: `end`              |
//! | W2 store both words of place `n % len`    | R2 copy the records before `end`      |
//! | W3 `written = n + 1`                      | R3 read `written` again: `now`        |
//! |                                           | R4 drop those before `now + 1 - len`  |
//!
//! R1 pairs with W3, so all records before `end` are written. R2 pairs with W2: a reader that
//! copied a word of record `n` in place of record `n - len` reads in R3 that `written` is at least
//! `n`, and R4 drops record `n - len`. So the remaining records are whole.
//!
//! The loom model `tests/loom/trace_ring.rs` runs this source.

use crate::shim::Ordering;
use crate::shim::fixed::AtomicU64;

#[derive(Debug)]
pub(crate) struct Ring {
    words: Box<[AtomicU64]>,
    written: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Records {
    /// Records that were overwritten, or were about to be.
    pub(crate) lost_count: u64,
    pub(crate) records: Vec<[u64; 2]>,
}

impl Ring {
    /// Two words a record.
    pub(crate) fn new(words: Box<[AtomicU64]>) -> Self {
        Self {
            words,
            written: AtomicU64::new(0),
        }
    }

    fn place(&self, n: u64) -> [&AtomicU64; 2] {
        let at = (n % self.len()) as usize * 2;
        [&self.words[at], &self.words[at + 1]]
    }

    /// The caller must prevent that two threads write at once.
    pub(crate) fn push(&self, record: [u64; 2]) {
        let n = self.written.load(Ordering::Relaxed); // W1
        for (word, value) in self.place(n).into_iter().zip(record) {
            // Release: after the previous W3; pairs with the Acquire in R2.
            word.store(value, Ordering::Release); // W2
        }
        // Release: pairs with the Acquire in R1.
        self.written.store(n + 1, Ordering::Release); // W3
    }

    /// Only for the thread that writes.
    pub(crate) fn last(&self) -> Option<[u64; 2]> {
        let n = self.written.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.place(n).map(|word| word.load(Ordering::Relaxed)))
    }

    /// R1 and R2: the number of the first copied record, and the copied records.
    pub(crate) fn copy(&self) -> (u64, Vec<[u64; 2]>) {
        // Acquire: pairs with the Release in W3.
        let end = self.written.load(Ordering::Acquire); // R1
        let begin = end.saturating_sub(self.len());
        let records = (begin..end)
            // Acquire: pairs with the Release in W2; before R3.
            .map(|n| self.place(n).map(|word| word.load(Ordering::Acquire))) // R2
            .collect();
        (begin, records)
    }

    pub(crate) fn read(&self) -> Records {
        let (begin, mut records) = self.copy();
        let now = self.written.load(Ordering::Relaxed); // R3
        let whole = (now + 1).saturating_sub(self.len()).max(begin);
        let torn = records.len().min((whole - begin) as usize);
        records.drain(..torn); // R4
        Records {
            lost_count: begin + torn as u64,
            records,
        }
    }

    fn len(&self) -> u64 {
        self.words.len() as u64 / 2
    }
}
