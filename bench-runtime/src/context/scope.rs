//! A scope, which can end: a node of the tree of contexts.
//!
//! # How a scope ends
//!
//! 1. Under its lock, store why it ends, and take its children, calls and timer out. A later caller
//!    sees that the scope has ended.
//! 2. Cancel its timer; close its channel, which ends the waits for it; start its calls.
//! 3. End all scopes below it, each by steps 1 and 2.
//! 4. Remove the scope from its parent, under the parent's lock.
//!
//! No code holds the locks of two scopes. The lock of a scope is held while its timer is armed.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use thiserror::Error;

use crate::chan::{Receiver, Sender, chan};
use crate::seam::Spawner;
use crate::time::armed::{self, Armed};
use crate::timer::{self, Action};
use crate::util::lock::Lock;

/// Why a context has ended.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::{Context, ContextError};
/// use std::time::Duration;
///
/// let (ctx, cancel) = Context::background().with_timeout(Duration::from_secs(60));
/// assert_eq!(ctx.err(), None);
/// cancel.cancel();
/// match ctx.err() {
///     Some(ContextError::Cancelled) => println!("no longer needed"),
///     Some(ContextError::DeadlineExceeded) => println!("too late"),
///     other => println!("{other:?}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum ContextError {
    /// The context, or a context from which it was derived, was cancelled.
    #[error("context cancelled")]
    Cancelled,
    /// The deadline has passed.
    #[error("context deadline exceeded")]
    DeadlineExceeded,
}

pub(super) type Cause = Arc<dyn Error + Send + Sync>;

pub(super) struct Call {
    spawner: Spawner,
    f: Box<dyn FnOnce() + Send>,
}

impl Call {
    pub(super) fn new(f: impl FnOnce() + Send + 'static) -> Self {
        Self {
            spawner: Spawner::current(),
            f: Box::new(f),
        }
    }

    /// Runs `f` in a new goroutine; in a new thread if [`Self::new`] was called on a plain thread,
    /// or if the runtime has stopped.
    fn start(self) {
        self.spawner.call(self.f);
    }
}

pub(super) struct Scope {
    parent: Option<Arc<Self>>,
    closer: Sender<()>,
    done: Receiver<()>,
    deadline: Option<Instant>,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    end: Option<(ContextError, Cause)>,
    children: HashMap<usize, Weak<Scope>>,
    calls: HashMap<u64, Call>,
    next_call: u64,
    timer: Option<Armed>,
}

/// The state of a scope's timer.
struct DeadlineTimer {
    scope: Weak<Scope>,
    deadline_ns: u64,
    spawner: Spawner,
    cause: Option<Cause>,
}

impl timer::Call for DeadlineTimer {
    fn fire(self: Arc<Self>, _: u64) {
        let spawner = self.spawner.clone();
        // In a goroutine, because the drop of `self` may drop the scope, with the program's values
        // in it.
        spawner.call_by_timer(move || {
            if let Some(scope) = self.scope.upgrade() {
                scope.end_by_deadline(self.cause.clone());
            }
        });
    }

    fn outlive(self: Arc<Self>, now_ns: u64) {
        if let Some(scope) = self.scope.upgrade() {
            let deadline_ns = armed::outside_ns(self.deadline_ns, now_ns);
            scope.arm(
                deadline_ns,
                Spawner::Thread,
                self.cause.clone(),
                armed::arm_outside,
            );
        }
    }
}

impl Scope {
    pub(super) fn child_of(parent: Option<&Arc<Self>>, deadline: Option<Instant>) -> Arc<Self> {
        let (closer, done) = chan(0);
        let scope = Arc::new(Self {
            parent: parent.cloned(),
            closer,
            done,
            deadline,
            state: Lock::new(State::default()),
        });
        if let Some(parent) = parent {
            let mut state = parent.state.lock();
            if let Some((error, cause)) = state.end.clone() {
                drop(state);
                scope.finish(error, cause);
            } else {
                let child = Arc::downgrade(&scope);
                state.children.insert(scope.key(), child);
            }
        }
        scope
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn done(&self) -> &Receiver<()> {
        &self.done
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn end(&self) -> Option<(ContextError, Cause)> {
        self.state.lock().end.clone()
    }

    /// Makes the scope end at `deadline_ns` (of [`crate::sched::now_ns`]).
    pub(super) fn end_at(self: &Arc<Self>, deadline_ns: u64, cause: Option<Cause>) {
        if deadline_ns <= crate::sched::now_ns() {
            self.end_by_deadline(cause);
            return;
        }
        self.arm(deadline_ns, Spawner::current(), cause, armed::arm);
    }

    fn arm(
        self: &Arc<Self>,
        deadline_ns: u64,
        spawner: Spawner,
        cause: Option<Cause>,
        arm: fn(u64, Action) -> Armed,
    ) {
        let timer_call = DeadlineTimer {
            scope: Arc::downgrade(self),
            deadline_ns,
            spawner,
            cause,
        };
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.timer = Some(arm(deadline_ns, Action::Call(Arc::new(timer_call))));
        }
    }

    fn end_by_deadline(&self, cause: Option<Cause>) {
        let error = ContextError::DeadlineExceeded;
        self.finish(error, cause.unwrap_or_else(|| Arc::new(error)));
    }

    /// Ends the scope, and all scopes below it. Does nothing if it has ended.
    pub(super) fn finish(&self, error: ContextError, cause: Cause) {
        let mut pending = self.finish_alone(error, &cause);
        // A list, because a recursion over a deep tree would overflow the stack.
        while let Some(child) = pending.pop() {
            if let Some(child) = child.upgrade() {
                pending.extend(child.finish_alone(error, &cause));
            }
        }
        if let Some(parent) = &self.parent {
            parent.remove_child(self.key());
        }
    }

    /// Ends this scope alone, by steps 1 and 2. Returns its children.
    fn finish_alone(&self, error: ContextError, cause: &Cause) -> Vec<Weak<Self>> {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return Vec::new();
        }
        state.end = Some((error, cause.clone()));
        let children = std::mem::take(&mut state.children);
        let calls = std::mem::take(&mut state.calls);
        let timer = state.timer.take();
        drop(state);
        if let Some(timer) = timer {
            timer.cancel();
        }
        self.closer.close();
        calls.into_values().for_each(Call::start);
        children.into_values().collect()
    }

    fn remove_child(&self, child: usize) {
        let child = self.state.lock().children.remove(&child);
        // Dropped here, not under the lock.
        drop(child);
    }

    /// Keeps a call until the scope ends; starts it now if the scope has ended.
    pub(super) fn add_call(&self, call: Call) -> Option<u64> {
        let mut state = self.state.lock();
        if state.end.is_some() {
            drop(state);
            call.start();
            return None;
        }
        let key = state.next_call;
        state.next_call += 1;
        state.calls.insert(key, call);
        Some(key)
    }

    pub(super) fn remove_call(&self, key: u64) -> Option<Call> {
        self.state.lock().calls.remove(&key)
    }

    #[cfg(test)]
    fn child_count(&self) -> usize {
        self.state.lock().children.len()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(timer) = self.state.lock().timer.take() {
            timer.cancel();
        }
        // A loop, because a recursion over a long way to the root would overflow the stack.
        let mut child = self.key();
        let mut next = self.parent.take();
        while let Some(parent) = next {
            parent.remove_child(child);
            child = parent.key();
            next = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("end", &self.end())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_child_leaves_its_parent() {
        let parent = Scope::child_of(None, None);
        let child = Scope::child_of(Some(&parent), None);
        let other = Scope::child_of(Some(&parent), None);
        assert_eq!(parent.child_count(), 2);
        drop(child);
        assert_eq!(parent.child_count(), 1);
        other.finish(ContextError::Cancelled, Arc::new(ContextError::Cancelled));
        assert_eq!(parent.child_count(), 0);
        assert!(parent.end().is_none());
    }

    #[test]
    fn a_timer_does_not_keep_its_scope_alive() {
        let scope = Scope::child_of(None, None);
        scope.end_at(crate::sched::now_ns() + 3_600_000_000_000, None);
        let weak = Arc::downgrade(&scope);
        drop(scope);
        assert!(weak.upgrade().is_none());
    }
}
