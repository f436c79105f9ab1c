//! For tests: the same test again, in a child process that may die.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

const NAME: &str = "BENCH_RUNTIME_TEST_CHILD";

/// Runs `body` in a child that is this test binary running only `test`, its
/// full path, again; `part` tells several children of one test apart. In the
/// parent, gives how the child ended and what it wrote.
fn run(test: &str, part: &str, body: impl FnOnce()) -> (ExitStatus, String) {
    if let Ok(mine) = std::env::var(NAME) {
        if mine == part {
            body();
            // Not back into the harness: the child is one body and no more.
            std::process::exit(0);
        }
        return (ExitStatus::from_raw(0), String::new());
    }
    let child = std::env::current_exe().and_then(|exe| {
        Command::new(exe)
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(NAME, part)
            .output()
    });
    match child {
        Ok(output) => (
            output.status,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ),
        Err(error) => panic!("cannot start the child of {test}: {error}"),
    }
}

fn in_child() -> bool {
    std::env::var_os(NAME).is_some()
}

/// The child must die of `signal`.
pub(crate) fn expect_signal(test: &str, part: &str, signal: i32, body: impl FnOnce()) {
    let (status, stderr) = run(test, part, body);
    if !in_child() {
        assert_eq!(status.signal(), Some(signal), "{status}: {stderr}");
    }
}

/// The child must come to the end of `body`.
pub(crate) fn expect_success(test: &str, part: &str, body: impl FnOnce()) {
    let (status, stderr) = run(test, part, body);
    if !in_child() {
        assert!(status.success(), "{status}: {stderr}");
    }
}
