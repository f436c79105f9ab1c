//! The stopwatch of a sample.

use std::time::{Duration, Instant};

use crate::host::usage::Usage;

/// Wall time and usage of the timed sections of one sample.
///
/// If tasks are processes, the usage is that from [`Meter::begin`] to [`Meter::finish`], because
/// the kernel adds a child's usage when it is waited for.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Option<Usage>,
    elapsed: Duration,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) usage: Usage,
}

impl Meter {
    /// Call it before any task is started. `processes`: tasks are processes.
    pub(crate) fn begin(processes: bool) -> Self {
        Self {
            begun: processes.then(Usage::now),
            elapsed: Duration::ZERO,
            usage: Usage::default(),
        }
    }

    pub(crate) fn time<T>(&mut self, section: impl FnOnce() -> T) -> T {
        let watch = self.start();
        let result = section();
        self.stop(watch);
        result
    }

    /// For a section that a closure cannot hold.
    pub(crate) fn start(&self) -> Watch {
        let usage = Usage::now();
        Watch {
            usage,
            start: Instant::now(),
        }
    }

    pub(crate) fn stop(&mut self, watch: Watch) {
        self.elapsed += watch.start.elapsed();
        self.usage = self.usage.plus(Usage::now().minus(watch.usage));
    }

    /// Call it when all tasks are joined.
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

#[derive(Debug)]
pub(crate) struct Watch {
    usage: Usage,
    start: Instant,
}
