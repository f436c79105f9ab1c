//! Runs a test's body once on plain threads and once at each number of
//! processors on goroutines; a body that hangs fails.

use std::sync::mpsc;
use std::time::Duration;

/// Longer than any body takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who runs the tasks of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Threads,
}

/// A task of a body.
pub(crate) enum Task<T> {
    Thread(std::thread::JoinHandle<T>),
}

impl Way {
    /// All of them.
    const ALL: [Self; 1] = [Self::Threads];

    /// Starts a task.
    pub(crate) fn go<T: Send + 'static>(self, f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        match self {
            Self::Threads => Task::Thread(std::thread::spawn(f)),
        }
    }

    /// Lets other tasks run.
    pub(crate) fn yield_now(self) {
        match self {
            Self::Threads => std::thread::yield_now(),
        }
    }

    /// Lets other tasks run for so long that what they can do is done, most
    /// likely: for showing that something does *not* happen.
    pub(crate) fn let_others_run(self) {
        for _ in 0..200 {
            self.yield_now();
        }
    }

    /// Waits until something holds.
    pub(crate) fn until(self, mut holds: impl FnMut() -> bool) {
        while !holds() {
            self.yield_now();
        }
    }

    /// A count for a body that would need too many threads.
    pub(crate) fn count(self, threads: usize, _goroutines: usize) -> usize {
        match self {
            Self::Threads => threads,
        }
    }

    fn run(self, body: impl FnOnce() + Send + 'static) {
        match self {
            Self::Threads => body(),
        }
    }
}

impl<T> Task<T> {
    /// Waits for the task; its panic goes on here.
    pub(crate) fn join(self) -> T {
        match self.try_join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Waits for the task; says what it panicked with.
    pub(crate) fn try_join(self) -> Result<T, Box<dyn std::any::Any + Send>> {
        match self {
            Self::Thread(handle) => handle.join(),
        }
    }
}

/// Runs `body` in each [`Way`].
pub(crate) fn everywhere(body: fn(Way)) {
    for way in Way::ALL {
        let (done, ended) = mpsc::channel();
        let runner = std::thread::spawn(move || {
            way.run(move || body(way));
            let _ = done.send(());
        });
        match ended.recv_timeout(PATIENCE) {
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs on {way:?}"),
            _ => {
                if let Err(panic) = runner.join() {
                    eprintln!("fails on {way:?}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
