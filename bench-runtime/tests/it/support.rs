//! Runs a test's body on plain threads, and on goroutines, pinned and migrating, at several numbers
//! of processors; a body that hangs fails.

use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::start::Start;
use bench_runtime::{GoroutineInfo, JoinError, JoinHandle, Runtime};

const TIMEOUT: Duration = Duration::from_secs(match () {
    () if cfg!(miri) => 1_200,
    () if cfg!(any(rt_tsan, rt_asan)) => 300,
    () => 60,
});

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Threads,
    Pinned(usize),
    Migrating(usize),
}

pub(crate) enum Task<T> {
    Thread(std::thread::JoinHandle<T>),
    Goroutine(JoinHandle<T>),
}

impl Way {
    /// Miri supports only the stacks of threads.
    const ALL: &[Self] = if cfg!(miri) {
        &[Self::Threads]
    } else {
        &[
            Self::Threads,
            Self::Pinned(1),
            Self::Pinned(2),
            Self::Pinned(8),
            Self::Migrating(1),
            Self::Migrating(2),
            Self::Migrating(8),
        ]
    };

    pub(crate) fn go<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        match self {
            Self::Threads => Task::Thread(std::thread::spawn(f)),
            _ => Task::Goroutine(bench_runtime::go(f)),
        }
    }

    pub(crate) fn yield_now(self) {
        bench_runtime::yield_now();
    }

    /// Yields many times, for tests that an event does *not* happen.
    pub(crate) fn let_others_run(self) {
        for _ in 0..200 {
            self.yield_now();
        }
    }

    pub(crate) fn until(self, mut holds: impl FnMut() -> bool) {
        while !holds() {
            self.yield_now();
        }
    }

    /// Plain threads get the lower count.
    pub(crate) fn count(self, threads: usize, goroutines: usize) -> usize {
        match self {
            Self::Threads => threads,
            _ => goroutines,
        }
    }

    fn runtime(self) -> Option<Arc<Runtime>> {
        let builder = match self {
            Self::Threads => return None,
            Self::Pinned(procs) => Runtime::builder().procs(procs),
            Self::Migrating(procs) => Runtime::builder().procs(procs).migrating(),
        };
        Some(Arc::new(builder.start().expect("a runtime starts")))
    }
}

impl<T> Task<T> {
    /// Returns the task's result, or raises its panic.
    pub(crate) fn join(self) -> T {
        match self.try_join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    pub(crate) fn try_join(self) -> Result<T, Box<dyn Any + Send>> {
        match self {
            Self::Thread(handle) => handle.join(),
            Self::Goroutine(handle) => handle.join().map_err(|error| match error {
                JoinError::Panicked(payload) => payload.into_inner(),
                other => Box::new(other.to_string()),
            }),
        }
    }
}

pub(crate) fn everywhere(body: fn(Way)) {
    for &way in Way::ALL {
        let (done, is_done) = mpsc::channel();
        let runtime = way.runtime();
        let theirs = runtime.clone();
        let runner = std::thread::spawn(move || {
            match theirs {
                Some(runtime) => runtime.run(move || body(way)),
                None => body(way),
            }
            let _ = done.send(());
        });
        match is_done.recv_timeout(TIMEOUT) {
            Err(mpsc::RecvTimeoutError::Timeout) => panic!(
                "hangs on {way:?}\n{}",
                runtime.map_or_else(String::new, |runtime| runtime.debug_state())
            ),
            _ => {
                if let Err(panic) = runner.join() {
                    eprintln!("fails on {way:?}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// Waits until `holds()`, on a plain thread. The panic message names `what`.
pub(crate) fn within_a_minute(what: &str, mut holds: impl FnMut() -> bool) {
    until_ok(what, || holds().then_some(()).ok_or("it does not hold"));
}

/// Waits until `check()` is `Ok`, on a plain thread. The panic message has the last error.
fn until_ok<E: Debug>(what: &str, mut check: impl FnMut() -> Result<(), E>) {
    let begun = std::time::Instant::now();
    while let Err(error) = check() {
        assert!(
            begun.elapsed() < TIMEOUT,
            "{what} does not come to rest: {error:#?}"
        );
        std::thread::yield_now();
    }
}

/// Waits until the goroutines of `expected` (names and wait reasons) wait, and no other is left.
pub(crate) fn until_only_these_are_left(what: &str, runtime: &Runtime, expected: &[(&str, &str)]) {
    // A check that each goroutine waits would not be enough. They are read one after the other, so
    // a goroutine that was read as waiting may run again before the next is read.
    let is_expected = |info: &GoroutineInfo| {
        let name = info.name.as_deref().unwrap_or("?");
        info.waits && expected.contains(&(name, info.state.as_str()))
    };
    until_ok(what, || {
        let all = runtime.goroutines();
        // The list may miss a goroutine that started while it was made. The count does not.
        let count = runtime.metrics().goroutines_count;
        let are_as_many = count == expected.len() && all.len() == count;
        match are_as_many && all.iter().all(is_expected) {
            true => Ok(()),
            false => Err((count, expected, all)),
        }
    });
}
