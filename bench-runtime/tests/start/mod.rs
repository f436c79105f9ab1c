//! Starts the runtimes of tests: the one place with the `unsafe` call of [`Builder::build`].

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
        // a value that belongs to a thread. A test that breaks the contract on
        // purpose documents that, and runs in a child process.
        unsafe { self.build() }
    }
}
