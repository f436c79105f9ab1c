//! Older kernels: a child installs a seccomp filter that refuses a system call as an older kernel
//! or a sandbox does, and then runs the tests of stacks, children or files.

mod child;
mod start;

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::process::{Command, Stdio};
use bench_runtime::{Receiver, Runtime, StackPolicy, TryRecvError, chan, fs, go, num_goroutine};
use child::{End, in_child, must_end};
use start::Start;

#[derive(Clone, Copy)]
enum Lacks {
    /// `MADV_GUARD_INSTALL` and `process_madvise` on oneself: before 6.13.
    Guards,
    UserFault,
    /// `pidfd_open`: before 5.3. The call fails with this error.
    ProcessDescriptors(i32),
    /// `RWF_NOWAIT`: before 4.14, and some file systems still.
    ReadsWithoutWait,
}

/// From now on the process runs as on the older kernel.
fn forget(lacks: Lacks) {
    const GUARD_INSTALL: u32 = 102;
    let load = |offset: u32| libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: offset,
    };
    let unless = |value: u32, skip: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skip,
        k: value,
    };
    let answer = |k: u32| libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let fail = |errno: i32| answer(libc::SECCOMP_RET_ERRNO | errno as u32);
    // In `seccomp_data`: the number first, the third argument at 32.
    let mut program = match lacks {
        Lacks::Guards => vec![
            load(0),
            unless(libc::SYS_process_madvise as u32, 1),
            fail(libc::EINVAL),
            unless(libc::SYS_madvise as u32, 3),
            load(32),
            unless(GUARD_INSTALL, 1),
            fail(libc::EINVAL),
            answer(libc::SECCOMP_RET_ALLOW),
        ],
        Lacks::ProcessDescriptors(errno) => vec![
            load(0),
            unless(libc::SYS_pidfd_open as u32, 1),
            fail(errno),
            answer(libc::SECCOMP_RET_ALLOW),
        ],
        Lacks::ReadsWithoutWait => vec![
            load(0),
            unless(libc::SYS_preadv2 as u32, 1),
            fail(libc::EOPNOTSUPP),
            unless(libc::SYS_pwritev2 as u32, 1),
            fail(libc::EOPNOTSUPP),
            answer(libc::SECCOMP_RET_ALLOW),
        ],
        Lacks::UserFault => vec![
            load(0),
            unless(libc::SYS_userfaultfd as u32, 1),
            fail(libc::ENOSYS),
            answer(libc::SECCOMP_RET_ALLOW),
        ],
    };
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program is alive for the call, and only makes calls fail.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const program,
            ),
            0
        );
    }
}

fn on_old_kernel(test: &str, lacks: Lacks, body: impl FnOnce()) -> Option<End> {
    in_child(test, || {
        forget(lacks);
        body();
    })
}

#[inline(never)]
fn recurse_without_end(depth: usize) -> usize {
    let local = black_box([depth; 16]);
    match black_box(true) {
        true => recurse_without_end(depth + 1) + local[3],
        false => local[0],
    }
}

#[test]
fn compaction_without_userfaultfd_is_refused_by_name() {
    let end = on_old_kernel(
        "compaction_without_userfaultfd_is_refused_by_name",
        Lacks::UserFault,
        || {
            let builder = Runtime::builder().procs(1);
            let error = builder
                .clone()
                .compact_stacks(Duration::from_millis(10))
                .start()
                .unwrap_err();
            assert!(error.to_string().contains("userfaultfd"), "{error}");
            assert_eq!(builder.start().unwrap().run(|| 7), 7);
        },
    );
    must_end(end);
}

#[test]
fn compaction_without_guard_markers_is_refused_by_name() {
    let end = on_old_kernel(
        "compaction_without_guard_markers_is_refused_by_name",
        Lacks::Guards,
        || {
            let error = Runtime::builder()
                .compact_stacks(Duration::from_millis(10))
                .start()
                .unwrap_err();
            assert!(error.to_string().contains("MADV_GUARD_INSTALL"), "{error}");
        },
    );
    must_end(end);
}

#[test]
fn goroutines_without_guard_markers_run_until_the_map_limit() {
    let end = on_old_kernel(
        "goroutines_without_guard_markers_run_until_the_map_limit",
        Lacks::Guards,
        || {
            let runtime = Runtime::builder()
                .procs(1)
                .stack(StackPolicy::Fixed(8 << 10))
                .start()
                .unwrap();
            runtime.run(|| {
                let (sender, receiver) = chan::<()>(0);
                let running = Arc::new(AtomicUsize::new(0));
                let handles: Vec<_> = (0..34_000)
                    .map(|_| {
                        let (receiver, running) = (receiver.clone(), running.clone());
                        go(move || {
                            running.fetch_add(1, Ordering::Relaxed);
                            receiver.recv()
                        })
                    })
                    .collect();
                // Each goroutine gets a stack, or is refused one.
                while running.load(Ordering::Relaxed) + 1 < num_goroutine() {
                    bench_runtime::yield_now();
                }
                // Some mappings must be left, because the runtime starts threads.
                std::thread::spawn(|| ())
                    .join()
                    .expect("a thread at the limit");
                sender.close();
                let errors: Vec<String> = handles
                    .into_iter()
                    .filter_map(|handle| handle.join().err())
                    .map(|error| error.to_string())
                    .collect();
                let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
                let room = limit.trim().parse::<usize>().unwrap() / 2;
                let refused = errors.len();
                assert!(
                    (34_000usize.saturating_sub(room)..17_000).contains(&refused),
                    "{refused} of 34000 refused"
                );
                assert!(
                    errors
                        .iter()
                        .all(|error| error.contains("vm.max_map_count")),
                    "{:?}",
                    errors.first()
                );
            });
        },
    );
    must_end(end);
}

/// If a goroutine gets no stack, its value is dropped; the first three destructors wait.
struct Waits(Receiver<()>);

static DROPPED: AtomicUsize = AtomicUsize::new(0);

impl Drop for Waits {
    fn drop(&mut self) {
        if DROPPED.fetch_add(1, Ordering::SeqCst) < 3 {
            self.0.recv();
        }
    }
}

#[test]
fn destructor_of_a_goroutine_refused_at_the_map_limit_may_wait() {
    let end = on_old_kernel(
        "destructor_of_a_goroutine_refused_at_the_map_limit_may_wait",
        Lacks::Guards,
        || {
            let runtime = Runtime::builder()
                .procs(1)
                .stack(StackPolicy::Fixed(8 << 10))
                .start()
                .unwrap();
            runtime.run(|| {
                let (sender, receiver) = chan::<()>(0);
                let (open, closed) = chan::<()>(0);
                let handles: Vec<_> = (0..34_000)
                    .map(|_| {
                        let (receiver, waits) = (receiver.clone(), Waits(closed.clone()));
                        go(move || {
                            receiver.recv();
                            std::mem::forget(waits);
                        })
                    })
                    .collect();
                while DROPPED.load(Ordering::SeqCst) < 100 {
                    bench_runtime::yield_now();
                }
                drop((sender, open));
                let refused = handles.into_iter().filter_map(|h| h.join().err()).count();
                assert_eq!(refused, DROPPED.load(Ordering::SeqCst));
            });
        },
    );
    must_end(end);
}

#[test]
fn overflow_without_guard_markers_is_reported() {
    let end = on_old_kernel(
        "overflow_without_guard_markers_is_reported",
        Lacks::Guards,
        || {
            let runtime = Runtime::builder().procs(1).start().unwrap();
            runtime.run(|| {
                black_box(recurse_without_end(0));
            });
        },
    );
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, Some(libc::SIGABRT), "{stderr}");
        assert!(stderr.contains("fatal error: stack overflow"), "{stderr}");
    }
}

/// Runs `body` on one P, in both modes, beside another goroutine, which must continue.
fn on_each(body: fn()) {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        let runtime = builder.procs(1).start().unwrap();
        runtime.run(move || {
            let (stop, stopped) = chan::<()>(0);
            let other = go(move || {
                let mut turns = 0u64;
                while stopped.try_recv() == Err(TryRecvError::Empty) {
                    turns += 1;
                    bench_runtime::time::sleep(Duration::from_millis(1));
                }
                turns
            });
            body();
            drop(stop);
            assert!(other.join().unwrap() > 0);
        });
    }
}

fn children() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = go(move || {
        bench_runtime::time::sleep(Duration::from_millis(50));
        stdin.write_all(b"late").unwrap();
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.stdout, b"late");
    let failed = Command::new("sh").args(["-c", "exit 3"]).status();
    assert_eq!(failed.unwrap().code(), Some(3));

    let limit = Duration::from_millis(50);
    let (ctx, _cancel) = Context::background().with_timeout(limit);
    let late = Command::new("sleep").arg("1000").context(&ctx).status();
    assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let many: Vec<_> = (0..50)
        .map(|n| {
            go(move || {
                let script = format!("exit {n}");
                Command::new("sh").args(["-c", &script]).status().unwrap()
            })
        })
        .collect();
    for (n, one) in (0..).zip(many) {
        assert_eq!(one.join().unwrap().code(), Some(n));
    }
}

#[test]
fn children_without_process_descriptors_are_waited_for_by_threads() {
    let end = on_old_kernel(
        "children_without_process_descriptors_are_waited_for_by_threads",
        Lacks::ProcessDescriptors(libc::ENOSYS),
        || on_each(children),
    );
    must_end(end);
}

#[test]
fn children_in_a_sandbox_are_waited_for_by_threads() {
    let end = on_old_kernel(
        "children_in_a_sandbox_are_waited_for_by_threads",
        Lacks::ProcessDescriptors(libc::EPERM),
        || on_each(children),
    );
    must_end(end);
}

#[test]
fn files_without_reads_that_do_not_wait_are_read_by_threads() {
    let end = on_old_kernel(
        "files_without_reads_that_do_not_wait_are_read_by_threads",
        Lacks::ReadsWithoutWait,
        || {
            on_each(|| {
                let mut file = fs::File::open("/proc/self/comm").unwrap();
                let mut text = [0; 64];
                let length = file.read(&mut text).unwrap();
                assert_eq!(text[length - 1], b'\n');
                assert_eq!(file.read(&mut text).unwrap(), 0);
                writeln!(bench_runtime::io::stdout(), "it is written").unwrap();
            });
        },
    );
    must_end(end);
}
