//! The runtime as its users hold it.

use std::fmt;
use std::sync::atomic::Ordering;

use super::builder::Builder;
use super::current;
use super::dump::GoroutineInfo;
use super::handle::Handle;
use super::join::{JoinError, JoinHandle};
use super::metrics::Metrics;
use super::profile::GoroutineProfile;
use super::runtime::Shared;
use super::shutdown::LEAKS_SHOWN;
use super::spawn;
use super::trace::{Level, Trace};

/// A runtime. Dropping it is [`Runtime::shutdown`].
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, go};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// let answer = runtime.run(|| {
///     let (tx, rx) = chan(0);
///     go!(tx.send(6 * 7));
///     rx.recv()
/// });
/// assert_eq!(answer, Some(42));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    pub(super) shared: &'static Shared,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("procs", &self.shared.procs())
            .field("pinned", &self.shared.pinned)
            .finish_non_exhaustive()
    }
}

/// What was left when a runtime was shut down.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, Receiver, go, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// runtime.run(|| {
///     go!(Receiver::<()>::never().recv());
///     yield_now();
/// });
/// let left = runtime.shutdown();
/// assert_eq!(left.unfinished_count, 1);
/// for goroutine in &left.unfinished {
///     println!("{goroutine}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Goroutines that had not ended. Their stacks stay as they are for ever;
    /// nothing of them runs again, and no destructor of theirs.
    pub unfinished_count: usize,
    /// What the first 1,000 of them were doing: the leak report.
    pub unfinished: Vec<GoroutineInfo>,
    /// Their stacks, equal ones once. To read their names takes some hundred
    /// milliseconds once a process, and only [`Runtime::shutdown`] does it.
    pub stacks: GoroutineProfile,
    /// Threads still in a goroutine's code when the time was up.
    pub threads_count: usize,
}

impl Runtime {
    /// Settings to change before [`Builder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().procs(4).max_threads(64).build() }?;
    /// assert_eq!(runtime.metrics().procs_count, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs `f` as a goroutine and returns what it returns. Blocks the thread, or the
    /// goroutine that calls; goroutines spawned meanwhile may still run afterwards, until the
    /// runtime is dropped. `f` and its result may borrow from the caller; goroutines
    /// that `f` starts may do so in a [`scope`](crate::scope()).
    ///
    /// # Panics
    ///
    /// With the panic of `f`; and in the child of a fork. With [fake time](Builder::fake_time),
    /// also when all goroutines wait for each other: then the runtime is shut down first.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, go};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let sum = runtime.run(|| {
    ///     let parts: Vec<_> = (0..4u32).map(|n| go(move || n * n)).collect();
    ///     parts.into_iter().map(|part| part.join().unwrap()).sum::<u32>()
    /// });
    /// assert_eq!(sum, 14);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// With what the caller owns:
    ///
    /// ```
    /// use bench_runtime::{Runtime, scope};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let text = String::from("one two three");
    /// let mut lengths = Vec::new();
    /// let longest = runtime.run(|| {
    ///     let words: Vec<&str> = text.split(' ').collect();
    ///     scope(|s| {
    ///         let counts: Vec<_> = words.iter().map(|word| s.go(|| word.len())).collect();
    ///         lengths.extend(counts.into_iter().map(|count| count.join().unwrap()));
    ///     });
    ///     words.into_iter().max_by_key(|word| word.len())
    /// });
    /// assert_eq!((longest, lengths), (Some("three"), vec![3, 3, 5]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn run<T, F>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        /// Counts the thread that waits as an outside one again, from the
        /// goroutine's end on: it may be woken, and act, before it runs.
        struct Waited(&'static Shared);
        impl Drop for Waited {
            fn drop(&mut self) {
                self.0.runners_count.fetch_sub(1, Ordering::SeqCst);
            }
        }
        // A goroutine that waits is no thread that does.
        let waits_as_thread = current::header().is_none();
        let waited = waits_as_thread.then(|| Waited(self.shared));
        let main = move || {
            let _waited = waited;
            f()
        };
        // SAFETY: this neither returns nor unwinds before the goroutine has ended and its
        // result is taken, or before the runtime has come to rest. If this is a goroutine
        // that is never resumed, its stack stays for ever.
        let handle = unsafe { spawn::borrowing(self.shared, main) };
        if waits_as_thread {
            // Only now: before the goroutine is in a queue this thread is one that
            // can still make work.
            self.shared.runners_count.fetch_add(1, Ordering::SeqCst);
            // The goroutines may all be asleep already: the M that fell asleep last
            // took this thread for an outside one.
            self.shared.check_deadlock();
        }
        if !handle.wait() {
            let all: Vec<String> = self.goroutines().iter().map(ToString::to_string).collect();
            self.shared.come_to_rest();
            panic!("all goroutines are asleep - deadlock!\n{}", all.join("\n"));
        }
        match handle.join() {
            Ok(value) => value,
            Err(JoinError::Panicked(payload)) => std::panic::resume_unwind(payload.into_inner()),
            Err(error) => {
                if matches!(error, JoinError::Unfinished) {
                    self.shared.come_to_rest();
                }
                panic!("the main goroutine did not return: {error}")
            }
        }
    }

    /// Starts a goroutine from any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, chan};
    ///
    /// // A program of plain threads that has some goroutines.
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let (jobs, queue) = chan::<u32>(8);
    /// let worker = runtime.spawn(move || queue.iter().sum::<u32>());
    /// for n in 1..=4 {
    ///     jobs.send(n).unwrap();
    /// }
    /// drop(jobs);
    /// assert_eq!(worker.join().unwrap(), 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<T, F>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn::from_outside(self.shared, f)
    }

    /// What starts goroutines here, for others to keep: see [`Handle`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let handle = runtime.handle();
    /// let thread = std::thread::spawn(move || handle.spawn(|| 1 + 1).join().unwrap());
    /// assert_eq!(thread.join().unwrap(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::of(self.shared)
    }

    /// Changes GOMAXPROCS while goroutines run, without stopping them, and
    /// returns the old value. From then on it no longer follows the host.
    ///
    /// # Panics
    ///
    /// If `procs` is not 1 to 4,096.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().procs(1).build() }?;
    /// assert_eq!(runtime.set_procs(3), 1);
    /// assert_eq!(runtime.metrics().procs_count, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_procs(&self, procs: usize) -> usize {
        self.shared.set_procs_by_hand(procs)
    }

    /// The counters now; each is exact, all of them together need not be.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        super::give_way();
        self.shared.read_metrics()
    }

    /// The goroutines that have not ended, and what each is doing. Takes no
    /// scheduler lock: what it tells may be changing.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, chan};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let (tx, rx) = chan::<()>(0);
    /// let waiting = runtime.spawn(move || rx.recv());
    /// // It may not have reached its receive yet: look until it has.
    /// while !runtime.goroutines().iter().any(|g| g.state == "chan receive") {
    ///     std::thread::yield_now();
    /// }
    /// drop(tx);
    /// assert_eq!(waiting.join().unwrap(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn goroutines(&self) -> Vec<GoroutineInfo> {
        super::give_way();
        self.shared.goroutines()
    }

    /// What every goroutine is doing, with its stack: see
    /// [`goroutine_profile`](crate::goroutine_profile).
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// assert!(runtime.goroutine_profile().groups.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn goroutine_profile(&self) -> GoroutineProfile {
        self.shared.whole_profile()
    }

    /// What the flight recorder holds: the last events of each P. Stops no thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// runtime.run(|| ());
    /// let mut json = Vec::new();
    /// runtime.trace().write_chrome(&mut json)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.shared.trace()
    }

    /// Changes how much the flight recorder records, for each P from its next
    /// switch on.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, go, trace::Level};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// runtime.set_trace(Level::Switches);
    /// runtime.run(|| go(|| ()).join().unwrap());
    /// runtime.set_trace(Level::Coarse);
    /// println!("{} events", runtime.trace().events_count());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_trace(&self, level: Level) {
        self.shared.set_trace(level);
    }

    /// Stops the runtime. No goroutine starts or goes on after this; those in
    /// mid-computation have 200 ms to reach a call into the runtime, after
    /// which their threads are left behind. Closures that never started are
    /// dropped. Blocks the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// runtime.run(|| println!("work"));
    /// assert_eq!(runtime.shutdown().unfinished_count, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(self) -> Shutdown {
        // The drop that follows only lets go of what all share.
        let mut left = self.shared.stop();
        if left.unfinished_count > 0 {
            left.stacks = self.shared.goroutine_profile(LEAKS_SHOWN);
        }
        left
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.stop();
        Shared::release(self.shared);
    }
}

impl Runtime {
    /// The scheduler's state as text, for debugging the scheduler.
    #[doc(hidden)]
    #[must_use]
    pub fn debug_state(&self) -> String {
        self.shared.debug_state()
    }
}
