//! The runtime as its users hold it.

use std::sync::atomic::Ordering;

use super::builder::Builder;
use super::dump::GoroutineInfo;
use super::runtime::Shared;
use super::spawn::{self, JoinError, JoinHandle};

/// A runtime. Dropping it is [`Runtime::shutdown`].
#[derive(Debug)]
pub struct Runtime {
    pub(super) shared: &'static Shared,
}

/// What was left when a runtime was shut down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Goroutines that had not ended. Their stacks stay as they are for ever;
    /// nothing of them runs again, and no destructor of theirs.
    pub unfinished_count: usize,
    /// What the first 1,000 of them were doing: the leak report.
    pub unfinished: Vec<GoroutineInfo>,
    /// Threads still in a goroutine's code when the time was up.
    pub threads_count: usize,
}

/// A reading of a runtime's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// GOMAXPROCS.
    pub procs_count: usize,
    /// OS threads that run or may run goroutines.
    pub threads_count: usize,
    /// Goroutines that have not ended.
    pub goroutines_count: usize,
    /// Wake-ups of a thread to look for work.
    pub wakes_count: u64,
    /// Ps taken from goroutines that ran or blocked too long.
    pub retakes_count: u64,
    /// Goroutines that waited too long for the one who readied them.
    pub rescues_count: u64,
    /// Goroutines taken from another P's queue.
    pub steals_count: u64,
}

impl Runtime {
    /// Settings to change before [`Builder::build`].
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs `f` as a goroutine and returns what it returns. Blocks the thread;
    /// goroutines spawned meanwhile may still run afterwards, until the
    /// runtime is dropped.
    ///
    /// # Panics
    ///
    /// With the panic of `f`. If called from a goroutine of the same runtime
    /// with one P it blocks that P: spawn instead.
    #[track_caller]
    pub fn run<T, F>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        /// Counts the thread that waits as an outside one again, from the
        /// goroutine's end on: it may be woken, and act, before it runs.
        struct Waited(&'static Shared);
        impl Drop for Waited {
            fn drop(&mut self) {
                self.0.runners_count.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let waited = Waited(self.shared);
        let handle = self.spawn(move || {
            let _waited = waited;
            f()
        });
        // Only now: before the goroutine is in a queue this thread is one that
        // can still make work.
        self.shared.runners_count.fetch_add(1, Ordering::SeqCst);
        // The goroutines may all be asleep already: whoever fell asleep last
        // took this thread for an outside one.
        self.shared.check_deadlock();
        if !handle.wait() {
            let all: Vec<String> = self.goroutines().iter().map(ToString::to_string).collect();
            panic!("all goroutines are asleep - deadlock!\n{}", all.join("\n"));
        }
        match handle.join() {
            Ok(value) => value,
            Err(JoinError::Panicked(payload)) => std::panic::resume_unwind(payload.into_inner()),
            Err(error) => panic!("the main goroutine did not return: {error}"),
        }
    }

    /// Starts a goroutine from any thread.
    #[track_caller]
    pub fn spawn<T, F>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn::from_outside(self.shared, f)
    }

    /// Changes GOMAXPROCS while goroutines run, without stopping them, and
    /// returns the old value. From then on it no longer follows the host.
    ///
    /// # Panics
    ///
    /// If `procs` is not 1 to 4,096.
    pub fn set_procs(&self, procs: usize) -> usize {
        self.shared.set_procs_by_hand(procs)
    }

    /// The counters now; each is exact, all of them together need not be.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.shared.read_metrics()
    }

    /// The goroutines that have not ended, and what each is doing. Takes no
    /// scheduler lock: what it tells may be changing.
    #[must_use]
    pub fn goroutines(&self) -> Vec<GoroutineInfo> {
        self.shared.goroutines()
    }

    /// Stops the runtime. No goroutine starts or goes on after this; those in
    /// mid-computation have 200 ms to reach a call into the runtime, after
    /// which their threads are left behind. Closures that never started are
    /// dropped. Blocks the thread.
    pub fn shutdown(self) -> Shutdown {
        let left = self.shared.stop();
        std::mem::forget(self);
        left
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Runtime {
    /// The scheduler's state as text, for whoever debugs the scheduler.
    #[doc(hidden)]
    #[must_use]
    pub fn debug_state(&self) -> String {
        self.shared.debug_state()
    }
}
