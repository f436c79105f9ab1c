//! Starting goroutines.

use std::io;
use std::panic::Location;
use std::sync::atomic::Ordering;

use super::join::JoinHandle;
use super::labels;
use crate::goroutine::body::{self, Exit};
use crate::goroutine::details::{Labels, text_of};
use crate::goroutine::header::goroutine_of;
use crate::goroutine::{
    Details, FLAG_CPU_BOUND, FLAG_PRIORITY_SHIFT, Goroutine, JOIN_DETACHED, JOIN_OPEN, Priority,
};
use crate::recorder::ANY;
use crate::sched::current::{self, machine_of};
use crate::sched::newproc::{self, new_record, record_outside};
use crate::sched::shared::Shared;
use crate::sched::{hand_off, preempt, readied, scheduler, wake};
use crate::stack::{Class, StackPolicy};

/// Starts a goroutine that runs `f`, on the runtime of the calling goroutine. The goroutine runs
/// when the caller parks or when another P takes it.
///
/// The returned [`JoinHandle`] must be used. [`go!(…)`](macro@crate::go), as Go's statement,
/// makes no handle, which costs less.
///
/// `go(|| async { … })` makes a future that is never polled: write `go(|| future::block_on(async
/// { … }))`.
///
/// # Panics
///
/// Outside every goroutine; [`crate::Runtime::spawn`] works there.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let sum = unsafe { Runtime::builder().build() }?.run(|| {
///     let handles: Vec<_> = (0..10u64).map(|i| go(move || i * i)).collect();
///     handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
/// });
/// assert_eq!(sum, 285);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
#[inline]
pub fn go<T, F>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `start` gives a fresh record with an empty body.
    let put = |g| unsafe { body::put_closure(g, f) };
    JoinHandle::new(start(Location::caller(), JOIN_OPEN, put))
}

/// As [`go`](fn@crate::go), without a handle. The macro [`go!`](macro@crate::go) calls this.
#[doc(hidden)]
#[track_caller]
#[inline]
pub fn go_detached<T, F>(f: F)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: as in `go`.
    let put = |g| unsafe { body::put_detached(g, f) };
    start(Location::caller(), JOIN_DETACHED, put);
}

/// `put` stores the closure in the record.
#[inline(always)]
#[track_caller]
fn start(
    site: &'static Location<'static>,
    join: usize,
    put: impl FnOnce(&'static Goroutine),
) -> &'static Goroutine {
    let Some(header) = current::header() else {
        panic_outside_goroutine()
    };
    let mut m = machine_of(header);
    let p = match m.enter().0 {
        Some(p) => p,
        None => {
            let p = preempt::reacquire_p(header);
            m = machine_of(header);
            p
        }
    };
    let shared = m.shared();
    let g = new_record(shared, p, site, join);
    put(g);
    if p.recorder.watches(ANY) {
        p.recorder.note_spawn(g);
    }
    scheduler::spawned(m, p, g);
    m.leave(false);
    g
}

/// Starts a goroutine without a handle, as Go's `go` statement does. The argument is a call,
/// which becomes the body of a `move` closure:
///
/// ```compile_fail
/// bench_runtime::go!(move || println!("it would never be called"));
/// ```
///
/// # Panics
///
/// Outside every goroutine, as [`go`](fn@crate::go).
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, go};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let sum = unsafe { Runtime::builder().build() }?.run(|| {
///     let (tx, rx) = chan(0);
///     for n in 1..=10 {
///         let tx = tx.clone();
///         go!(tx.send(n));
///     }
///     drop(tx);
///     rx.iter().sum::<u32>()
/// });
/// assert_eq!(sum, 55);
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! go {
    ($name:ident) => {
        compile_error!("go! runs what it is given: write go!(f()), or go(f) for a handle")
    };
    (|| $($body:tt)*) => {
        compile_error!("go! makes the closure: write go!(body), or go(|| body) for a handle")
    };
    (move || $($body:tt)*) => {
        compile_error!("go! makes the closure: write go!(body), or go(move || body) for a handle")
    };
    (async $($body:tt)*) => {
        compile_error!("go! runs a goroutine: write go!(future::block_on(async { … }))")
    };
    ($($body:tt)*) => {
        $crate::go_detached(move || { $($body)* })
    };
}

#[cold]
#[inline(never)]
#[track_caller]
fn panic_outside_goroutine() -> ! {
    panic!(
        "go() was called outside every goroutine: use Runtime::spawn, or call it inside Runtime::run; \
         in blocking(), spawn by a Handle::current() that was taken before it"
    )
}

/// Starts a goroutine from any thread, with or without a P.
#[track_caller]
pub(crate) fn from_any_thread<T, F>(shared: &'static Shared, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `f` borrows nothing.
    unsafe { start_from_any_thread(shared, f, Location::caller(), None) }
}

/// As [`from_any_thread`], for a closure that borrows.
///
/// # Safety
///
/// The values that `f` and its result borrow stay valid until the goroutine has ended
/// and its result is taken; for ever, if it does not end.
#[track_caller]
pub(crate) unsafe fn borrowing<T, F>(shared: &'static Shared, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: by the caller's promise.
    unsafe { start_from_any_thread(shared, f, Location::caller(), None) }
}

/// # Safety
///
/// As for [`borrowing`].
#[track_caller]
unsafe fn start_from_any_thread<T, F>(
    shared: &'static Shared,
    f: F,
    site: &'static Location<'static>,
    settings: Option<(Box<Details>, u8)>,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: as in `go`.
    let put = |g| unsafe { body::put_closure(g, f) };
    let g = record_outside(shared, site, JOIN_OPEN, settings, put);
    if !newproc::admit(shared, g) {
        readied::abandon(shared, g, None);
    }
    preempt::give_way();
    JoinHandle::new(g)
}

/// Settings of one goroutine.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Priority, Runtime};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// let answer = runtime.run(|| {
///     GoBuilder::new().name("adder").priority(Priority::High).go(|| 1 + 1).unwrap().join().unwrap()
/// });
/// assert_eq!(answer, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GoBuilder {
    name: Option<Box<str>>,
    labels: Labels,
    priority: Priority,
    stack: Option<StackPolicy>,
    cpu_bound: bool,
}

impl GoBuilder {
    /// No name, no labels, normal priority, the runtime's stack policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for dumps, profiles, traces and the message of a panic. In a profile of pprof it is
    /// the label `name`.
    ///
    /// The first start of a goroutine with a name or labels sets a panic hook that prints which
    /// goroutine panics, and then calls the former hook. A later [`std::panic::set_hook`]
    /// replaces both.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime, goroutines};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let named = GoBuilder::new().name("indexer");
    ///     let seen = named.go(|| goroutines().iter().any(|g| g.name.as_deref() == Some("indexer")));
    ///     assert!(seen.unwrap().join().unwrap());
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// A label for dumps, profiles and traces. A repeated key gets the new value. See
    /// [`labels`](crate::labels()).
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime, labels};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let shard = GoBuilder::new().label("shard", "3").go(labels).unwrap();
    ///     assert_eq!(shard.join().unwrap(), [("shard".to_owned(), "3".to_owned())]);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn label(self, key: &str, value: &str) -> Self {
        self.labels([(key, value)])
    }

    /// As [`Self::label`], for several labels. `labels(bench_runtime::labels())` passes on the
    /// labels of the calling goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime, labels};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let parent = GoBuilder::new().labels([("user", "7"), ("part", "all")]).go(|| {
    ///         let child = GoBuilder::new().labels(labels()).label("part", "one");
    ///         child.go(labels).unwrap().join().unwrap()
    ///     });
    ///     let seen = parent.unwrap().join().unwrap();
    ///     assert_eq!(seen, [("user", "7"), ("part", "one")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn labels<K, V>(mut self, labels: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        labels::add(&mut self.labels, labels);
        self
    }

    /// The scheduling class.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Priority, Runtime};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let tidying = GoBuilder::new().priority(Priority::Low).go(|| "tidy").unwrap();
    ///     assert_eq!(tidying.join().unwrap(), "tidy");
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Declares that the goroutine will compute for long without a call into the runtime. A
    /// pinned runtime then starts it on a thread that no other goroutine shares, if possible. A
    /// migrating runtime needs no such hint.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let sum = unsafe { Runtime::builder().build() }?.run(|| {
    ///     let adds_up = GoBuilder::new().cpu_bound(true).go(|| (0..1_000_000u64).sum::<u64>());
    ///     adds_up.unwrap().join().unwrap()
    /// });
    /// assert_eq!(sum, 499_999_500_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn cpu_bound(mut self, cpu_bound: bool) -> Self {
        self.cpu_bound = cpu_bound;
        self
    }

    /// A stack policy for this goroutine, in place of the runtime's.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime, StackPolicy, stack_usage};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let small = GoBuilder::new().stack(StackPolicy::Fixed(32 << 10));
    ///     let usage = small.go(stack_usage).unwrap().join().unwrap().unwrap();
    ///     assert_eq!(usage.limit_bytes, 32 << 10);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stack(mut self, policy: StackPolicy) -> Self {
        self.stack = Some(policy);
        self
    }

    fn class(&self) -> io::Result<Option<Class>> {
        let class = self.stack.map(Class::for_policy).transpose();
        class.map_err(io::Error::other)
    }

    /// Returns the error that [`Self::go`] would return.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.class().map(drop)
    }

    /// Starts the goroutine on the runtime of the calling goroutine.
    ///
    /// # Errors
    ///
    /// When the stack policy is out of range.
    ///
    /// # Panics
    ///
    /// Outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let worker = GoBuilder::new().name("worker").go(|| 6 * 7);
    ///     assert_eq!(worker.unwrap().join().unwrap(), 42);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn go<T, F>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let Some(shared) = current::runtime() else {
            panic_outside_goroutine()
        };
        let class = self.class()?.inspect(|&class| wake::prepare_for(class));
        let site = Location::caller();
        let text = text_of(self.name.as_deref(), &self.labels);
        if text.is_some() {
            labels::set_panic_hook();
        }
        let details = Box::new(Details::new(site, text, class));
        let mut flags = (self.priority as u8) << FLAG_PRIORITY_SHIFT;
        if self.cpu_bound {
            flags |= FLAG_CPU_BOUND;
            shared.sites.declare();
        }
        // SAFETY: `f` borrows nothing.
        Ok(unsafe { start_from_any_thread(shared, f, site, Some((details, flags))) })
    }
}

/// Ends the calling goroutine. Its destructors run, and [`JoinHandle::join`] returns
/// [`Exited`](crate::JoinError::Exited). In the main goroutine it ends `Runtime::run` with a panic.
///
/// It unwinds the stack, so `catch_unwind` stops it, and the goroutine continues. In Go `recover`
/// does not stop it.
///
/// # Panics
///
/// Outside every goroutine.
///
/// # Examples
///
/// ```
/// use bench_runtime::{JoinError, Runtime, go, goexit};
///
/// struct Tidy;
/// impl Drop for Tidy {
///     fn drop(&mut self) {
///         println!("tidied up");
///     }
/// }
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let ended = go(|| {
///         let _tidy = Tidy;
///         goexit()
///     });
///     assert!(matches!(ended.join(), Err(JoinError::Exited)));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn goexit() -> ! {
    assert!(current::header().is_some(), "goexit outside a goroutine");
    std::panic::resume_unwind(Box::new(Exit))
}

/// The number of the calling goroutine; `None` on a plain thread.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go, goroutine_id};
///
/// assert_eq!(goroutine_id(), None);
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let other = go(goroutine_id);
///     let id = other.id();
///     assert_eq!(other.join().unwrap(), Some(id));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn goroutine_id() -> Option<u64> {
    current::header().map(|header| goroutine_of(header).id.load(Ordering::Relaxed))
}

/// How many goroutines of this runtime have not ended; 0 outside a runtime.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, go, num_goroutine};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let (tx, rx) = chan::<()>(0);
///     let other = go(move || rx.recv());
///     assert_eq!(num_goroutine(), 2);
///     drop(tx);
///     other.join().unwrap();
///     assert_eq!(num_goroutine(), 1);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn num_goroutine() -> usize {
    preempt::give_way();
    current::runtime().map_or(0, Shared::goroutines_count)
}

/// Returns GOMAXPROCS; `Some(n)` also changes it, without stopping goroutines. With [fake
/// time](crate::Builder::fake_time) or a [seed](crate::Builder::seed) it stays 1.
///
/// # Panics
///
/// Outside every goroutine, or if `n` is not 1 to 4,096.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, gomaxprocs};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().procs(2).build() }?.run(|| {
///     assert_eq!(gomaxprocs(Some(4)), 2);
///     assert_eq!(gomaxprocs(None), 4);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn gomaxprocs(n: Option<usize>) -> usize {
    let Some(shared) = current::runtime() else {
        panic!("gomaxprocs outside a goroutine: see Runtime::set_procs")
    };
    preempt::give_way();
    match n {
        Some(n) => hand_off::set_procs_by_hand(shared, n),
        None => shared.procs(),
    }
}
