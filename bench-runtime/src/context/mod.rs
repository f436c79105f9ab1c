//! Tells a tree of goroutines when to stop, and carries the values of a request.
//!
//! Code that starts a goroutine derives a [`Context`] that it can cancel, and passes it as an
//! argument. The goroutine includes [`Context::done`] in its waits, and returns when that channel
//! is closed.
//!
//! # Shape
//!
//! A context is a list of layers, from the newest to its root. A *scope* can end. A *value* carries
//! one value. A *cut* hides the scopes of older layers, but not their values. Scopes also form a
//! tree: a scope has weak pointers to its live children, and ends them when it ends.
//!
//! A context lives as long as one of its handles: the [`Context`], its clones and children, its
//! [`Cancel`], the result of [`Context::after_func`], and a command that was started with it. When
//! the last handle of a context that has not ended is dropped, the context leaves the tree, its
//! `done` closes, and the functions given to `after_func` are dropped without a call. In Go such a
//! context lives until its parent ends or its deadline passes.
//!
//! # What differs from Go
//!
//! - Values are found by their type, not by a key.
//! - The drop of a [`Cancel`] does not end the context; [`Cancel::on_drop`] is `defer cancel()`.

mod after_func;
mod cancel;
mod scope;

pub use after_func::AfterCancel;
pub use cancel::{Cancel, CancelOnDrop};
pub use scope::ContextError;

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chan::Receiver;
use crate::sched;
use crate::time::{after_ns, now, ns_of};
use scope::{Cause, Scope};

/// The channel of [`Context::done`] of a context that never ends.
static NEVER: Receiver<()> = Receiver::never();

/// Tells when to stop, and carries the values of a request. Clones are cheap.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::{Context, ContextError};
/// use bench_runtime::{chan, select};
///
/// let (ctx, cancel) = Context::background().with_cancel();
/// let (_jobs, queue) = chan::<u32>(0);
/// let worker = std::thread::spawn(move || loop {
///     select! {
///         recv(queue) -> _job => {}
///         recv(ctx.done()) => return ctx.err(),
///     }
/// });
/// cancel.cancel();
/// assert_eq!(worker.join().unwrap(), Some(ContextError::Cancelled));
/// ```
#[derive(Clone, Default)]
pub struct Context {
    /// `None` is the background.
    layer: Option<Arc<Layer>>,
}

struct Layer {
    parent: Context,
    kind: LayerKind,
}

enum LayerKind {
    Scope(Arc<Scope>),
    Value(Box<dyn Any + Send + Sync>),
    Cut,
}

impl Drop for Layer {
    fn drop(&mut self) {
        // A loop, because a recursion over a long list would overflow the stack.
        let mut next = self.parent.layer.take();
        while let Some(mut layer) = next.and_then(Arc::into_inner) {
            next = layer.parent.layer.take();
        }
    }
}

impl Context {
    /// The root: it never ends and has no value.
    #[must_use]
    pub const fn background() -> Self {
        Self { layer: None }
    }

    /// A child context: it ends when it is cancelled, or when its parent ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::{Context, ContextError};
    ///
    /// let (parent, cancel) = Context::background().with_cancel();
    /// let (child, _cancel_child) = parent.with_cancel();
    /// cancel.cancel();
    /// assert_eq!(child.err(), Some(ContextError::Cancelled));
    /// ```
    pub fn with_cancel(&self) -> (Self, Cancel) {
        self.with_scope(None)
    }

    /// As [`Self::with_cancel`]; the child also ends at `deadline`, or at its parent's deadline if
    /// that is earlier.
    ///
    /// # Panics
    ///
    /// On a plain thread, if the thread that fires timers cannot be started.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::{Context, ContextError};
    /// use std::time::Instant;
    ///
    /// let (ctx, _cancel) = Context::background().with_deadline(Instant::now());
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// ```
    pub fn with_deadline(&self, deadline: Instant) -> (Self, Cancel) {
        self.with_limit(ns_of(deadline), deadline, None)
    }

    /// As [`Self::with_deadline`], with a duration from now.
    ///
    /// # Panics
    ///
    /// As [`Self::with_deadline`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::{Context, ContextError};
    /// use std::time::Duration;
    ///
    /// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(1));
    /// assert_eq!(ctx.done().recv(), None);
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// ```
    pub fn with_timeout(&self, timeout: Duration) -> (Self, Cancel) {
        self.with_limit_after(timeout, None)
    }

    /// As [`Self::with_timeout`]; after the deadline [`Self::cause`] returns `cause`.
    ///
    /// # Panics
    ///
    /// As [`Self::with_deadline`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::{Context, ContextError};
    /// use std::time::Duration;
    ///
    /// let ctx = Context::background();
    /// let (ctx, _cancel) = ctx.with_timeout_cause(Duration::from_millis(1), "the index was not ready");
    /// ctx.done().recv();
    /// assert_eq!(ctx.err(), Some(ContextError::DeadlineExceeded));
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the index was not ready");
    /// ```
    pub fn with_timeout_cause(
        &self,
        timeout: Duration,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> (Self, Cancel) {
        self.with_limit_after(timeout, Some(Arc::from(cause.into())))
    }

    fn with_limit_after(&self, timeout: Duration, cause: Option<Cause>) -> (Self, Cancel) {
        match now().checked_add(timeout) {
            Some(deadline) => self.with_limit(after_ns(timeout), deadline, cause),
            None => self.with_scope(None),
        }
    }

    fn with_limit(
        &self,
        deadline_ns: u64,
        deadline: Instant,
        cause: Option<Cause>,
    ) -> (Self, Cancel) {
        if self
            .deadline()
            .is_some_and(|own_deadline| own_deadline <= deadline)
        {
            // The parent ends first, and its child with it.
            return self.with_scope(None);
        }
        let (ctx, cancel) = self.with_scope(Some(deadline));
        cancel.scope().end_at(deadline_ns, cause);
        (ctx, cancel)
    }

    fn with_scope(&self, deadline: Option<Instant>) -> (Self, Cancel) {
        let scope = Scope::child_of(self.scope(), deadline.or_else(|| self.deadline()));
        let ctx = self.with(LayerKind::Scope(scope.clone()));
        (ctx, Cancel::new(scope))
    }

    /// A context with a value, which is found by its type.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    ///
    /// struct RequestId(u64);
    ///
    /// let ctx = Context::background().with_value(RequestId(7));
    /// assert_eq!(ctx.value::<RequestId>().map(|id| id.0), Some(7));
    /// ```
    #[must_use]
    pub fn with_value<T: Any + Send + Sync>(&self, value: T) -> Self {
        self.with(LayerKind::Value(Box::new(value)))
    }

    /// A context that has the values of its parent, but does not end with its parent.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    ///
    /// struct User(&'static str);
    ///
    /// let (request, cancel) = Context::background().with_value(User("ada")).with_cancel();
    /// // The log is written even if the user has gone.
    /// let log = request.without_cancel();
    /// cancel.cancel();
    /// assert!(request.is_done() && !log.is_done());
    /// assert_eq!(log.value::<User>().map(|user| user.0), Some("ada"));
    /// ```
    #[must_use]
    pub fn without_cancel(&self) -> Self {
        self.with(LayerKind::Cut)
    }

    fn with(&self, kind: LayerKind) -> Self {
        let parent = self.clone();
        sched::give_way();
        Self {
            layer: Some(Arc::new(Layer { parent, kind })),
        }
    }

    /// A channel that is closed when the context ends: for `recv`, and for a
    /// case of `select!`. It never carries a value.
    ///
    /// A clone of the channel does not keep the context alive: when the last handle of the context
    /// is dropped, the channel is closed. So pass the `Context` to a goroutine, not the channel
    /// alone.
    #[must_use]
    pub fn done(&self) -> &Receiver<()> {
        self.scope().map_or(&NEVER, |scope| scope.done())
    }

    /// Why the context has ended; `None` while it has not.
    #[must_use]
    pub fn err(&self) -> Option<ContextError> {
        let end = self.scope()?.end();
        if end.is_none() {
            sched::give_way();
        }
        end.map(|(error, _)| error)
    }

    /// The cause given to [`Cancel::cancel_with`] or [`Self::with_timeout_cause`], or else the
    /// error of [`Self::err`]; `None` while the context has not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// cancel.cancel_with("the user went away");
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the user went away");
    /// ```
    #[must_use]
    pub fn cause(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        self.scope()?.end().map(|(_, cause)| cause)
    }

    /// True once the context has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.err().is_some()
    }

    /// The context's deadline, if it has one, on the clock that [`time::now`](crate::time::now)
    /// reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    /// use std::time::{Duration, Instant};
    ///
    /// let root = Context::background();
    /// assert_eq!(root.deadline(), None);
    ///
    /// let noon = Instant::now() + Duration::from_secs(3600);
    /// let (outer, _cancel) = root.with_deadline(noon);
    /// // A later deadline changes nothing.
    /// let (inner, _cancel) = outer.with_deadline(noon + Duration::from_secs(60));
    /// assert_eq!(inner.deadline(), Some(noon));
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.scope()?.deadline()
    }

    /// The value of this type that was added last.
    #[must_use]
    pub fn value<T: Any>(&self) -> Option<&T> {
        self.layers().find_map(|layer| match &layer.kind {
            LayerKind::Value(value) => value.downcast_ref(),
            _ => None,
        })
    }

    /// Calls `f` in a new goroutine when the context ends, or now if it has ended. On a plain
    /// thread, or if the runtime has stopped, a new thread calls `f`; if no thread can be started,
    /// the process ends with a fatal error. Dropping the result does not stop the call. If the last
    /// handle of the context is dropped before the context ends, `f` is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, context::Context};
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let (tx, rx) = chan(1);
    /// let call = ctx.after_func(move || {
    ///     let _ = tx.send("cleaned up");
    /// });
    /// cancel.cancel();
    /// assert_eq!(rx.recv(), Some("cleaned up"));
    /// assert!(!call.stop(), "it has run");
    /// ```
    pub fn after_func(&self, f: impl FnOnce() + Send + 'static) -> AfterCancel {
        AfterCancel::new(self.scope(), f)
    }

    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::successors(self.layer.as_deref(), |layer| layer.parent.layer.as_deref())
    }

    /// The scope that this context ends with.
    fn scope(&self) -> Option<&Arc<Scope>> {
        for layer in self.layers() {
            match &layer.kind {
                LayerKind::Scope(scope) => return Some(scope),
                LayerKind::Value(_) => {}
                LayerKind::Cut => return None,
            }
        }
        None
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("err", &self.err())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
