//! The type [`Runtime`] and the settings of its [`Builder`].

pub(crate) mod blocked;
pub(crate) mod blocking;
pub(crate) mod deadlock;
pub(crate) mod fake_time;
pub(crate) mod handle;
pub(crate) mod join;
pub(crate) mod labels;
pub(crate) mod lock_thread;
pub(crate) mod metrics;
pub(crate) mod quit;
pub(crate) mod reports;
mod run;
pub(crate) mod schedinit;
pub(crate) mod schedtrace;
pub(crate) mod shutdown;
pub(crate) mod spawn;
pub(crate) mod sweep;
pub(crate) mod trace;

use std::fmt;
use std::io;
use std::time::Duration;

use self::handle::Handle;
use self::join::JoinHandle;
use self::metrics::Metrics;
use self::run::{panic_as_main, run_main};
use self::shutdown::{LEAKS_SHOWN, Shutdown};
use crate::debug::info::{GoroutineInfo, infos_in};
use crate::debug::profile::{self, GoroutineProfile};
use crate::recorder::Level;
use crate::recorder::chrome::Trace;
use crate::sched::settings::{SchedulerKind, Settings, ShrinkOptions};
use crate::sched::shared::Shared;
use crate::sched::{give_way, hand_off};
use crate::stack::StackPolicy;

/// A runtime. Dropping it stops it, as [`Runtime::shutdown`] does.
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
    shared: &'static Shared,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("procs", &self.shared.procs())
            .field("scheduler", &self.shared.settings.kind)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// The default settings, to be changed before [`Builder::build`].
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

    /// Runs `f` as a goroutine and returns its result. Blocks the calling thread or goroutine
    /// until `f` has ended. Other goroutines may still run afterwards. If `f` borrows, use
    /// [`Self::run_scoped`].
    ///
    /// # Panics
    ///
    /// With the panic of `f`; if `f` calls [`goexit`](crate::goexit); in the child of a fork; and
    /// if the runtime is shut down meanwhile. With [fake time](Builder::fake_time), also if all
    /// goroutines wait for each other.
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
    #[track_caller]
    pub fn run<T, F>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: `f` borrows nothing.
        match unsafe { run_main(self.shared, f) } {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => panic_as_main(error),
            Err(lost) => panic!("{lost}"),
        }
    }

    /// As [`Self::run`], but `f` and its result may borrow from the caller. Goroutines that `f`
    /// starts may borrow in a [`scope`](crate::scope()).
    ///
    /// Where [`Self::run`] panics because of a shutdown or of fake time, `run_scoped` ends the
    /// process, because the goroutine may still use the borrowed values.
    ///
    /// # Panics
    ///
    /// With the panic of `f`; if `f` calls [`goexit`](crate::goexit); and in the child of a fork.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, scope};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let text = String::from("one two three");
    /// let mut lengths = Vec::new();
    /// let longest = runtime.run_scoped(|| {
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
    pub fn run_scoped<T, F>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        // SAFETY: this returns or unwinds only if the goroutine has ended. If the caller is a
        // goroutine that is never resumed, its stack is never freed.
        match unsafe { run_main(self.shared, f) } {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => panic_as_main(error),
            Err(lost) => {
                crate::fatal::fatal!("run_scoped has lost the goroutine that borrows: {lost}")
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
        spawn::from_any_thread(self.shared, f)
    }

    /// A handle by which other threads start goroutines of this runtime.
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

    /// Changes GOMAXPROCS without stopping goroutines, and returns the old value. GOMAXPROCS then
    /// no longer follows the host's CPUs. With [fake time](Builder::fake_time) or a
    /// [seed](Builder::seed) it stays 1.
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
        hand_off::set_procs_by_hand(self.shared, procs)
    }

    /// The counters. Each is exact, but they may be read at slightly different times. The number of
    /// goroutines counts one that starts and ends meanwhile.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        give_way();
        metrics::read(self.shared)
    }

    /// The goroutines that have not ended, and the state of each. Takes no scheduler lock: states
    /// may change meanwhile, and a goroutine that starts meanwhile may be missing.
    /// [`Metrics::goroutines_count`] misses none.
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
        give_way();
        infos_in(self.shared.slab())
    }

    /// The state of every goroutine, with its stack: see
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
        reports::whole_profile(self.shared)
    }

    /// The content of the flight recorder: the last events of each P. Stops no thread.
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
        trace::read(self.shared)
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
        trace::set(self.shared, level);
    }

    /// Stops the runtime and blocks the thread until it has stopped. Afterwards no goroutine
    /// starts, and none that waits continues. A goroutine that computes stops at its next call
    /// into the runtime; if that does not come within 200 ms, its thread is left running.
    /// Closures of goroutines that never started are dropped.
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
        // The later drop of `self` only releases `shared`.
        let mut left = shutdown::stop(self.shared);
        if left.unfinished_count > 0 {
            let mut records = self.shared.slab().in_use();
            records.truncate(LEAKS_SHOWN);
            left.stacks = profile::of(records);
        }
        left
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        shutdown::stop(self.shared);
        Shared::release(self.shared);
    }
}

impl Runtime {
    /// The scheduler's state as text, for debugging the scheduler.
    #[doc(hidden)]
    #[must_use]
    pub fn debug_state(&self) -> String {
        schedtrace::debug_state(self.shared)
    }
}

/// Settings of a runtime.
///
/// # Examples
///
/// ```
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { bench_runtime::Runtime::builder().procs(2).build() }?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    settings: Settings,
}

impl Builder {
    /// GOMAXPROCS: how many goroutines run at once, 1 to 4,096. The default is the environment
    /// variable `GOMAXPROCS`. Without it, the default is the number of CPUs in the affinity mask
    /// or the control group's quota, rounded up, whichever is less, and follows changes of both.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, gomaxprocs};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().procs(3).build() }?;
    /// assert_eq!(runtime.run(|| gomaxprocs(None)), 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn procs(mut self, procs: usize) -> Self {
        self.settings.procs = Some(procs);
        self
    }

    /// How stacks of goroutines grow, unless a goroutine has a policy of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, StackPolicy};
    ///
    /// fn depth(n: u64) -> u64 {
    ///     if n == 0 { 0 } else { 1 + std::hint::black_box(depth(n - 1)) }
    /// }
    ///
    /// let deep = StackPolicy::Growable { initial: 4 << 10, limit: 64 << 20 };
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().stack(deep).build() }?;
    /// assert_eq!(runtime.run(|| depth(100_000)), 100_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stack(mut self, policy: StackPolicy) -> Self {
        self.settings.stack = policy;
        self
    }

    /// Compacts stacks: moves the live bytes of goroutines that have been parked for `after` to
    /// small cells, and gives their pages back. The bytes return before the goroutine runs, or
    /// when another thread accesses them.
    ///
    /// A *system call* of another thread on memory of such a stack fails with `EFAULT`, for
    /// example a read into a buffer in a parked goroutine's frame. A thread that has blocked
    /// SIGSEGV is killed if it accesses such a stack. [`Builder::build`] fails if the kernel has
    /// no userfaultfd or no guard markers.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    /// use std::time::Duration;
    ///
    /// let pause = Duration::from_millis(100);
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = match unsafe { Runtime::builder().compact_stacks(pause).build() } {
    ///     Ok(runtime) => runtime,
    ///     // An older kernel: without it.
    ///     // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    ///     Err(_) => unsafe { Runtime::builder().build() }?,
    /// };
    /// assert_eq!(runtime.run(|| 1 + 1), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn compact_stacks(mut self, after: Duration) -> Self {
        self.settings.shrink_options = ShrinkOptions {
            compact: true,
            after,
        };
        self
    }

    /// Whether the runtime may read files of `/proc` and `/sys`: the control group's quota, the
    /// CPU topology, and the state of its threads and its memory. With false it opens files only
    /// for reports and, before Linux 6.13, for the limit of mappings.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // In a sandbox without /proc and /sys.
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().reads_files(false).build() }?;
    /// assert!(runtime.metrics().procs_count >= 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn reads_files(mut self, reads: bool) -> Self {
        self.settings.reads_files = reads;
        self
    }

    /// How many OS threads the runtime may have, including threads in blocking calls. A further
    /// thread is a fatal error, as in Go.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().max_threads(16).build() }?;
    /// runtime.run(|| ());
    /// assert!(runtime.metrics().threads_count <= 16);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.settings.max_threads = threads.max(1);
        self
    }

    /// Whether the process ends with a report when every goroutine waits for another. A deadlock
    /// is reported only if all threads outside the runtime wait in [`Runtime::run`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // A library that is loaded into another program.
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().detects_deadlock(false).build() }?;
    /// assert_eq!(runtime.run(|| "fine"), "fine");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn detects_deadlock(mut self, detects: bool) -> Self {
        self.settings.detects_deadlock = detects;
        self
    }

    /// Whether a pinned runtime warns on stderr when a goroutine has blocked its thread, or
    /// computed on it, for most of a second while other goroutines of that thread wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().warns_of_blocked_threads(false).build() }?;
    /// assert_eq!(runtime.run(|| "quiet"), "quiet");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn warns_of_blocked_threads(mut self, warns: bool) -> Self {
        self.settings.warns_of_blocked = warns;
        self
    }

    /// For tests: time stands still while any goroutine can run, and jumps to the next timer when
    /// none can. Time also stands still while a goroutine waits for a file descriptor or in
    /// [`crate::blocking`]. There is always one P.
    ///
    /// If no goroutine can run and no timer is armed, [`Runtime::run`] panics with the list of
    /// goroutines.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, time};
    /// use std::time::{Duration, Instant};
    ///
    /// let begun = Instant::now();
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().fake_time().build() }?;
    /// runtime.run(|| time::sleep(Duration::from_secs(3600)));
    /// assert!(begun.elapsed() < Duration::from_secs(60));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn fake_time(mut self) -> Self {
        self.settings.fake_time = true;
        self
    }

    /// For tests: this number determines the order in which goroutines run. A program that is
    /// otherwise deterministic then runs the same each time. There is always one P, and it is not
    /// retaken.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, chan, go};
    ///
    /// /// The order in which five goroutines run.
    /// fn order(seed: u64) -> std::io::Result<Vec<u32>> {
    ///     // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    ///     let runtime = unsafe { Runtime::builder().seed(seed).build() }?;
    ///     Ok(runtime.run(|| {
    ///         let (tx, rx) = chan(5);
    ///         for n in 0..5 {
    ///             let tx = tx.clone();
    ///             go!(tx.send(n));
    ///         }
    ///         drop(tx);
    ///         rx.iter().collect()
    ///     }))
    /// }
    ///
    /// assert_eq!(order(7)?, order(7)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Whether SIGQUIT writes all goroutines to stderr. From the first such runtime on, the
    /// signal no longer ends the process.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // From here on `kill -QUIT` shows what all goroutines are doing.
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().dumps_on_quit(true).build() }?;
    /// assert_eq!(runtime.run(|| 1), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn dumps_on_quit(mut self, dumps: bool) -> Self {
        self.settings.dumps_on_quit = dumps;
        self
    }

    /// How much the flight recorder records (see [`crate::trace`]). The default is the value of the
    /// environment variable `THREADBARE_TRACE` (`coarse` or `switches`), else [`Level::Coarse`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, go, trace::Level};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().trace(Level::Switches).build() }?;
    /// runtime.run(|| go(|| ()).join().unwrap());
    /// println!("{} events", runtime.trace().events_count());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn trace(mut self, level: Level) -> Self {
        self.settings.trace = Some(level);
        self
    }

    /// Lets goroutines continue on another OS thread after a wait. [Which mode](crate#which-mode)
    /// compares this with the default; [`Builder::build`] has the rules.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, go};
    ///
    /// let builder = Runtime::builder().procs(2).migrating();
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope,
    /// // or holds over a park what belongs to a thread.
    /// let runtime = unsafe { builder.build() }?;
    /// assert_eq!(runtime.run(|| go(|| 1).join().unwrap()), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn migrating(mut self) -> Self {
        self.settings.kind = SchedulerKind::Migrating;
        self
    }

    /// Starts the runtime, with a thread for each P, but at most one for each CPU, and waits until
    /// these threads sleep, for 1 ms at most. Further threads start as they are needed.
    ///
    /// # Safety
    ///
    /// Safe code may rely on a thread doing one thing at a time, but goroutines share the
    /// thread-locals of their threads. The caller promises the following for all code that the
    /// goroutines run, libraries included:
    ///
    /// 1. nothing parks inside the initialiser of a thread-local (of `thread_local!`, of
    ///    the crate thread_local), and the global allocator calls nothing of this crate;
    /// 2. nothing parks inside a scope that sets a thread-local pointer and restores the older
    ///    pointer at its end (`scoped-tls`), because the scopes of two goroutines do not nest;
    /// 3. no goroutine calls `std::process::exit`, which drops thread-locals, while another
    ///    goroutine lends a value of a thread-local of their thread to a third thread.
    ///    `blocking(|| exit(code))` exits on another thread;
    ///
    /// and, of a [migrating](Builder::migrating) runtime, also:
    ///
    /// 4. no reference or pointer derived from a thread-local lives across a park. The compiler
    ///    may keep a thread-local's address, so no function that parks uses the same thread-local
    ///    before and after the park, or in a loop with it. Put each use in a function of its own
    ///    that is `#[inline(never)]`. An inlined function counts as a part of its caller, even if
    ///    it is a library's: `HashMap::new`, and many more with `lto = "fat"`;
    /// 5. nothing that is bound to an OS thread lives across a park: std's
    ///    `MutexGuard`, or any value that is `!Send` for that reason.
    ///
    /// Any call of this crate may *park*: of a channel, a lock, a timer, a join, a socket,
    /// [`blocking`](crate::blocking), `yield_now`. Even a call that returns at once may park, if
    /// its goroutine has used its time slice and other goroutines wait. A
    /// [`GoroutineLocal`](crate::GoroutineLocal) replaces a thread-local without these rules.
    ///
    /// Widely used crates, each tried by a test of this project:
    ///
    /// | crate | pinned | migrating |
    /// |---|---|---|
    /// | log, rusqlite, rustls | fine | fine |
    /// | rand | fine | call `rng()` anew after each park, by rule 4 |
    /// | regex | fine | begin a search as rule 4 says; a park between its matches is fine |
    /// | stacker | fine | call `maybe_grow` as rule 4 says; a park inside is fine |
    /// | tracing | no park inside `in_scope`; an entered guard over a park only mixes up spans | no entered guard over a park |
    /// | std's `HashMap::new`, `println!`, `thread::current` | fine | as rule 4 says: the first always, the others with `lto = "fat"` |
    /// | std's and parking_lot's guards | held over a park, they lock out the other goroutines of the thread, perhaps for ever: use [`sync::Mutex`](crate::sync::Mutex) | not over a park |
    /// | std's `thread::scope` | fine | no park inside: rule 4 |
    /// | rayon | call its scope inside [`blocking`](crate::blocking); then its tasks may wait for goroutines | the same |
    /// | scoped-tls | no park inside `set`: rule 2 | the same |
    /// | tokio, hyper | spawn there and [`block_on`](crate::future::block_on) here; no guard of `Handle::enter` over a park | the same |
    ///
    /// pyo3, which is not tried, binds to the thread in `attach`: nothing may park inside it, by
    /// rule 2.
    ///
    /// # Errors
    ///
    /// When the kernel refuses address space, file descriptors or a thread, or the stack policy
    /// is out of range; and in the child of a fork whose parent had built a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, StackPolicy};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// runtime.run(|| println!("in a goroutine"));
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let refused = unsafe { Runtime::builder().stack(StackPolicy::Fixed(1)).build() };
    /// println!("{}", refused.unwrap_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn build(self) -> io::Result<Runtime> {
        schedinit::start(&self.settings).map(|shared| Runtime { shared })
    }
}
