//! Handles of runtimes.

use std::fmt;

use super::join::JoinHandle;
use super::spawn;
use crate::sched::current;
use crate::sched::shared::{Shared, User};

/// Starts goroutines of a runtime from any thread, for example in a callback of a foreign library
/// or on a worker of another executor.
///
/// A handle does not keep its runtime running. After the shutdown, closures are dropped, and
/// [`JoinHandle::join`] returns [`Abandoned`](crate::JoinError::Abandoned).
///
/// # Examples
///
/// ```
/// use bench_runtime::{Handle, Runtime, blocking};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let handle = Handle::current().expect("in a goroutine");
///     let callback = move |n: u32| handle.spawn(move || n * n);
///     // As a library would call it, on a thread of its own.
///     let task = blocking(|| std::thread::spawn(move || callback(12)).join().unwrap());
///     assert_eq!(task.join().unwrap(), 144);
/// });
/// assert!(Handle::current().is_none(), "on a plain thread");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Handle(User);

impl Handle {
    pub(crate) fn of(shared: &'static Shared) -> Self {
        Self(shared.user())
    }

    /// The handle of the calling goroutine's runtime; `None` on a plain thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Handle, Runtime};
    ///
    /// assert!(Handle::current().is_none());
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let handle = unsafe { Runtime::builder().build() }?.run(Handle::current);
    /// assert!(handle.is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn current() -> Option<Self> {
        current::runtime().map(Self::of)
    }

    /// Starts a goroutine, as [`Runtime::spawn`](crate::Runtime::spawn) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{JoinError, Runtime};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let handle = runtime.handle();
    /// assert_eq!(handle.spawn(|| "run").join().unwrap(), "run");
    /// drop(runtime);
    /// assert!(matches!(handle.spawn(|| "late").join(), Err(JoinError::Abandoned)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<T, F>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn::from_any_thread(self.0.shared(), f)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::of(self.0.shared())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
