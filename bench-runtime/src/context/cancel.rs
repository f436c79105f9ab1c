use std::error::Error;
use std::sync::Arc;

use super::scope::{Cause, ContextError, Scope};
use crate::sched;

/// Ends the context with which it was made. A clone ends the same context. The drop of a `Cancel`
/// does not end the context.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::Context;
///
/// let (ctx, cancel) = Context::background().with_cancel();
/// assert!(!ctx.is_done());
/// cancel.cancel();
/// assert!(ctx.is_done());
/// ```
#[derive(Clone, Debug)]
#[must_use = "the context cannot be cancelled without it; `on_drop` cancels at the end of a block"]
pub struct Cancel {
    scope: Arc<Scope>,
}

impl Cancel {
    pub(super) fn new(scope: Arc<Scope>) -> Self {
        Self { scope }
    }

    pub(super) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Ends the context and all contexts derived from it, and so all waits for their `done`. Does
    /// not block. Has no effect on a context that has ended.
    pub fn cancel(&self) {
        self.cancel_for(Arc::new(ContextError::Cancelled));
    }

    /// As [`Self::cancel`], with a cause, which is an error or a text.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::{Context, ContextError};
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// cancel.cancel_with("no route to the server");
    /// assert_eq!(ctx.err(), Some(ContextError::Cancelled));
    /// assert_eq!(ctx.cause().unwrap().to_string(), "no route to the server");
    /// ```
    pub fn cancel_with(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) {
        let cause: Box<dyn Error + Send + Sync> = cause.into();
        self.cancel_for(Arc::from(cause));
    }

    fn cancel_for(&self, cause: Cause) {
        self.scope.finish(ContextError::Cancelled, cause);
        sched::give_way();
    }

    /// A guard that cancels when it is dropped, as Go's `defer cancel()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// {
    ///     let _cancel = cancel.on_drop();
    ///     assert!(!ctx.is_done());
    /// }
    /// assert!(ctx.is_done());
    /// ```
    pub fn on_drop(self) -> CancelOnDrop {
        CancelOnDrop { cancel: self }
    }
}

/// Cancels when it is dropped.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::Context;
///
/// /// The goroutines that this function starts end when it returns.
/// fn first_line(text: &str) -> Option<&str> {
///     let (ctx, cancel) = Context::background().with_cancel();
///     let _cancel = cancel.on_drop();
///     // … goroutines that wait for `ctx.done()` …
/// #   let _ = ctx;
///     text.lines().next()
/// }
///
/// assert_eq!(first_line("one\ntwo"), Some("one"));
/// ```
#[derive(Debug)]
#[must_use = "the context is cancelled at once if the guard is dropped"]
pub struct CancelOnDrop {
    cancel: Cancel,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
