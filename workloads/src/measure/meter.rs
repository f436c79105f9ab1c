//! The stopwatch of a sample.

use std::time::{Duration, Instant};

use crate::host::usage::Usage;

/// Wall time and usage of the timed sections of one sample.
///
/// If the tasks are processes, the usage is that from [`Meter::begin`] to [`Meter::finish`],
/// because the kernel adds a child's usage only when it is waited for.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Option<Usage>,
    elapsed: Duration,
    usage: Usage,
}

/// The results of a [`Meter`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) usage: Usage,
}

impl Meter {
    /// To be called before any task is started. `processes`: whether the tasks are processes.
    pub(crate) fn begin(processes: bool) -> Self {
        Self {
            begun: processes.then(Usage::now),
            elapsed: Duration::ZERO,
            usage: Usage::default(),
        }
    }

    /// Runs a timed section.
    pub(crate) fn time<T>(&mut self, section: impl FnOnce() -> T) -> T {
        let watch = self.start();
        let result = section();
        self.stop(watch);
        result
    }

    /// Begins a timed section, for a section that a closure cannot hold.
    pub(crate) fn start(&self) -> Watch {
        let usage = Usage::now();
        Watch {
            usage,
            start: Instant::now(),
        }
    }

    /// Ends a timed section.
    pub(crate) fn stop(&mut self, watch: Watch) {
        self.elapsed += watch.start.elapsed();
        self.usage = self.usage.plus(Usage::now().minus(watch.usage));
    }

    /// To be called when all tasks have been joined.
    pub(crate) fn finish(self) -> Measured {
        let usage = self
            .begun
            .map_or(self.usage, |begun| Usage::now().minus(begun));
        Measured {
            elapsed: self.elapsed,
            usage,
        }
    }
}

/// A timed section in progress.
#[derive(Debug)]
pub(crate) struct Watch {
    usage: Usage,
    start: Instant,
}
