//! Starts the runtimes of tests: one place that promises what
//! [`Builder::build`] has.

use std::io;

use bench_runtime::{Builder, Runtime};

pub(crate) trait Start {
    /// [`Builder::build`].
    fn start(self) -> io::Result<Runtime>;
}

impl Start for Builder {
    fn start(self) -> io::Result<Runtime> {
        // SAFETY: the bodies of tests park inside no thread-local's initialiser
        // or scope, and none that runs on a migrating runtime holds over a park
        // what belongs to a thread. A test that breaks the contract to show
        // what comes of it says so, and runs in a child process.
        unsafe { self.build() }
    }
}
