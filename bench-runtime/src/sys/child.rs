//! For tests: runs the same test in a child process, which may crash.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

const NAME: &str = "BENCH_RUNTIME_TEST_CHILD";

/// The environment variable that names an emulator for the test binary, if this machine cannot
/// run it.
const RUNNER: &str = "BENCH_RUNTIME_TEST_RUNNER";

fn command(exe: PathBuf) -> Command {
    let runner = std::env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace();
    match words.next() {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.args(words).arg(exe);
            command
        }
        None => Command::new(exe),
    }
}

/// Runs `body` in a child process: this test binary again, with only `test`, given by its full
/// path. `part` distinguishes several children of one test. In the parent, returns how the child
/// ended and its output; in the child of another part, `None`.
fn run(test: &str, part: &str, body: impl FnOnce()) -> Option<(ExitStatus, String)> {
    if let Ok(mine) = std::env::var(NAME) {
        if mine == part {
            body();
            std::process::exit(0);
        }
        return None;
    }
    let child = std::env::current_exe().and_then(|exe| {
        command(exe)
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(NAME, part)
            .output()
    });
    match child {
        Ok(output) => {
            // A child that finds no test of this name succeeds.
            let stdout = String::from_utf8_lossy(&output.stdout);
            assert!(
                stdout.contains("running 1 test"),
                "no test is called {test}: {stdout}"
            );
            Some((
                output.status,
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ))
        }
        Err(error) => panic!("cannot start the child of {test}: {error}"),
    }
}

/// The child must be killed by `signal`. In the parent, returns its output.
pub(crate) fn expect_signal(
    test: &str,
    part: &str,
    signal: i32,
    body: impl FnOnce(),
) -> Option<String> {
    let (status, stderr) = run(test, part, body)?;
    assert_eq!(status.signal(), Some(signal), "{status}: {stderr}");
    Some(stderr)
}

pub(crate) fn expect_success(test: &str, part: &str, body: impl FnOnce()) {
    if let Some((status, stderr)) = run(test, part, body) {
        assert!(status.success(), "{status}: {stderr}");
    }
}
