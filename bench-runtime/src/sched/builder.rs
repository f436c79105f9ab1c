//! Settings of a runtime.

use std::io;
use std::time::Duration;

use super::api::Runtime;
use super::os_threads::MAX_THREADS;
use super::runtime::Shared;
use super::stacks::ShrinkOptions;
use super::trace::Level;
use crate::stack::StackPolicy;

/// Settings of a runtime that is to be built.
///
/// # Examples
///
/// ```
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { bench_runtime::Runtime::builder().procs(2).build() }?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
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

impl Default for Builder {
    fn default() -> Self {
        Self {
            procs: None,
            stack: StackPolicy::default(),
            shrink_options: ShrinkOptions::default(),
            migrating: false,
            reads_files: true,
            max_threads: MAX_THREADS,
            detects_deadlock: true,
            warns_of_blocked: true,
            dumps_on_quit: false,
            fake_time: false,
            seed: None,
            trace: None,
        }
    }
}

impl Builder {
    /// GOMAXPROCS: how many goroutines run at once, 1 to 4,096. Without it:
    /// the environment variable `GOMAXPROCS`; else the CPUs in the affinity
    /// mask or the control group's quota rounded up, whichever is less, which
    /// the runtime then follows while it runs.
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
        self.procs = Some(procs);
        self
    }

    /// How stacks of goroutines grow, unless one is spawned with a limit of
    /// its own.
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
        self.stack = policy;
        self
    }

    /// Moves the live bytes of goroutines that have been parked for `after` to
    /// cells of their size, and gives their pages back; they return to the same
    /// address before the goroutine runs, or when another thread touches them.
    /// A goroutine that parks for less pays nothing.
    ///
    /// What is lost: a *system call* that another thread makes on memory of
    /// such a stack, a buffer in a parked goroutine's frame that is read into
    /// from elsewhere, fails with `EFAULT`; and a thread that has blocked
    /// SIGSEGV dies of a touch. [`Builder::build`] fails where the kernel has
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
        self.shrink_options = ShrinkOptions {
            compact: true,
            after,
        };
        self
    }

    /// Whether GOMAXPROCS may be read from files (control group, topology).
    /// With false the runtime opens no file at all.
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
        self.reads_files = reads;
        self
    }

    /// How many OS threads the runtime may have, those in blocking calls
    /// included. One more is a fatal error, as in Go.
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
        self.max_threads = threads.max(1);
        self
    }

    /// Whether the process ends with a report when every goroutine waits for
    /// another. It never does while the process has threads of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Runtime;
    ///
    /// // A library that is loaded into somebody else's program.
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().detects_deadlock(false).build() }?;
    /// assert_eq!(runtime.run(|| "fine"), "fine");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn detects_deadlock(mut self, detects: bool) -> Self {
        self.detects_deadlock = detects;
        self
    }

    /// Whether stderr is told, in a pinned runtime, when a goroutine has blocked its
    /// thread for most of a second, in a call that the runtime does not know of, and
    /// others that can run on that thread alone wait behind it. They wait for ever
    /// if it waits for one of them: for a `std::sync::Mutex` that one holds while it
    /// waits for something.
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
        self.warns_of_blocked = warns;
        self
    }

    /// For tests: time that stands still while any goroutine can run, and
    /// jumps to the next timer when none can. Implies one P. Waiting for file
    /// descriptors or in [`crate::blocking`] holds it still.
    ///
    /// If no goroutine can run and no timer is armed, [`Runtime::run`] shuts the runtime
    /// down and panics with the list of goroutines.
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
        self.fake_time = true;
        self.procs = Some(1);
        self
    }

    /// For tests: an order of goroutines that this number decides, the same
    /// each time for a program that is the same but for it. Implies one P,
    /// and that no P is retaken from a goroutine that runs long.
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
        self.seed = Some(seed);
        self.procs = Some(1);
        self
    }

    /// Whether SIGQUIT writes all goroutines to stderr. The program goes on;
    /// once caught, the signal no longer ends the process.
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
        self.dumps_on_quit = dumps;
        self
    }

    /// How much the flight recorder records (see [`crate::trace`]). Without it:
    /// the environment variable `THREADBARE_TRACE`, `coarse` or `switches`;
    /// else [`Level::Coarse`].
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
        self.trace = Some(level);
        self
    }

    pub(super) fn trace_level(&self) -> Level {
        self.trace
            .or_else(Level::of_environment)
            .unwrap_or_default()
    }

    /// Lets goroutines move between OS threads when they park. Without this a
    /// goroutine that has started stays with its thread, which asks less of a
    /// program and spreads its work less evenly. What a migrating runtime asks
    /// for stands at [`Builder::build`].
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
        self.migrating = true;
        self
    }

    /// Starts the runtime: its Ps, and one thread that watches them. Threads
    /// that run goroutines start as they are needed.
    ///
    /// # Safety
    ///
    /// Goroutines share the thread-locals of the threads they run on. Safe code
    /// may rely on a thread running one thing at a time, so no runtime of this
    /// kind can keep such code sound by itself. A program that builds one
    /// promises, for all code that its goroutines run, libraries included:
    ///
    /// 1. nothing parks inside the initialiser of a thread-local (of `thread_local!`, of
    ///    the crate thread_local), and the global allocator calls nothing of this crate;
    /// 2. nothing parks inside a scope that hands out what a thread-local
    ///    points to, and restores the older pointer at its end (`scoped-tls`):
    ///    the scopes of two goroutines do not nest;
    /// 3. no goroutine calls `std::process::exit`, which drops its thread's
    ///    thread-locals, while another has lent what one of them holds to a
    ///    thread: `blocking(|| exit(code))` does it elsewhere;
    ///
    /// and of a [migrating](Builder::migrating) runtime besides:
    ///
    /// 4. no reference or pointer derived from a thread-local lives across a
    ///    park, and no function that parks uses one thread-local before and
    ///    after it: the compiler keeps its address. Put each use in a function
    ///    of its own that is `#[inline(never)]`;
    /// 5. nothing that is bound to an OS thread lives across a park: std's
    ///    `MutexGuard`, or any value that is `!Send` for that reason.
    ///
    /// Any call of this crate may *park*: of a channel, a lock, a timer, a join, a
    /// socket, [`blocking`](crate::blocking), `yield_now`; and one that returns
    /// at once too, if its goroutine has had its time and others wait.
    /// [`GoroutineLocal`](crate::GoroutineLocal) takes the place of a
    /// thread-local without any of these rules.
    ///
    /// Crates that are in many programs, each tried by a program in
    /// `checks/crates`:
    ///
    /// | crate | pinned | migrating |
    /// |---|---|---|
    /// | log, regex, rusqlite, rustls, stacker | fine | fine |
    /// | rand | fine | `rng()` anew after each park |
    /// | tracing | `in_scope` without a park inside; an entered guard over a park mixes spans up, no more | no entered guard over a park |
    /// | std's and parking_lot's guards | over a park they lock out the goroutines of their own thread, which may be for ever: use [`sync::Mutex`](crate::sync::Mutex) | not over a park |
    /// | std's `thread::scope` | fine | no park inside: rule 4 |
    /// | rayon | its scope inside [`blocking`](crate::blocking), then tasks may wait for goroutines | the same |
    /// | scoped-tls | no park inside `set`: rule 2 | the same |
    /// | tokio, hyper | spawn there and [`block_on`](crate::future::block_on) here; `Handle::enter`'s guard not over a park | the same |
    ///
    /// pyo3 is not tried: its tests need a shared libpython that the loader finds. What
    /// `attach` takes belongs to the thread, so nothing may park inside it, by rule 2.
    ///
    /// # Errors
    ///
    /// When the kernel refuses address space, file descriptors or a thread,
    /// or the stack policy is out of range; and in the child of a fork whose parent
    /// had built a runtime. The message says what to do.
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
        Shared::start(self).map(|shared| Runtime { shared })
    }
}
