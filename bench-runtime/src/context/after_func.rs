use std::fmt;
use std::sync::Arc;

use super::scope::{Call, Scope};
use crate::sched;

/// The result of [`Context::after_func`](super::Context::after_func): it can stop the call.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::Context;
///
/// let (ctx, cancel) = Context::background().with_cancel();
/// let call = ctx.after_func(|| unreachable!("it was stopped"));
/// assert!(call.stop());
/// cancel.cancel();
/// ```
pub struct AfterCancel {
    /// The scope that holds the call, and the call's key. `None` if the call was started at once,
    /// or the context never ends.
    kept: Option<(Arc<Scope>, u64)>,
}

impl AfterCancel {
    pub(super) fn new(scope: Option<&Arc<Scope>>, f: impl FnOnce() + Send + 'static) -> Self {
        let kept = scope.and_then(|scope| {
            let call = Call::new(f);
            Some((scope.clone(), scope.add_call(call)?))
        });
        sched::give_way();
        Self { kept }
    }

    /// Stops the call. True: the call was not started, and will not be. False: it was started or
    /// stopped before, or the context never ends.
    pub fn stop(&self) -> bool {
        let call = self
            .kept
            .as_ref()
            .and_then(|(scope, key)| scope.remove_call(*key));
        sched::give_way();
        call.is_some()
    }
}

impl fmt::Debug for AfterCancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterCancel").finish_non_exhaustive()
    }
}
