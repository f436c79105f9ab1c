use std::fmt::Write;

use super::info::GoroutineInfo;
use super::profile;
use crate::goroutine::Goroutine;
use crate::threads::HELPER_STACK;

pub(crate) fn write_all(heading: &str, goroutines: &[GoroutineInfo]) {
    let mut out = crate::fatal::StderrBuffer::new();
    let _ = out.write_str(heading);
    for info in goroutines {
        let _ = writeln!(out, "{info}");
    }
    out.flush();
}

pub(crate) fn write_stacks(records: Vec<&'static Goroutine>) {
    let mut out = crate::fatal::StderrBuffer::new();
    let _ = write!(out, "\n{}", profile::of(records));
    out.flush();
}

/// As [`write_stacks`], on a thread of its own, for callers whose stack is small.
pub(crate) fn write_stacks_apart(records: Vec<&'static Goroutine>) {
    let thread = std::thread::Builder::new()
        .stack_size(HELPER_STACK)
        .spawn(move || write_stacks(records));
    if let Ok(thread) = thread {
        let _ = thread.join();
    }
}
