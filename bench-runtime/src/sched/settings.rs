//! The settings of a runtime, as its builder collects them.

use std::time::Duration;

use crate::recorder::Level;
use crate::stack::StackPolicy;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchedulerKind {
    /// [`super::pinned`].
    Pinned,
    /// [`super::migrating`].
    Migrating,
}

/// See the setters of [`Builder`](crate::Builder).
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) procs: Option<usize>,
    pub(crate) stack: StackPolicy,
    pub(crate) shrink_options: ShrinkOptions,
    /// Only [`super::scheduler`] and a warning (`crate::runtime::blocked`) decide by it.
    pub(crate) kind: SchedulerKind,
    pub(crate) reads_files: bool,
    pub(crate) max_threads: usize,
    pub(crate) detects_deadlock: bool,
    pub(crate) warns_of_blocked: bool,
    pub(crate) dumps_on_quit: bool,
    pub(crate) fake_time: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) trace: Option<Level>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            procs: None,
            stack: StackPolicy::default(),
            shrink_options: ShrinkOptions::default(),
            kind: SchedulerKind::Pinned,
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
    pub(crate) fn trace_level(&self) -> Level {
        self.trace
            .or_else(Level::of_environment)
            .unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ShrinkOptions {
    pub(crate) compact: bool,
    /// How long a goroutine must have been parked.
    pub(crate) after: Duration,
}

impl Default for ShrinkOptions {
    fn default() -> Self {
        Self {
            compact: false,
            // About as long as Go's scavenger takes to return a page, its pauses included.
            after: Duration::from_secs(1),
        }
    }
}
