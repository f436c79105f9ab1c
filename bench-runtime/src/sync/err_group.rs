use std::fmt;
use std::io;
use std::sync::Arc;

use super::{Semaphore, WaitGroup};
use crate::context::{Cancel, Context};
use crate::runtime::spawn::GoBuilder;
use crate::util::lock::Lock;

/// Starts tasks that may fail, and waits for all of them. [`Self::wait`] returns the first failure,
/// which also cancels the group's context. Clones are handles of the same group.
/// [`Scope::go_in`](crate::Scope::go_in) starts tasks that borrow.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::Context;
/// use bench_runtime::sync::ErrGroup;
///
/// let (group, ctx) = ErrGroup::with_context(&Context::background());
/// for n in 0..4 {
///     let ctx = ctx.clone();
///     group.go(move || {
///         if n == 2 {
///             return Err("two is bad");
///         }
///         ctx.done().recv();
///         Ok(())
///     });
/// }
/// assert_eq!(group.wait(), Err("two is bad"));
/// ```
pub struct ErrGroup<E> {
    inner: Arc<Inner<E>>,
}

struct Inner<E> {
    tasks: WaitGroup,
    error: Lock<Option<E>>,
    cancel: Option<Cancel>,
    limit: Option<Semaphore>,
}

impl<E: Send + 'static> ErrGroup<E> {
    /// A group without a context and without a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::ErrGroup;
    ///
    /// let group = ErrGroup::new();
    /// for path in ["/proc/self/comm", "/proc/self/stat"] {
    ///     group.go(move || std::fs::read(path).map(drop));
    /// }
    /// group.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::build(None, None)
    }

    /// A group of which at most `limit` tasks run at a time.
    ///
    /// As in Go, a task that calls [`Self::go`] of its own group counts towards the limit while it
    /// waits there; if all running tasks do that, all wait for ever. Start tasks from outside the
    /// group, or by [`Self::try_go`].
    ///
    /// # Panics
    ///
    /// If `limit` is 0: no task could ever run.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::ErrGroup;
    ///
    /// let group = ErrGroup::with_limit(2);
    /// for n in 1..=10 {
    ///     // The third waits for the end of one of the first two.
    ///     group.go(move || if n < 10 { Ok(()) } else { Err(n) });
    /// }
    /// assert_eq!(group.wait(), Err(10));
    /// ```
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self::build(None, Some(limit))
    }

    /// A group with a context for its tasks. The context ends at the first failure or panic of a
    /// task, or when [`Self::wait`] returns.
    ///
    /// Unlike in Go, the failure is not the context's cause. If the tasks need the failure, make
    /// the context by [`Context::with_cancel`], and let the task that fails call
    /// [`Cancel::cancel_with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    /// use bench_runtime::sync::ErrGroup;
    ///
    /// let (group, ctx) = ErrGroup::<String>::with_context(&Context::background());
    /// group.go(|| Err("disk full".to_owned()));
    /// ctx.done().recv();
    /// assert_eq!(group.wait(), Err("disk full".to_owned()));
    /// ```
    #[must_use]
    pub fn with_context(parent: &Context) -> (Self, Context) {
        let (ctx, cancel) = parent.with_cancel();
        (Self::build(Some(cancel), None), ctx)
    }

    /// A group with a limit and a context.
    ///
    /// # Panics
    ///
    /// As [`Self::with_limit`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    /// use bench_runtime::sync::ErrGroup;
    ///
    /// let (group, ctx) = ErrGroup::with_context_and_limit(&Context::background(), 4);
    /// for n in 0..100 {
    ///     let ctx = ctx.clone();
    ///     group.go(move || match ctx.err() {
    ///         Some(_) => Ok(()),
    ///         None if n == 7 => Err("seven"),
    ///         None => Ok(()),
    ///     });
    /// }
    /// assert_eq!(group.wait(), Err("seven"));
    /// ```
    #[must_use]
    pub fn with_context_and_limit(parent: &Context, limit: usize) -> (Self, Context) {
        let (ctx, cancel) = parent.with_cancel();
        (Self::build(Some(cancel), Some(limit)), ctx)
    }

    fn build(cancel: Option<Cancel>, limit: Option<usize>) -> Self {
        assert!(limit != Some(0), "ErrGroup: a limit of 0 lets no task run");
        Self {
            inner: Arc::new(Inner {
                tasks: WaitGroup::new(),
                error: Lock::new(None),
                cancel,
                limit: limit.map(Semaphore::new),
            }),
        }
    }

    /// Starts a task in a goroutine; a plain thread starts an OS thread instead. Blocks the
    /// goroutine while the limit is reached.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::ErrGroup;
    ///
    /// let group = ErrGroup::new();
    /// group.go(|| "12".parse::<u8>().map(drop));
    /// group.go(|| "twelve".parse::<u8>().map(drop));
    /// assert!(group.wait().is_err());
    /// ```
    #[track_caller]
    pub fn go(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) {
        self.acquire_place();
        self.start(f);
    }

    /// As [`Self::go`], with settings: a name and labels, a priority, a stack.
    ///
    /// # Errors
    ///
    /// As [`GoBuilder::go`]. Such an error is not a failure of the group.
    ///
    /// # Panics
    ///
    /// Outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::ErrGroup;
    /// use bench_runtime::{GoBuilder, Runtime};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let group = ErrGroup::new();
    ///     let how = GoBuilder::new().name("fetch").label("host", "a");
    ///     group.go_with(how, || Err("no route"))?;
    ///     assert_eq!(group.wait(), Err("no route"));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn go_with(
        &self,
        how: GoBuilder,
        f: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> io::Result<()> {
        how.check()?;
        self.acquire_place();
        self.inner.tasks.go_with(how, self.task(f))
    }

    /// Waits until fewer tasks run than the limit allows, then takes a unit of the limit, which the
    /// drop of [`Place`] gives back. Blocks the goroutine.
    pub(crate) fn acquire_place(&self) {
        if let Some(limit) = &self.inner.limit {
            limit.acquire(1).forget();
        }
    }

    /// Starts a task unless the limit is reached; returns whether it did.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    /// use bench_runtime::sync::ErrGroup;
    ///
    /// let group = ErrGroup::<()>::with_limit(1);
    /// let (finish, wait) = chan::<()>(0);
    /// assert!(group.try_go(move || { wait.recv(); Ok(()) }));
    /// assert!(!group.try_go(|| Ok(())), "one is running");
    /// drop(finish);
    /// assert_eq!(group.wait(), Ok(()));
    /// ```
    #[track_caller]
    pub fn try_go(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) -> bool {
        if let Some(limit) = &self.inner.limit {
            match limit.try_acquire(1) {
                Ok(permit) => permit.forget(),
                Err(_) => return false,
            }
        }
        self.start(f);
        true
    }

    #[track_caller]
    fn start(&self, f: impl FnOnce() -> Result<(), E> + Send + 'static) {
        self.inner.tasks.go(self.task(f));
    }

    /// The goroutine's function for a task that [`Self::acquire_place`] has counted.
    pub(crate) fn task<F>(&self, f: F) -> impl FnOnce() + Send + use<E, F>
    where
        F: FnOnce() -> Result<(), E> + Send,
    {
        let mut place = Place {
            inner: self.inner.clone(),
            returned: false,
        };
        move || {
            let result = f();
            place.returned = true;
            if let Err(error) = result {
                place.inner.fail(error);
            }
            drop(place);
        }
    }

    pub(crate) fn tasks(&self) -> &WaitGroup {
        &self.inner.tasks
    }

    /// Waits for all tasks; blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The first failure. Only one call returns it; other calls return `Ok(())`.
    ///
    /// # Panics
    ///
    /// With the first panic of a task; only one call panics with it. A task that did not run,
    /// because there was no stack or the runtime stopped, counts as a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::ErrGroup;
    ///
    /// let group = ErrGroup::new();
    /// group.go(|| Err("once"));
    /// assert_eq!(group.wait(), Err("once"));
    /// assert_eq!(group.wait(), Ok(()), "a failure is returned once");
    /// ```
    pub fn wait(&self) -> Result<(), E> {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.inner.tasks.wait();
        }));
        if let Some(cancel) = &self.inner.cancel {
            cancel.cancel();
        }
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
        self.inner.error.lock().take().map_or(Ok(()), Err)
    }
}

impl<E> Inner<E> {
    fn fail(&self, error: E) {
        let mut first = self.error.lock();
        if first.is_none() {
            *first = Some(error);
            drop(first);
            if let Some(cancel) = &self.cancel {
                cancel.cancel();
            }
        }
    }
}

/// A task that counts towards the limit until the drop. If the task panicked, exited or never ran,
/// the drop also cancels the context.
struct Place<E> {
    inner: Arc<Inner<E>>,
    returned: bool,
}

impl<E> Drop for Place<E> {
    fn drop(&mut self) {
        if let Some(limit) = &self.inner.limit {
            limit.release(1);
        }
        if !self.returned
            && let Some(cancel) = &self.inner.cancel
        {
            cancel.cancel();
        }
    }
}

impl<E> Clone for ErrGroup<E> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<E: Send + 'static> Default for ErrGroup<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for ErrGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrGroup")
            .field("tasks", &self.inner.tasks)
            .finish_non_exhaustive()
    }
}
