//! Child processes: waiting for them, killing them, and reading from them.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bench_runtime::context::{Cancel, Context, ContextError};
use bench_runtime::process::{Child, Command, Ended, Stdio};
use bench_runtime::signal::Signal;
use bench_runtime::{Runtime, go, goroutines, yield_now};

use crate::sched_support::at_each;
use crate::start::Start;
use crate::support::{Way, everywhere, within_a_minute};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A child that ends when its stdin ends.
fn patient() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// The letter of a process's state in /proc; `None` if there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.chars().next()
}

fn with_deadline(ms: u64) -> Context {
    let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(ms));
    ctx
}

#[test]
fn statuses_and_output_are_those_of_the_child() {
    everywhere(|_: Way| {
        assert_eq!(sh("exit 3").status().unwrap().code(), Some(3));
        let status = sh("kill -9 $$").status().unwrap();
        assert_eq!((status.code(), status.signal()), (None, Some(9)));
        let output = sh("echo out; echo err >&2; exit 4").output().unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(4));
        let quiet = sh("cat; echo out").stdout(Stdio::null()).output().unwrap();
        assert!(quiet.status.success() && quiet.stdout.is_empty());
        let none = Command::new("/no/such/program").output().unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    });
}

/// More data than a pipe holds, on all three streams at the same time.
#[test]
fn large_streams_are_read_and_written_side_by_side() {
    everywhere(|way| {
        const LENGTH: usize = 1_000_000;
        let mut child = sh("tee /dev/stderr")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let text: Vec<u8> = (0..LENGTH).map(|n| (n % 251) as u8).collect();
        let mut stdin = child.stdin.take().unwrap();
        let theirs = text.clone();
        let writer = way.go(move || stdin.write_all(&theirs).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join();
        assert!(output.status.success());
        assert!(output.stdout == text && output.stderr == text);
    });
}

#[test]
fn a_wait_and_a_read_of_a_child_let_other_goroutines_run() {
    at_each(&[1, 2, 64], |_| {
        let waits = || goroutines().iter().filter(|g| g.state == "IO wait").count();
        let mut child = patient();
        let stdin = child.stdin.take();
        let waiter = go(move || child.wait().unwrap());
        let mut other = sh("read line; echo $line")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = other.stdout.take().unwrap();
        let reader = go(move || BufReader::new(stdout).lines().next().unwrap().unwrap());
        while waits() < 2 {
            yield_now();
        }
        other.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
        assert_eq!(reader.join().unwrap(), "hello");
        drop(stdin);
        assert!(waiter.join().unwrap().success());
        assert!(other.wait().unwrap().success());
    });
}

#[test]
fn a_wait_closes_stdin_and_returns_the_same_twice() {
    everywhere(|_: Way| {
        let mut child = patient();
        assert_eq!(child.try_wait().unwrap(), None);
        let status = child.wait().unwrap();
        assert!(status.success());
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        // Another process may have the child's number by now.
        child.kill().unwrap();
        child.signal(Signal::TERM).unwrap();
    });
}

#[test]
fn a_killed_child_ends_by_that_signal() {
    everywhere(|_: Way| {
        let mut child = patient();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        let mut child = patient();
        child.signal(Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    });
}

#[test]
fn the_end_of_its_context_kills_a_child_and_is_the_error() {
    everywhere(|way| {
        let late = Command::new("sleep")
            .arg("1000")
            .context(&with_deadline(20))
            .status();
        let late = late.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let ended = late.downcast::<Ended>().unwrap();
        assert_eq!(ended.why, ContextError::DeadlineExceeded);
        assert_eq!(ended.status.unwrap().signal(), Some(libc::SIGKILL));

        let (ctx, cancel) = Context::background().with_cancel();
        let mut child = Command::new("sleep")
            .arg("1000")
            .context(&ctx)
            .spawn()
            .unwrap();
        let waiter = way.go(move || {
            let error = child.wait().unwrap_err();
            (error, child.try_wait().unwrap().unwrap())
        });
        cancel.cancel();
        let (error, status) = waiter.join();
        assert_eq!(error.kind(), ErrorKind::Other);
        let why = error.downcast::<Ended>().unwrap().why;
        assert_eq!(why, ContextError::Cancelled);
        assert_eq!(status.signal(), Some(libc::SIGKILL), "it tells what it was");

        let never = sh("exit 0").context(&ctx).spawn().unwrap_err();
        assert_eq!(never.to_string(), "context cancelled (not started)");
        assert_eq!(never.downcast::<Ended>().unwrap().status, None);
    });
}

#[test]
fn a_child_that_ended_by_itself_keeps_its_status_when_its_context_ends() {
    everywhere(|_: Way| {
        let (ctx, cancel) = Context::background().with_cancel();
        let mut child = sh("exit 5").context(&ctx).spawn().unwrap();
        let pid = child.id();
        within_a_minute("the child", || state(pid) == Some('Z'));
        cancel.cancel();
        assert_eq!(child.wait().unwrap().code(), Some(5));
        let (ctx, _cancel) = Context::background().with_cancel();
        let status = sh("kill -9 $$").context(&ctx).status().unwrap();
        assert_eq!(status.signal(), Some(9));
    });
}

#[test]
fn processes_that_inherited_the_pipes_are_waited_for_until_the_context_ends() {
    everywhere(|_: Way| {
        let began = Instant::now();
        let mut command = sh("sleep 1000 & echo $!");
        // A group made by std, not by `own_group`, so the kill goes to the shell alone.
        command.as_std_mut().process_group(0);
        let mut child = command
            .context(&with_deadline(200))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let group = child.id();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        let late = child.wait_with_output().unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
        let ended = late.downcast::<Ended>().unwrap();
        assert_eq!(ended.status.unwrap().code(), Some(0));
        assert!(
            std::str::from_utf8(&ended.stdout)
                .unwrap()
                .trim()
                .parse::<u32>()
                .is_ok()
        );
        assert!(began.elapsed() < Duration::from_secs(100));
        // SAFETY: the group that was made above, in which `sleep` still is.
        let killed = unsafe { libc::killpg(group.cast_signed(), libc::SIGKILL) };
        assert_eq!(killed, 0);
        assert_eq!(reader.read_to_string(&mut line).unwrap(), 0);
    });
}

/// A child that has written `ready`, and the `Cancel` of its context.
fn ready(script: &str, set: fn(&mut Command) -> &mut Command) -> (Child, Cancel) {
    let (ctx, cancel) = Context::background().with_cancel();
    let mut command = sh(script);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    set(command.context(&ctx));
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, cancel)
}

fn ended(child: Child) -> Ended {
    let error = child.wait_with_output().unwrap_err();
    error.downcast::<Ended>().unwrap()
}

const LONG: Duration = Duration::from_secs(1000);
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn output_before_the_end_of_the_context_is_in_the_error() {
    everywhere(|_: Way| {
        let (child, cancel) = ready("echo some; echo ready >&2; exec sleep 1000", |c| c);
        cancel.cancel();
        let ended = ended(child);
        assert_eq!(ended.stdout, b"some\n");
        assert_eq!(ended.why, ContextError::Cancelled);
        assert_eq!(ended.status.unwrap().signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_child_is_signalled_and_killed_after_the_grace_period() {
    everywhere(|_: Way| {
        let obeys = "trap 'echo bye; exit 3' TERM; echo ready >&2; while :; do sleep 0.01; done";
        let (child, cancel) = ready(obeys, |c| c.grace(Signal::TERM, LONG));
        cancel.cancel();
        let ended_by_itself = ended(child);
        assert_eq!(ended_by_itself.stdout, b"bye\n");
        assert_eq!(ended_by_itself.status.unwrap().code(), Some(3));

        let ignores = "trap '' TERM; echo ready >&2; exec sleep 1000";
        let (child, cancel) = ready(ignores, |c| c.grace(Signal::TERM, SHORT));
        cancel.cancel();
        assert_eq!(ended(child).status.unwrap().signal(), Some(libc::SIGKILL));

        let (mut child, cancel) = ready(ignores, |c| c.grace(Signal::USR1, LONG));
        cancel.cancel();
        let error = child.wait().unwrap_err().downcast::<Ended>().unwrap();
        assert_eq!(error.status.unwrap().signal(), Some(libc::SIGUSR1));
    });
}

#[test]
fn signals_go_to_the_whole_group_of_a_child_that_has_its_own() {
    everywhere(|_: Way| {
        let gone = |pid: &[u8]| {
            let pid = std::str::from_utf8(pid).unwrap().trim().parse().unwrap();
            // Init reaps the process, because its parent has ended.
            within_a_minute("the end", || matches!(state(pid), None | Some('Z')));
        };
        let waits = "sleep 1000 & echo $!; echo ready >&2; wait";
        let (child, cancel) = ready(waits, Command::own_group);
        cancel.cancel();
        gone(&ended(child).stdout);

        let (child, _cancel) = ready(waits, Command::own_group);
        child.process().signal(Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGTERM));
        gone(&output.stdout);

        // The first process of the group ends by itself.
        let leaves = "sleep 1000 & echo $!; echo ready >&2; exit 0";
        let (child, cancel) = ready(leaves, Command::own_group);
        within_a_minute("the shell", || state(child.id()) == Some('Z'));
        cancel.cancel();
        let left = ended(child);
        assert!(left.status.unwrap().success());
        gone(&left.stdout);

        // One process ignores the signal that ends the first, and holds no pipe.
        let deaf = "(trap '' TERM; exec sleep 1000 >&- 2>&-) & echo $!; \
                    while kill -0 $! && ! grep -q sleep /proc/$!/comm; do :; done; \
                    echo ready >&2; wait";
        let (child, cancel) = ready(deaf, |c| c.own_group().grace(Signal::TERM, LONG));
        cancel.cancel();
        let left = ended(child);
        assert_eq!(left.status.unwrap().signal(), Some(libc::SIGTERM));
        gone(&left.stdout);
    });
}

#[test]
fn a_child_that_has_left_its_group_is_signalled() {
    everywhere(|_: Way| {
        let mut command = Command::new("sleep");
        command.arg("1000").own_group();
        let leave = || {
            // SAFETY: all take numbers alone.
            let left = unsafe { libc::setpgid(0, libc::getpgid(libc::getppid())) };
            (left == 0).then_some(()).ok_or_else(Error::last_os_error)
        };
        // SAFETY: it makes system calls alone.
        unsafe { command.as_std_mut().pre_exec(leave) };
        let mut child = command.spawn().unwrap();
        child.process().signal(Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        child.process().kill().unwrap();
    });
}

#[test]
fn a_child_is_signalled_while_another_goroutine_waits_for_it() {
    everywhere(|way| {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = child.process();
        assert_eq!(process.id(), child.id());
        let waiter = way.go(move || child.wait().unwrap());
        way.let_others_run();
        process.signal(Signal::TERM).unwrap();
        assert_eq!(waiter.join().signal(), Some(libc::SIGTERM));
        process.kill().unwrap();
    });
}

#[test]
fn a_stop_is_no_end_and_a_stopped_child_is_killed_by_its_context() {
    everywhere(|way| {
        let (ctx, cancel) = Context::background().with_cancel();
        let mut child = Command::new("sleep")
            .arg("1000")
            .context(&ctx)
            .spawn()
            .unwrap();
        let pid = child.id();
        child.signal(Signal::STOP).unwrap();
        within_a_minute("the stop", || state(pid) == Some('T'));
        assert_eq!(child.try_wait().unwrap(), None);
        let waiter = way.go(move || child.wait());
        way.let_others_run();
        cancel.cancel();
        assert!(waiter.join().is_err());
        assert_eq!(state(pid), None, "it is collected");
    });
}

#[test]
fn two_hundred_children_at_once_each_have_their_own_end() {
    at_each(&[1, 2, 64], |_| {
        let children: Vec<_> = (0..200)
            .map(|n: i32| {
                go(move || {
                    let script = format!("echo {n}; exit {}", n % 100);
                    let output = sh(&script).output().unwrap();
                    let killed = n % 10 == 0;
                    if killed {
                        let mut child = patient();
                        child.kill().unwrap();
                        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
                    }
                    (
                        output.status.code(),
                        String::from_utf8(output.stdout).unwrap(),
                    )
                })
            })
            .collect();
        for (n, child) in children.into_iter().enumerate() {
            let n = i32::try_from(n).unwrap();
            assert_eq!(child.join().unwrap(), (Some(n % 100), format!("{n}\n")));
        }
    });
}

#[test]
fn dropped_children_live_on_and_leave_no_zombies() {
    everywhere(|_: Way| {
        let mut child = sh("read line; echo $line")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let pid = child.id();
        drop(child);
        stdin.unwrap().write_all(b"alive\n").unwrap();
        let mut line = String::new();
        stdout.unwrap().read_to_string(&mut line).unwrap();
        assert_eq!(line, "alive\n");

        let mut gone: Vec<u32> = (0..20)
            .map(|_| sh("exit 0").spawn().unwrap().id())
            .collect();
        gone.push(pid);
        within_a_minute("the zombies", || {
            sh("exit 0").status().unwrap();
            gone.iter().all(|pid| state(*pid) != Some('Z'))
        });
    });
}

#[test]
fn a_dropped_child_is_still_killed_by_its_context() {
    everywhere(|_: Way| {
        let (ctx, cancel) = Context::background().with_cancel();
        let mut child = Command::new("cat")
            .context(&ctx)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (_stdin, mut stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        drop(child);
        cancel.cancel();
        let mut rest = Vec::new();
        assert_eq!(stdout.read_to_end(&mut rest).unwrap(), 0);
    });
}

#[test]
fn children_are_killed_by_their_contexts_after_the_runtime_that_started_them_has_stopped() {
    let runtime = Runtime::builder().start().unwrap();
    let (child, cancel) = runtime.run(|| ready("echo ready >&2; exec sleep 1000", |c| c));
    drop(runtime);
    cancel.cancel();
    let killed = ended(child).status.unwrap();
    assert_eq!(killed.signal(), Some(libc::SIGKILL));

    // The runtime stops within the grace period.
    let runtime = Runtime::builder().start().unwrap();
    let child = runtime.run(|| {
        let asked = "trap 'echo asked' TERM; echo ready >&2; while :; do sleep 0.01; done";
        let (mut child, cancel) = ready(asked, |c| c.grace(Signal::TERM, 10 * SHORT));
        cancel.cancel();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "asked\n");
        child
    });
    drop(runtime);
    let killed = ended(child).status.unwrap();
    assert_eq!(killed.signal(), Some(libc::SIGKILL));
}
