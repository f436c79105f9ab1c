//! Runs each body pinned and migrating, at several numbers of processors; no body may hang.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::start::Start;
use bench_runtime::{Builder, Runtime};

const TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) procs: usize,
    pub(crate) migrating: bool,
}

impl Setting {
    pub(crate) fn builder(self) -> Builder {
        let builder = Runtime::builder().procs(self.procs);
        if self.migrating {
            builder.migrating()
        } else {
            builder
        }
    }
}

/// Runs `body` at each number of processors, pinned and migrating. At the end no goroutine may be
/// left.
pub(crate) fn at_each(procs: &[usize], body: fn(Setting)) {
    for &procs in procs {
        for migrating in [false, true] {
            within_timeout(Setting { procs, migrating }, body);
        }
    }
}

/// As [`at_each`], in one setting.
pub(crate) fn within_timeout(setting: Setting, body: fn(Setting)) {
    let runtime = Arc::new(setting.builder().start().expect("a runtime starts"));
    let (done, is_done) = mpsc::channel();
    let runner = std::thread::spawn({
        let runtime = runtime.clone();
        move || {
            runtime.run(move || body(setting));
            drop(runtime);
            let _ = done.send(());
        }
    });
    if is_done.recv_timeout(TIMEOUT) == Err(RecvTimeoutError::Timeout) {
        panic!("hangs at {setting:?}\n{}", runtime.debug_state());
    }
    if let Err(panic) = runner.join() {
        eprintln!("fails at {setting:?}");
        std::panic::resume_unwind(panic);
    }
    let left = Arc::into_inner(runtime)
        .expect("the runner let go")
        .shutdown();
    assert_eq!(left.unfinished_count, 0, "goroutines left at {setting:?}");
    assert_eq!(left.threads_count, 0, "threads left at {setting:?}");
}
