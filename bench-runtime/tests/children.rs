//! Children and signals in a process with unusual settings: each test runs in a separate process.

mod child;
mod start;

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use bench_runtime::process::{Command, Stdio};
use bench_runtime::signal::{self, Signal};
use bench_runtime::{Builder, Runtime, goroutines, yield_now};
use child::{in_child, must_end};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use start::Start;

fn on_each(body: fn()) {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        Builder::procs(builder, 1).start().unwrap().run(body);
    }
}

fn take_all() -> Vec<File> {
    let mut held = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return held;
            }
        }
    }
}

#[test]
fn without_descriptors_no_child_starts_and_one_that_runs_is_waited_for() {
    let name = "without_descriptors_no_child_starts_and_one_that_runs_is_waited_for";
    let end = in_child(name, || {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most.min(100), most).unwrap();
        on_each(|| {
            let mut cat = Command::new("cat");
            cat.stdin(Stdio::piped()).stdout(Stdio::null());
            let mut child = cat.spawn().unwrap();
            let stdin = child.stdin.take().unwrap();
            let held = take_all();
            let none = cat.spawn().unwrap_err();
            assert_eq!(none.raw_os_error(), Some(libc::EMFILE));
            let waiter = bench_runtime::go(move || child.wait());
            while !goroutines().iter().any(|g| g.state == "blocking call") {
                yield_now();
            }
            drop(stdin);
            assert!(waiter.join().unwrap().unwrap().success());
            drop(held);
            assert!(Command::new("true").status().unwrap().success());
        });
    });
    must_end(end);
}

/// The kernel reaps the children of such a process, and a wait fails, as in std.
#[test]
fn a_wait_fails_in_a_process_that_ignores_its_children() {
    let name = "a_wait_fails_in_a_process_that_ignores_its_children";
    let end = in_child(name, || {
        // SAFETY: sets no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        on_each(|| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            assert_eq!(child.try_wait().unwrap(), None);
            let error = child.wait().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
        });
    });
    must_end(end);
}

#[test]
fn signals_that_all_threads_block_are_heard() {
    let name = "signals_that_all_threads_block_are_heard";
    let end = in_child(name, || {
        let all = nix::sys::signal::SigSet::all();
        all.thread_block().unwrap();
        on_each(|| {
            let signals = signal::notify(&[Signal::TERM, Signal::HUP]).unwrap();
            let script = "kill -TERM $PPID; kill -HUP $PPID";
            let sent = Command::new("sh").args(["-c", script]).status();
            assert!(sent.unwrap().success());
            let mut got = [signals.recv(), signals.recv()];
            got.sort();
            assert_eq!(got, [Some(Signal::HUP), Some(Signal::TERM)]);
        });
    });
    must_end(end);
}

#[test]
fn a_dump_at_sigquit_and_a_channel_both_get_it() {
    let name = "a_dump_at_sigquit_and_a_channel_both_get_it";
    let end = in_child(name, || {
        let builder = Runtime::builder().procs(1).dumps_on_quit(true);
        let runtime = builder.start().unwrap();
        runtime.run(|| {
            let signals = signal::notify(&[Signal::QUIT]).unwrap();
            nix::sys::signal::raise(nix::sys::signal::SIGQUIT).unwrap();
            assert_eq!(signals.recv(), Some(Signal::QUIT));
            drop(signals);
            nix::sys::signal::raise(nix::sys::signal::SIGQUIT).unwrap();
            bench_runtime::time::sleep(Duration::from_millis(1500));
        });
    });
    let Some((signal, stderr)) = end else { return };
    assert_eq!(signal, None, "{stderr}");
    let dumps = stderr.matches("SIGQUIT: all goroutines").count();
    assert_eq!(dumps, 2, "{stderr}");
}

fn raise() {
    // SAFETY: sends a signal.
    unsafe { libc::raise(libc::SIGTERM) };
}

#[test]
fn a_forked_copy_dies_of_what_its_parent_listens_to_or_listens_itself() {
    let name = "a_forked_copy_dies_of_what_its_parent_listens_to_or_listens_itself";
    let end = in_child(name, || {
        let signals = signal::notify(&[Signal::TERM]).unwrap();
        let fork = |body: fn() -> i32| {
            // SAFETY: the copy calls little, and leaves.
            match unsafe { libc::fork() } {
                0 => {
                    let status = body();
                    // SAFETY: ends the copy at once.
                    unsafe { libc::_exit(status) }
                }
                pid => {
                    let mut status = 0;
                    // SAFETY: the child that was just made.
                    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                    status
                }
            }
        };
        let status = fork(|| {
            raise();
            0
        });
        assert_eq!(libc::WTERMSIG(status), libc::SIGTERM);
        let status = fork(|| {
            let own = signal::notify(&[Signal::TERM]).unwrap();
            raise();
            i32::from(own.recv() == Some(Signal::TERM))
        });
        assert_eq!(
            (libc::WIFEXITED(status), libc::WEXITSTATUS(status)),
            (true, 1)
        );
        assert!(signals.is_empty());
        raise();
        assert_eq!(signals.recv(), Some(Signal::TERM));
        std::io::stderr().write_all(b"whole\n").unwrap();
    });
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, None, "{stderr}");
        assert!(stderr.ends_with("whole\n"), "{stderr}");
    }
}
