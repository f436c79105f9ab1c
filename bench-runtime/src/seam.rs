//! The functions of the runtime and the scheduler that `net`, `fs`, `io`, `process`, `time`,
//! `context` and `sync` use, except for parking.

use std::io;
use std::sync::Arc;

use crate::fatal::fatal;
use crate::netpoll::Netpoll;
use crate::runtime::{self, spawn};
use crate::sched::shared::User;
use crate::sched::{self, current};
use crate::threads::start_thread;

/// The poller for the calling goroutine; none for a plain thread.
#[inline]
pub(crate) fn netpoll() -> Option<io::Result<&'static Netpoll>> {
    current::header().map(|header| sched::netpoll(current::machine_of(header)))
}

#[inline]
pub(crate) fn blocking<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    runtime::blocking::blocking(f)
}

#[derive(Clone)]
pub(crate) enum Spawner {
    Runtime(Arc<User>),
    /// Starts threads: the caller was on a plain thread, or its runtime has stopped.
    Thread,
}

impl Spawner {
    pub(crate) fn current() -> Self {
        sched::runtime().map_or(Self::Thread, |shared| {
            Self::Runtime(Arc::new(shared.user()))
        })
    }

    /// Starts a goroutine or thread that runs `f`. If the runtime has stopped, drops `f`. Ends the
    /// process if a thread is needed and cannot be started.
    pub(crate) fn spawn(&self, f: impl FnOnce() + Send + 'static) {
        if let Err(error) = self.try_spawn(f) {
            no_thread(&error);
        }
    }

    /// As [`Self::spawn`], but `f` always runs: in a thread, if the runtime has stopped, or stops
    /// before `f` begins.
    pub(crate) fn call(&self, f: impl FnOnce() + Send + 'static) {
        match self {
            Self::Runtime(_) => self.spawn(also_if_dropped(f)),
            Self::Thread => self.spawn(f),
        }
    }

    /// Drops `value` in a new goroutine or thread; on the calling thread if none can be started.
    pub(crate) fn drop_apart(&self, value: impl Send + 'static) {
        let _ = self.try_spawn(move || drop(value));
    }

    /// As [`Self::spawn`].
    ///
    /// # Errors
    ///
    /// If a thread is needed and cannot be started; `f` is dropped then.
    pub(crate) fn try_spawn(&self, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
        match self {
            Self::Runtime(user) => drop(spawn::from_any_thread(user.shared(), f)),
            Self::Thread => start_thread("after", f)?,
        }
        Ok(())
    }

    /// As [`Self::call`], for a timer that fires. `f` always gets a goroutine or thread of its
    /// own, because the program's code must not run on the stack of the thread that polls timers.
    pub(crate) fn call_by_timer(&self, f: impl FnOnce() + Send + 'static) {
        match self {
            Self::Runtime(user) => sched::newproc::by_timer(user.shared(), also_if_dropped(f)),
            Self::Thread => self.spawn(f),
        }
    }
}

/// If the closure is dropped before it has run, a thread runs `f`.
fn also_if_dropped(f: impl FnOnce() + Send + 'static) -> impl FnOnce() + Send + 'static {
    struct AlsoIfDropped<F: FnOnce() + Send + 'static>(Option<F>);
    impl<F: FnOnce() + Send + 'static> AlsoIfDropped<F> {
        fn run(mut self) {
            if let Some(f) = self.0.take() {
                f();
            }
        }
    }
    impl<F: FnOnce() + Send + 'static> Drop for AlsoIfDropped<F> {
        fn drop(&mut self) {
            if let Some(f) = self.0.take() {
                Spawner::Thread.spawn(f);
            }
        }
    }
    let f = AlsoIfDropped(Some(f));
    move || f.run()
}

/// Ends the process. A caller that ends a context or fires a timer cannot return the error, and a
/// panic would unwind into the wrong code.
#[cold]
fn no_thread(error: &io::Error) -> ! {
    fatal!("{error}; a function is to be called in one, for a context or a timer");
}
