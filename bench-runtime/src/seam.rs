//! What `time` and `net` need of the scheduler beyond parking: one place, so
//! that they need not know how a runtime is made.

use std::sync::Arc;

use crate::netpoll::Netpoll;
use crate::timer::Timers;

/// The poller of the runtime that the caller is a goroutine of; none for a
/// plain thread, which waits for a descriptor by itself.
#[inline]
pub(crate) fn netpoll() -> Option<&'static Netpoll> {
    None
}

/// The timers of the processor that runs the calling goroutine; none for a
/// plain thread. They live for ever.
#[inline]
pub(crate) fn timers() -> Option<&'static Timers> {
    None
}

/// A timer of [`timers`] was armed for a time before all others of it: whoever
/// sleeps until a later time must be woken.
#[inline]
pub(crate) fn timer_armed_first(when_ns: u64) {
    let _ = when_ns;
}

/// Runs what may block the thread, letting other goroutines go on.
#[inline]
pub(crate) fn blocking<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// Starts goroutines where the caller could, also from where it could not:
/// from a timer's call, which runs outside every goroutine.
#[derive(Clone)]
pub(crate) struct Spawner(Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>);

impl Spawner {
    /// That of the caller: goroutines of its runtime, or threads for a plain
    /// thread.
    pub(crate) fn current() -> Self {
        Self(Arc::new(|f| {
            std::thread::spawn(f);
        }))
    }

    /// Starts one.
    pub(crate) fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        (self.0)(Box::new(f));
    }
}
