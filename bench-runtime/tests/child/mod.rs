//! Tests that run themselves again in a child process, which may end by a signal.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const CHILD: &str = "BENCH_RUNTIME_TEST_CHILD";
/// A child that takes longer counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The signal that ended a child, if any, and what the child wrote on stderr.
pub(crate) type End = (Option<i32>, String);

/// In the parent returns how the child ended. In the child runs `body` and exits.
#[track_caller]
pub(crate) fn in_child(test: &str, body: impl FnOnce()) -> Option<End> {
    in_child_with(test, &[], body)
}

/// As [`in_child`], with these variables in the child's environment.
///
/// Panics if the child hangs, or exits with another status than 0.
#[track_caller]
pub(crate) fn in_child_with(
    test: &str,
    variables: &[(&str, &str)],
    body: impl FnOnce(),
) -> Option<End> {
    if std::env::var_os(CHILD).is_some() {
        body();
        std::process::exit(0);
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = thread::spawn(reader(child.stdout.take().unwrap()));
    let stderr = thread::spawn(reader(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if begun.elapsed() < TIMEOUT => thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
        }
    };
    let stdout = stdout.join().unwrap();
    let stderr = stderr.join().unwrap();
    let Some(status) = status else {
        panic!("{test} hangs: {stdout}{stderr}");
    };
    assert!(
        stdout.contains("running 1 test"),
        "no test is called {test}: {stdout}"
    );
    let signal = status.signal();
    assert!(
        signal.is_some() || status.success(),
        "{test}, {status}: {stderr}"
    );
    Some((signal, stderr))
}

fn reader(mut pipe: impl Read) -> impl FnOnce() -> String {
    move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[track_caller]
pub(crate) fn must_end(end: Option<End>) {
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, None, "{stderr}");
    }
}
