//! The lanes. Each is one file and one line here; none knows another.

mod process;
mod thread;

use crate::lane::Entry;

/// All lanes of this program, in the order of the report.
pub const ALL: &[Entry] = &[thread::DEFAULT, thread::SMALL_STACK, process::FORK];

/// The lane of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}
