use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fatal::fatal;

#[derive(Clone, Copy, Debug)]
pub(crate) enum ThreadKind {
    Machine,
    Helper,
}

/// The threads of a runtime that have not ended, at most `limit`.
#[derive(Debug)]
pub(crate) struct Threads {
    counts: Mutex<Counts>,
    ended: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
struct Counts {
    machines: usize,
    helpers: usize,
}

impl Counts {
    fn of(&mut self, kind: ThreadKind) -> &mut usize {
        match kind {
            ThreadKind::Machine => &mut self.machines,
            ThreadKind::Helper => &mut self.helpers,
        }
    }
}

impl Threads {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            counts: Mutex::default(),
            ended: Condvar::new(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn machines_count(&self) -> usize {
        self.lock().machines
    }

    pub(crate) fn count(&self) -> usize {
        let counts = self.lock();
        counts.machines + counts.helpers
    }

    /// How many goroutines may run without a P at once, each with a thread. The other threads are
    /// for [`blocking`](crate::blocking) calls.
    pub(crate) fn max_hogs(&self) -> usize {
        (self.limit / 2).max(1)
    }

    pub(crate) fn begin(&self, kind: ThreadKind) -> usize {
        let mut counts = self.lock();
        *counts.of(kind) += 1;
        let count = counts.machines + counts.helpers;
        drop(counts);
        if count > self.limit {
            fatal!(
                "the program needs more than {} threads: so many goroutines are in blocking calls at once; \
                 raise Builder::max_threads, or bound the calls with a Semaphore",
                self.limit
            );
        }
        count
    }

    pub(crate) fn end(&self, kind: ThreadKind) {
        // Notified under the lock, so that no waiter misses it.
        let mut counts = self.lock();
        *counts.of(kind) -= 1;
        self.ended.notify_all();
    }

    /// Waits until a thread ends, for `limit` at most. Blocks the thread.
    pub(crate) fn wait_for_end(&self, limit: Duration) {
        drop(self.ended.wait_timeout(self.lock(), limit));
    }
}
