//! The child of a fork: the calls into the runtime that it may make, and the message at other
//! calls.

mod child;
mod start;

use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use bench_runtime::net::UnixStream;
use bench_runtime::{Builder, Runtime, blocking, chan, go, time};
use child::{End, in_child};
use start::Start;

fn both_modes() -> [Builder; 2] {
    [1, 2].map(|procs| match procs {
        1 => Runtime::builder().procs(procs),
        _ => Runtime::builder().procs(procs).migrating(),
    })
}

/// Runs `body` in a child. Returns the child's exit status, or the negated number of the signal
/// that ended the child.
fn forked(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: no lock is held that the child needs; it leaves at once.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(body()),
            child => status_of(child),
        }
    }
}

fn status_of(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    match libc::WIFEXITED(status) {
        true => libc::WEXITSTATUS(status),
        false => -libc::WTERMSIG(status),
    }
}

fn must_say(end: Option<End>, text: &str) {
    let Some((signal, stderr)) = end else { return };
    assert_eq!(signal, None, "{stderr}");
    assert!(stderr.contains(text), "no {text:?} in:\n{stderr}");
}

#[test]
fn goroutine_that_goes_on_in_a_child_ends_it_and_harms_no_parent() {
    let test = "goroutine_that_goes_on_in_a_child_ends_it_and_harms_no_parent";
    let end = in_child(test, || {
        for builder in both_modes() {
            builder.start().unwrap().run(|| {
                let (near, far) = UnixStream::pair().unwrap();
                let near = Arc::new(near);
                let reader = go({
                    let near = near.clone();
                    move || (&*near).read(&mut [0; 8]).unwrap()
                });
                time::sleep(Duration::from_millis(10));
                let parks = forked(|| {
                    bench_runtime::yield_now();
                    time::sleep(Duration::from_millis(1));
                    0
                });
                assert_eq!(parks, -libc::SIGABRT);
                let drops = forked(move || {
                    // SAFETY: the reader's reference; the reader does not run here.
                    unsafe { Arc::decrement_strong_count(Arc::as_ptr(&near)) };
                    drop(near);
                    3
                });
                assert_eq!(drops, 3);
                let (to, _from) = chan::<u8>(1);
                assert_eq!(forked(move || to.send(1).map_or(1, |()| 4)), 4);
                (&far).write_all(b"parent").unwrap();
                assert_eq!(reader.join().unwrap(), 6);
            });
        }
    });
    must_say(end, "a goroutine went on in the child of a fork");
}

#[test]
fn blocking_call_that_comes_back_in_a_child_ends_it() {
    let test = "blocking_call_that_comes_back_in_a_child_ends_it";
    let end = in_child(test, || {
        for builder in both_modes() {
            builder.start().unwrap().run(|| {
                // SAFETY: the child only reaches the end of the call.
                let child = blocking(|| unsafe { libc::fork() });
                assert_eq!(status_of(child), -libc::SIGABRT);
            });
        }
    });
    must_say(end, "in the child of a fork");
}

#[test]
fn waker_that_comes_back_in_a_child_ends_it() {
    struct Forks(std::sync::mpsc::Sender<i32>);
    impl Wake for Forks {
        fn wake(self: Arc<Self>) {
            // SAFETY: the child only reaches the end of the wake.
            match unsafe { libc::fork() } {
                0 => {}
                child => self.0.send(status_of(child)).unwrap(),
            }
        }
    }
    let test = "waker_that_comes_back_in_a_child_ends_it";
    let end = in_child(test, || {
        let (told, child) = std::sync::mpsc::channel();
        let waker = Waker::from(Arc::new(Forks(told)));
        let tick = time::after(Duration::from_millis(1));
        let mut tick = pin!(tick.recv_async());
        assert!(
            tick.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let child = child.recv_timeout(Duration::from_secs(60));
        assert_eq!(child, Ok(-libc::SIGABRT));
    });
    must_say(end, "a waker came back in the child of a fork");
}

#[test]
fn runtime_of_the_parent_starts_nothing_in_a_child_and_ends_at_once() {
    let test = "runtime_of_the_parent_starts_nothing_in_a_child_and_ends_at_once";
    let end = in_child(test, || {
        for builder in both_modes() {
            let runtime = builder.start().unwrap();
            runtime.run(|| ());
            let runs = || catch_unwind(AssertUnwindSafe(|| runtime.run(|| ()))).is_err();
            assert_eq!(forked(|| i32::from(runs())), 1);
            let builds = || Runtime::builder().start().is_ok();
            assert_eq!(forked(|| i32::from(builds())), 0);
            let copy = std::mem::ManuallyDrop::new(runtime);
            // SAFETY: the parent drops it below; the child has a copy of its own.
            let ends = || drop(unsafe { std::ptr::read(&raw const *copy) });
            let began = Instant::now();
            let left = forked(|| {
                ends();
                6
            });
            assert_eq!(left, 6);
            assert!(
                began.elapsed() < Duration::from_millis(150),
                "{:?}",
                began.elapsed()
            );
            ends();
        }
    });
    must_say(end, "fork before the runtime is built");
}

#[test]
fn timers_of_plain_threads_are_refused_in_a_child() {
    let test = "timers_of_plain_threads_are_refused_in_a_child";
    let end = in_child(test, || {
        time::after(Duration::from_millis(1)).recv();
        let arms = || catch_unwind(|| time::after(Duration::ZERO)).is_err();
        assert_eq!(forked(|| i32::from(arms())), 1);
    });
    must_say(end, "the thread that fires its timers is the parent's");
}

#[test]
fn commands_run_from_goroutines_of_compacted_stacks_too() {
    let test = "commands_run_from_goroutines_of_compacted_stacks_too";
    child::must_end(in_child(test, || {
        for builder in both_modes() {
            let compacts = builder.clone().compact_stacks(Duration::from_millis(1));
            let runtime = compacts
                .start()
                .unwrap_or_else(|_| builder.start().unwrap());
            runtime.run(|| {
                let (stay, end) = chan::<()>(0);
                for _ in 0..500 {
                    let end = end.clone();
                    bench_runtime::go!(end.recv());
                }
                time::sleep(Duration::from_millis(50));
                let run = |forks: bool| {
                    let mut command = Command::new("/bin/sh");
                    command.args(["-c", "exit 5"]);
                    if forks {
                        // Without this std would use `posix_spawn`, not `fork`.
                        // SAFETY: reads a value of the kernel's.
                        command.uid(unsafe { libc::getuid() });
                    }
                    command.status().unwrap().code()
                };
                let tasks: Vec<_> = (0..8)
                    .map(|n| go(move || (0..5).all(|_| run(n % 2 == 0) == Some(5))))
                    .collect();
                assert!(tasks.into_iter().all(|task| task.join().unwrap()));
                drop(stay);
            });
        }
    }));
}
