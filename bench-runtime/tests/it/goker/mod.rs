//! The bugs that GoKer collects from Go programs. The leak report must list the goroutines that
//! block for ever, with their names and wait reasons. The same program without its bug must leave
//! no goroutine.
//!
//! The names are GoKer's: a project and the number of its bug. In Go a bug appears by chance. Here
//! channels and [`poll_until_parked`] force the order of events.
//!
//! # What is different in Rust
//!
//! A guard unlocks when it is dropped, so a forgotten unlock is here a guard passed to [`forget`].
//! A channel closes when the last handle of a side is dropped. In Go it does not, so [`channel`]
//! keeps a handle of each side.
//!
//! Source: Yuan and others, "GoBench: a benchmark suite of real-world Go
//! concurrency bugs", CGO 2021.

mod cockroach;

mod etcd;
mod grpc;
mod kubernetes;
mod moby;
mod others;

use std::mem::forget;

use bench_runtime::{GoBuilder, Receiver, Runtime, Sender, chan, goroutines, yield_now};

use crate::start::Start;
use crate::support;

const RECV: &str = "chan receive";
const SEND: &str = "chan send";
const SELECT: &str = "select";
const LOCK: &str = "sync.Mutex.lock";
const READ: &str = "sync.RwMutex.read";
const WRITE: &str = "sync.RwMutex.write";
const COND: &str = "sync.Cond.wait";
const GROUP: &str = "sync.WaitGroup.wait";

/// A program with a bug. With `mended`, `run` runs it without the bug.
struct Program {
    name: &'static str,
    run: fn(mended: bool),
    /// The name and the wait reason of each goroutine that is left, sorted by name.
    leaks: &'static [(&'static str, &'static str)],
}

fn start<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) {
    drop(GoBuilder::new().name(name).go(f).expect("it starts"));
}

/// A channel that no drop closes.
fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = chan(capacity);
    forget((tx.clone(), rx.clone()));
    (tx, rx)
}

fn poll_until_parked(name: &str, state: &str) {
    let is_parked = || {
        goroutines()
            .iter()
            .any(|info| info.name.as_deref() == Some(name) && info.state == state)
    };
    while !is_parked() {
        yield_now();
    }
}

fn unfinished_after(runtime: Runtime, program: &Program, mended: bool) -> Vec<(String, String)> {
    let run = program.run;
    runtime.run(move || run(mended));
    let expected = if mended { &[] } else { program.leaks };
    support::until_only_these_are_left(program.name, &runtime, expected);
    let left = runtime.shutdown();
    assert_eq!(left.unfinished_count, left.unfinished.len());
    let mut found: Vec<_> = left
        .unfinished
        .into_iter()
        .map(|info| {
            let site = info.spawned_at.as_deref().unwrap_or("");
            assert!(site.contains("goker"), "{info}");
            (info.name.unwrap_or_default(), info.state)
        })
        .collect();
    found.sort();
    found
}

fn check(programs: &[Program]) {
    for procs in [1, 2, 8] {
        for migrating in [false, true] {
            for program in programs {
                for mended in [false, true] {
                    let builder = Runtime::builder().procs(procs).detects_deadlock(false);
                    let builder = match migrating {
                        false => builder,
                        true => builder.migrating(),
                    };
                    let found =
                        unfinished_after(builder.start().expect("a runtime"), program, mended);
                    let expected = if mended { &[] } else { program.leaks };
                    let expected: Vec<_> = expected
                        .iter()
                        .map(|&(name, state)| (name.to_owned(), state.to_owned()))
                        .collect();
                    assert_eq!(
                        found, expected,
                        "{} (mended: {mended}) at P = {procs}, migrating: {migrating}",
                        program.name
                    );
                }
            }
        }
    }
}

#[test]
fn bugs_of_cockroach_are_reported_and_their_mended_programs_are_not() {
    check(cockroach::PROGRAMS);
}

#[test]
fn bugs_of_etcd_are_reported_and_their_mended_programs_are_not() {
    check(etcd::PROGRAMS);
}

#[test]
fn bugs_of_grpc_are_reported_and_their_mended_programs_are_not() {
    check(grpc::PROGRAMS);
}

#[test]
fn bugs_of_kubernetes_are_reported_and_their_mended_programs_are_not() {
    check(kubernetes::PROGRAMS);
}

#[test]
fn bugs_of_moby_are_reported_and_their_mended_programs_are_not() {
    check(moby::PROGRAMS);
}

#[test]
fn bugs_of_hugo_istio_serving_and_syncthing_are_reported_and_their_mended_programs_are_not() {
    check(others::PROGRAMS);
}
