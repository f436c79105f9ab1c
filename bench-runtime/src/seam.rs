//! What `time` and `net` need of the scheduler beyond parking: one place, so
//! that they need not know how a runtime is made.

use std::io;
use std::sync::Arc;

use crate::netpoll::Netpoll;
use crate::sched::{self, current};

/// The poller for the goroutine that calls; none for a plain thread, which
/// waits for a descriptor by itself.
#[inline]
pub(crate) fn netpoll() -> Option<io::Result<&'static Netpoll>> {
    current::header().map(|header| current::machine_of(header).netpoll())
}

/// Runs what may block the thread, letting other goroutines go on.
#[inline]
pub(crate) fn blocking<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    sched::blocking::blocking(f)
}

/// Starts goroutines where the caller could, also from where it could not:
/// from a timer's call, which runs outside every goroutine.
#[derive(Clone)]
pub(crate) struct Spawner(Arc<Spawn>);

type Spawn = dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync;

impl Spawner {
    /// That of the caller: goroutines of its runtime, or threads for a plain
    /// thread.
    pub(crate) fn current() -> Self {
        Self::of_runtime().unwrap_or_else(|| Self(Arc::new(|f| drop(std::thread::spawn(f)))))
    }

    /// That of the caller's runtime; `None` for a plain thread.
    pub(crate) fn of_runtime() -> Option<Self> {
        let user = sched::runtime()?.user();
        Some(Self(Arc::new(move |f| {
            drop(sched::spawn::from_outside(user.shared(), f));
        })))
    }

    /// Starts one.
    pub(crate) fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        (self.0)(Box::new(f));
    }
}
