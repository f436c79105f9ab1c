//! The settings of a runtime, as its builder collects them.

use std::time::Duration;

use crate::recorder::Level;
use crate::stack::StackPolicy;

/// See the setters of [`Builder`](crate::Builder).
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(super) procs: Option<usize>,
    pub(super) stack: StackPolicy,
    pub(super) shrink_options: ShrinkOptions,
    pub(super) migrating: bool,
    pub(super) reads_files: bool,
    pub(super) max_threads: usize,
    pub(super) detects_deadlock: bool,
    pub(super) warns_of_blocked: bool,
    pub(super) dumps_on_quit: bool,
    pub(super) fake_time: bool,
    pub(super) seed: Option<u64>,
    pub(super) trace: Option<Level>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            procs: None,
            stack: StackPolicy::default(),
            shrink_options: ShrinkOptions::default(),
            migrating: false,
            reads_files: true,
            // Go's figure.
            max_threads: 10_000,
            detects_deadlock: true,
            warns_of_blocked: true,
            dumps_on_quit: false,
            fake_time: false,
            seed: None,
            trace: None,
        }
    }
}

impl Settings {
    pub(super) fn trace_level(&self) -> Level {
        self.trace
            .or_else(Level::of_environment)
            .unwrap_or_default()
    }
}

/// What a runtime wants done with stacks of goroutines that have been parked
/// for long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShrinkOptions {
    /// Compact and not only trim.
    pub(crate) compact: bool,
    /// Parked for this long.
    pub(crate) after: Duration,
}

impl Default for ShrinkOptions {
    fn default() -> Self {
        Self {
            compact: false,
            // What Go's scavenger, with its pauses, comes to.
            after: Duration::from_secs(1),
        }
    }
}
