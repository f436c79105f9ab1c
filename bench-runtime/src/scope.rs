use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::goroutine::WaitReason;
use crate::goroutine::body::Exit;
use crate::runtime::spawn::GoBuilder;
use crate::sync::{ErrGroup, WaitGroup};
use crate::util::lock::Lock;
use crate::util::panic::without_panic;

/// The result of a goroutine that got no stack. The panic hook has printed the reason.
const NEVER_RAN: &str = "the goroutine could not run: there was no stack for it";

type Outcome<T> = Result<T, Box<dyn Any + Send>>;

#[derive(Debug)]
struct Data {
    running: WaitGroup,
    /// A goroutine panicked, or never ran, and its handle was not joined.
    failed: AtomicBool,
}

/// Starts goroutines that borrow; see [`scope`].
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, scope};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let mut numbers = [1, 2, 3, 4];
///     scope(|s| {
///         for half in numbers.chunks_mut(2) {
///             s.go(move || half.iter_mut().for_each(|n| *n *= 10));
///         }
///     });
///     assert_eq!(numbers, [10, 20, 30, 40]);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    data: Arc<Data>,
    // Invariant in both lifetimes, as in std.
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("data", &self.data).finish()
    }
}

/// Waits for a goroutine of a scope and takes its result.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, scope};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let text = String::from("seven words make up this whole line");
///     let count = scope(|s| {
///         let counted = s.go(|| text.split(' ').count());
///         counted.join().unwrap()
///     });
///     assert_eq!(count, 7);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    done: Arc<WaitGroup>,
    packet: Arc<Packet<T>>,
    _scope: PhantomData<&'scope ()>,
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopedJoinHandle")
    }
}

/// Runs `f`, which may start goroutines that borrow, and returns when all of them have ended.
/// Blocks the goroutine.
///
/// # Panics
///
/// With the panic of `f`; or if a goroutine panicked, or got no stack, and its handle was not
/// joined.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, scope};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let words = vec!["go", "rust"];
///     let mut total = 0;
///     scope(|s| {
///         let lengths = s.go(|| words.iter().map(|w| w.len()).sum::<usize>());
///         total = lengths.join().unwrap();
///     });
///     assert_eq!(total, 6);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        data: Arc::new(Data {
            running: WaitGroup::new(),
            failed: AtomicBool::new(false),
        }),
        _scope: PhantomData,
        _env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.data.running.wait_as(WaitReason::Scope);
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.data.failed.load(Ordering::Relaxed) => {
            panic!("a goroutine of the scope panicked or could not run")
        }
        Ok(value) => value,
    }
}

/// What the goroutine and its handle share.
struct Packet<T> {
    data: Arc<Data>,
    /// `Some` from the end of the goroutine until the join.
    outcome: Lock<Option<Outcome<T>>>,
}

impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        // The handle was dropped, before or after the goroutine ended.
        if let Some(Err(panic)) = &*self.outcome.lock()
            && !panic.is::<Exit>()
        {
            self.data.failed.store(true, Ordering::Relaxed);
        }
    }
}

/// Belongs to the goroutine. Its drop reports that the goroutine has ended.
struct Part<T> {
    data: Arc<Data>,
    joined: Arc<WaitGroup>,
    packet: Option<Arc<Packet<T>>>,
}

impl<T> Part<T> {
    fn store_result(&mut self, result: Outcome<T>) {
        let Some(packet) = self.packet.take() else {
            return;
        };
        *packet.outcome.lock() = Some(result);
        // If the handle is dropped, the result is dropped here, while its borrows are valid.
        without_panic(|| drop(packet));
    }
}

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        // Has no effect if the goroutine has run.
        self.store_result(Err(Box::new(NEVER_RAN)));
        self.joined.done();
        self.data.running.done();
    }
}

/// If the task never runs, its fields are dropped in this order: first `f`, with its borrows; then
/// `part`, which reports the end.
struct Task<F, T> {
    f: F,
    part: Part<T>,
}

impl<F: FnOnce() -> T, T> Task<F, T> {
    fn run(self) {
        let Self { f, mut part } = self;
        part.store_result(catch_unwind(AssertUnwindSafe(f)));
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a goroutine that may borrow values that outlive the scope.
    ///
    /// # Panics
    ///
    /// Outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, scope};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let data: Vec<u64> = (1..=100).collect();
    ///     let (low, high) = data.split_at(50);
    ///     let sum = scope(|s| {
    ///         let low = s.go(|| low.iter().sum::<u64>());
    ///         let high = s.go(|| high.iter().sum::<u64>());
    ///         low.join().unwrap() + high.join().unwrap()
    ///     });
    ///     assert_eq!(sum, 5050);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn go<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let (body, handle) = self.part(f);
        crate::go_detached(body);
        handle
    }

    /// As [`Self::go`], with settings: a name and labels, a priority, a stack.
    ///
    /// # Errors
    ///
    /// As [`GoBuilder::go`].
    ///
    /// # Panics
    ///
    /// Outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime, scope};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let words = vec!["go", "rust"];
    ///     let total = scope(|s| {
    ///         let counter = GoBuilder::new().name("counter");
    ///         let lengths = s.go_with(counter, || words.iter().map(|w| w.len()).sum::<usize>());
    ///         lengths.map(|handle| handle.join().unwrap())
    ///     });
    ///     assert_eq!(total.unwrap(), 6);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn go_with<F, T>(
        &'scope self,
        builder: GoBuilder,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        builder.check()?;
        let (body, handle) = self.part(f);
        let _ = builder.go(body)?;
        Ok(handle)
    }

    fn part<F, T>(&'scope self, f: F) -> (Box<dyn FnOnce() + Send>, ScopedJoinHandle<'scope, T>)
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet = Arc::new(Packet {
            data: self.data.clone(),
            outcome: Lock::new(None),
        });
        let done = Arc::new(WaitGroup::new());
        done.add(1);
        self.data.running.add(1);
        let part = Part {
            data: self.data.clone(),
            joined: done.clone(),
            packet: Some(packet.clone()),
        };
        let task = Task { f, part };
        let body: Box<dyn FnOnce() + Send + 'scope> = Box::new(move || task.run());
        // SAFETY: only the lifetime changes. `scope` does not return, neither normally nor by a
        // panic, before `running` is back at zero, which the body does last; all that it borrows
        // outlives 'scope.
        let body: Box<dyn FnOnce() + Send + 'static> = unsafe { std::mem::transmute(body) };
        let handle = ScopedJoinHandle {
            done,
            packet,
            _scope: PhantomData,
        };
        (body, handle)
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a task of an [`ErrGroup`] that may borrow values that outlive the scope. Blocks the
    /// goroutine while the group's limit is reached. [`ErrGroup::wait`] reports its failure or
    /// panic.
    ///
    /// # Panics
    ///
    /// Outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::ErrGroup;
    /// use bench_runtime::{Runtime, scope};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let texts = ["1", "2", "three"].map(String::from);
    ///     let mut numbers = [0; 3];
    ///     let parsed = scope(|s| {
    ///         let group = ErrGroup::with_limit(2);
    ///         for (text, number) in texts.iter().zip(&mut numbers) {
    ///             s.go_in(&group, move || text.parse().map(|n| *number = n));
    ///         }
    ///         group.wait()
    ///     });
    ///     assert!(parsed.is_err());
    ///     assert_eq!(numbers, [1, 2, 0]);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn go_in<E: Send + 'static>(
        &'scope self,
        group: &ErrGroup<E>,
        f: impl FnOnce() -> Result<(), E> + Send + 'scope,
    ) {
        group.acquire_place();
        let _ = self.go(group.tasks().task(group.task(f)));
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the goroutine and takes its result. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The payload of its panic, or a text if it got no stack.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, scope};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     scope(|s| {
    ///         let failing = s.go(|| -> u32 { panic!("no luck") });
    ///         let payload = failing.join().unwrap_err();
    ///         assert_eq!(payload.downcast_ref(), Some(&"no luck"));
    ///     });
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join(self) -> Result<T, Box<dyn Any + Send>> {
        self.done.wait_as(WaitReason::Scope);
        let outcome = self.packet.outcome.lock().take();
        match outcome {
            Some(outcome) => outcome,
            None => unreachable!("the outcome is written before the goroutine is done"),
        }
    }
}
