//! Processes that must end with the right message: each test runs itself again in a child.

mod child;
mod start;

use std::future::Future;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Wake, Waker};

use std::time::{Duration, Instant};

use bench_runtime::{GoBuilder, Runtime, StackPolicy, blocking, chan, context, go, goexit, time};
use child::{in_child, in_child_with};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use start::Start;

#[inline(never)]
fn recurse_without_end(depth: usize) -> usize {
    let local = black_box([depth; 16]);
    match black_box(true) {
        true => recurse_without_end(depth + 1) + local[3],
        false => local[0],
    }
}

/// Uses this many bytes, in frames of a KiB.
#[inline(never)]
fn use_bytes(bytes: usize) -> usize {
    let local = black_box([1u8; 960]);
    match bytes {
        0..=1024 => local[7].into(),
        _ => use_bytes(bytes - 1024) + usize::from(local[9]),
    }
}

/// In the parent: the child must have aborted, and its stderr must contain all `parts`.
fn must_abort(end: Option<(Option<i32>, String)>, parts: &[&str]) {
    let Some((signal, stderr)) = end else { return };
    assert_eq!(signal, Some(libc::SIGABRT), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in:\n{stderr}");
    }
}

/// In the parent: the child must have exited. Returns its output.
fn must_end(end: Option<(Option<i32>, String)>) -> Option<String> {
    let (signal, stderr) = end?;
    assert!(signal.is_none() && !stderr.contains("panicked"), "{stderr}");
    Some(stderr)
}

fn must_overflow(end: Option<(Option<i32>, String)>, parts: &[&str]) {
    let overflow = ["fatal error: stack overflow", "stack backtrace:"];
    must_abort(end, &[&overflow, parts].concat());
}

#[test]
fn panic_of_a_named_goroutine_says_which_and_the_programs_hook_runs() {
    let name = "panic_of_a_named_goroutine_says_which_and_the_programs_hook_runs";
    let end = in_child(name, || {
        std::panic::set_hook(Box::new(|info| {
            let text = info.payload().downcast_ref::<&str>();
            eprintln!("hook: {}", text.unwrap_or(&"?"));
        }));
        let runtime = Runtime::builder().procs(1).start().unwrap();
        runtime.run(|| {
            let named = || GoBuilder::new().name("indexer").label("shard", "3");
            assert!(named().go(|| panic!("first")).unwrap().join().is_err());
            assert!(go(|| panic!("second")).join().is_err());
            let labelled = GoBuilder::new().label("shard", "4");
            assert!(labelled.go(|| panic!("third")).unwrap().join().is_err());
        });
    });
    let Some((signal, stderr)) = end else { return };
    assert_eq!(signal, None, "{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    let [first, after_first, second, third, after_third] = lines[..] else {
        panic!("{stderr}");
    };
    assert!(first.starts_with("goroutine "), "{stderr}");
    assert!(first.ends_with(" \"indexer\" {shard=3}:"), "{stderr}");
    assert_eq!(after_first, "hook: first");
    assert_eq!(second, "hook: second");
    assert!(third.ends_with(" {shard=4}:"), "{stderr}");
    assert_eq!(after_third, "hook: third");
}

#[test]
fn overflow_names_goroutine_site_limit_and_function() {
    let end = in_child("overflow_names_goroutine_site_limit_and_function", || {
        let runtime = Runtime::builder().procs(2).start().unwrap();
        runtime.run(|| {
            let handle = GoBuilder::new()
                .name("the deep one")
                .go(|| black_box(recurse_without_end(0)))
                .unwrap();
            let _ = handle.join();
        });
    });
    must_overflow(
        end,
        &[
            "goroutine stack exceeds 14942208-byte limit",
            "goroutine 2 \"the deep one\" [running], spawned at bench-runtime/tests/crash.rs:",
            "high-water mark 14942208 bytes",
            "recurse_without_end",
            "frames left out",
        ],
    );
}

#[test]
fn overflow_of_a_compacting_runtime_is_still_reported() {
    let end = in_child("overflow_of_a_compacting_runtime_is_still_reported", || {
        let builder = Runtime::builder().procs(2);
        let runtime = builder
            .clone()
            .compact_stacks(Duration::from_millis(1))
            .start()
            .or_else(|_| builder.start());
        runtime.unwrap().run(|| {
            black_box(recurse_without_end(0));
        });
    });
    must_overflow(end, &["goroutine 1", "recurse_without_end"]);
}

#[test]
fn stack_may_be_used_to_its_limit() {
    let end = in_child("stack_may_be_used_to_its_limit", || {
        let runtime = Runtime::builder()
            .procs(1)
            .stack(StackPolicy::Fixed(64 << 10))
            .start()
            .unwrap();
        // Leaves room for the frames of the runtime and of a debug build.
        assert_eq!(runtime.run(|| use_bytes(48 << 10)), 48);
    });
    must_end(end);
}

#[test]
fn stack_used_beyond_its_limit_overflows() {
    let end = in_child("stack_used_beyond_its_limit_overflows", || {
        let runtime = Runtime::builder()
            .procs(1)
            .stack(StackPolicy::Fixed(64 << 10))
            .start()
            .unwrap();
        runtime.run(|| use_bytes(66 << 10));
    });
    must_overflow(end, &["exceeds 65536-byte limit", "use_bytes"]);
}

#[test]
fn null_dereference_in_a_goroutine_is_an_ordinary_sigsegv() {
    let end = in_child(
        "null_dereference_in_a_goroutine_is_an_ordinary_sigsegv",
        || {
            let runtime = Runtime::builder().procs(1).start().unwrap();
            runtime.run(|| {
                // SAFETY: none; the child must crash here.
                unsafe { black_box(std::ptr::null::<u8>()).read_volatile() }
            });
        },
    );
    if let Some((signal, stderr)) = end {
        assert_eq!(signal, Some(libc::SIGSEGV), "{stderr}");
        assert!(!stderr.contains("stack overflow"), "{stderr}");
    }
}

#[test]
fn more_threads_than_the_cap_end_the_program_and_say_what_to_do() {
    let end = in_child(
        "more_threads_than_the_cap_end_the_program_and_say_what_to_do",
        || {
            let runtime = Runtime::builder().procs(1).max_threads(8).start().unwrap();
            runtime.run(|| {
                let all: Vec<_> = (0..40)
                    .map(|_| go(|| blocking(|| std::thread::sleep(Duration::from_secs(60)))))
                    .collect();
                all.into_iter().for_each(|one| drop(one.join()));
            });
        },
    );
    must_abort(
        end,
        &["needs more than 8 threads", "max_threads", "Semaphore"],
    );
}

#[test]
fn goroutines_blocked_outside_the_runtime_at_the_cap_end_the_program_too() {
    let end = in_child(
        "goroutines_blocked_outside_the_runtime_at_the_cap_end_the_program_too",
        || {
            let builder = Runtime::builder().procs(2).max_threads(8);
            let runtime = builder.migrating().start().unwrap();
            runtime.run(|| {
                let never = Arc::new((Mutex::new(()), Condvar::new()));
                let all: Vec<_> = (0..40)
                    .map(|_| {
                        let never = Arc::clone(&never);
                        go(move || drop(never.1.wait(never.0.lock().unwrap())))
                    })
                    .collect();
                all.into_iter().for_each(|one| drop(one.join()));
            });
        },
    );
    must_abort(end, &["needs more than 8 threads", "max_threads"]);
}

fn limit(what: libc::__rlimit_resource_t, most: u64) {
    set_limit(what, most, most);
}

/// As `limit`, but the limit can be raised again.
fn soft_limit(what: libc::__rlimit_resource_t, most: u64) {
    set_limit(what, most, libc::RLIM_INFINITY);
}

fn set_limit(what: libc::__rlimit_resource_t, soft: u64, hard: u64) {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the pointer is to a live limit.
    assert_eq!(unsafe { libc::setrlimit(what, &raw const limit) }, 0);
}

/// If the kernel provides too little, `build` fails with advice; else goroutines run.
fn refused_or_runs(test: &str, what: libc::__rlimit_resource_t, most: u64, advice: &str) {
    let end = in_child(test, || {
        limit(what, most);
        match Runtime::builder().procs(1).reads_files(false).start() {
            Ok(runtime) => runtime.run(|| go(|| ()).join().unwrap()),
            Err(error) => eprintln!("refused: {error}"),
        }
    });
    if let Some(said) = must_end(end) {
        assert!(!said.contains("refused") || said.contains(advice), "{said}");
    }
}

#[test]
fn too_little_address_space_refuses_the_build() {
    let name = "too_little_address_space_refuses_the_build";
    refused_or_runs(name, libc::RLIMIT_AS, 512 << 20, "ulimit -v");
}

#[test]
fn too_few_descriptors_refuse_the_build() {
    let name = "too_few_descriptors_refuse_the_build";
    refused_or_runs(name, libc::RLIMIT_NOFILE, 4, "open files");
}

#[test]
fn panic_while_a_goroutine_unwinds_ends_the_program_as_on_a_thread() {
    struct PanicsAgain;
    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    let end = in_child(
        "panic_while_a_goroutine_unwinds_ends_the_program_as_on_a_thread",
        || {
            let runtime = Runtime::builder().procs(2).start().unwrap();
            runtime.run(|| {
                let failed = go(|| {
                    let _again = PanicsAgain;
                    panic!("the first");
                });
                drop(failed.join());
            });
        },
    );
    must_abort(end, &["the first", "the second", "panic in a destructor"]);
}

#[test]
fn goexit_in_a_destructor_of_a_panic_ends_the_program() {
    struct Leaves;
    impl Drop for Leaves {
        fn drop(&mut self) {
            goexit()
        }
    }
    let end = in_child("goexit_in_a_destructor_of_a_panic_ends_the_program", || {
        let runtime = Runtime::builder().procs(2).start().unwrap();
        runtime.run(|| {
            let failed = go(|| {
                let _leaves = Leaves;
                panic!("the panic");
            });
            drop(failed.join());
        });
    });
    must_abort(end, &["the panic", "panic in a destructor"]);
}

#[test]
fn panic_in_a_destructor_of_a_goexit_ends_the_program() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on the way out");
        }
    }
    let end = in_child("panic_in_a_destructor_of_a_goexit_ends_the_program", || {
        let runtime = Runtime::builder().procs(2).start().unwrap();
        runtime.run(|| {
            let failed = go(|| {
                let _panics = Panics;
                goexit()
            });
            drop::<Result<(), _>>(failed.join());
        });
    });
    must_abort(end, &["on the way out", "panic in a destructor"]);
}

#[test]
fn gomaxprocs_of_the_environment_wins_and_nonsense_does_not_count() {
    let end = in_child(
        "gomaxprocs_of_the_environment_wins_and_nonsense_does_not_count",
        || {
            let procs = || Runtime::builder().start().unwrap().metrics().procs_count;
            // SAFETY: no other thread of this child reads the environment now.
            unsafe { std::env::remove_var("GOMAXPROCS") };
            let of_the_host = procs();
            for (text, expected) in [
                ("7", 7),
                (" 3 ", 3),
                ("0", of_the_host),
                ("-1", of_the_host),
            ] {
                // SAFETY: as above; each runtime has ended.
                unsafe { std::env::set_var("GOMAXPROCS", text) };
                assert_eq!(procs(), expected, "{text:?}");
            }
            let by_hand = Runtime::builder().procs(2).start().unwrap();
            assert_eq!(by_hand.metrics().procs_count, 2);
        },
    );
    must_end(end);
}

fn set_affinity(cpus: usize) {
    let mut set = nix::sched::CpuSet::new();
    (0..cpus).for_each(|cpu| set.set(cpu).unwrap());
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let id: i32 = task.unwrap().file_name().to_str().unwrap().parse().unwrap();
        // A thread may end meanwhile.
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(id), &set);
    }
}

/// True if GOMAXPROCS becomes `procs` in time, while goroutines run.
fn becomes(runtime: &Runtime, procs: usize, seconds: u64) -> bool {
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        runtime.run(|| time::sleep(Duration::from_millis(5)));
        if runtime.metrics().procs_count == procs {
            return true;
        }
    }
    false
}

#[test]
fn gomaxprocs_follows_the_affinity_until_it_is_set_by_hand() {
    let end = in_child(
        "gomaxprocs_follows_the_affinity_until_it_is_set_by_hand",
        || {
            // SAFETY: no other thread of this child reads the environment now.
            unsafe { std::env::remove_var("GOMAXPROCS") };
            let cpus = std::thread::available_parallelism().unwrap().get();
            let runtime = Runtime::builder().start().unwrap();
            let before = runtime.metrics().procs_count;
            if cpus < 2 || before < 2 {
                eprintln!("one CPU, or a quota of one: nothing to follow");
                return;
            }
            set_affinity(1);
            assert!(becomes(&runtime, 1, 60), "it does not follow to one CPU");
            set_affinity(cpus);
            assert!(becomes(&runtime, before, 60), "it does not follow back");
            runtime.set_procs(before);
            set_affinity(1);
            assert!(
                !becomes(&runtime, 1, 3),
                "it follows after it was set by hand"
            );
        },
    );
    must_end(end);
}

#[test]
fn schedtrace_writes_its_line_while_goroutines_run_and_while_none_does() {
    let end = in_child_with(
        "schedtrace_writes_its_line_while_goroutines_run_and_while_none_does",
        &[("THREADBARE_SCHEDTRACE", "20")],
        || {
            let runtime = Runtime::builder().procs(2).start().unwrap();
            runtime.run(|| {
                let busy = (0..5).map(|_| go(|| spin_for(Duration::from_millis(60))));
                let busy: Vec<_> = busy.collect();
                busy.into_iter().for_each(|busy| busy.join().unwrap());
                time::sleep(Duration::from_millis(600));
            });
        },
    );
    let Some(stderr) = must_end(end) else { return };
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("SCHED "))
        .collect();
    assert!(lines.len() >= 5, "{stderr}");
    for line in &lines {
        let rest = line
            .split_once("ms: gomaxprocs=2 idleprocs=")
            .expect(line)
            .1;
        for part in ["threads=", "spinningthreads=", "idlethreads=", "runqueue="] {
            assert!(rest.contains(part), "{line}");
        }
        let queues = rest
            .split_once('[')
            .and_then(|(_, rest)| rest.strip_suffix(']'));
        let queues = queues.expect(line).split(' ').map(str::parse::<usize>);
        assert_eq!(queues.map(Result::unwrap).count(), 2, "{line}");
    }
    let some = |what: &str| lines.iter().any(|line| line.contains(what));
    assert!(some("idleprocs=0") && some("idleprocs=2"), "{stderr}");
}

fn spin_for(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Waits until the runtime has written the trace.
fn quit_until_written(file: &Path) {
    nix::sys::signal::raise(nix::sys::signal::SIGQUIT).unwrap();
    let begun = Instant::now();
    let is_whole = || std::fs::read_to_string(file).is_ok_and(|t| t.ends_with("]}\n"));
    while !is_whole() && begun.elapsed() < Duration::from_secs(60) {
        time::sleep(Duration::from_millis(1));
    }
}

#[test]
fn quit_signal_is_caught_after_a_runtime_that_got_no_descriptors_for_it() {
    let name = "quit_signal_is_caught_after_a_runtime_that_got_no_descriptors_for_it";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let variables = [("THREADBARE_TRACE_FILE", file.to_str().unwrap())];
    let end = in_child_with(name, &variables, || {
        let file = std::env::var_os("THREADBARE_TRACE_FILE").unwrap();
        let builder = || Runtime::builder().procs(1).dumps_on_quit(true);
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most.min(200), most).unwrap();
        // A process opens some descriptors only once.
        drop(Runtime::builder().start().unwrap());
        let opened = || std::fs::File::open("/dev/null").ok();
        let held: Vec<_> = std::iter::from_fn(opened).collect();
        let refused = builder().start().map(drop).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EMFILE), "{refused}");
        drop(held);
        let runtime = builder().start().unwrap();
        runtime.run(move || quit_until_written(Path::new(&file)));
    });
    let Some(stderr) = must_end(end) else { return };
    let dumps = stderr.matches("SIGQUIT: all goroutines").count();
    assert_eq!(dumps, 1, "{stderr}");
}

#[test]
fn quit_signal_leaves_the_dump_and_the_trace_and_the_program_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let end = in_child_with(
        "quit_signal_leaves_the_dump_and_the_trace_and_the_program_goes_on",
        &[("THREADBARE_TRACE_FILE", file.to_str().unwrap())],
        || {
            let file = std::env::var_os("THREADBARE_TRACE_FILE").unwrap();
            let runtime = Runtime::builder()
                .procs(1)
                .dumps_on_quit(true)
                .start()
                .unwrap();
            runtime.run(move || quit_until_written(Path::new(&file)));
        },
    );
    let Some(stderr) = must_end(end) else { return };
    for part in ["SIGQUIT: all goroutines", "goroutine 1 ["] {
        assert!(stderr.contains(part), "no {part:?} in:\n{stderr}");
    }
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    assert!(
        events
            .iter()
            .any(|event| event["name"] == "thread of M0 starts")
    );
}

#[test]
fn panic_hook_may_wait_for_a_goroutine_that_has_started_on_the_thread() {
    let name = "panic_hook_may_wait_for_a_goroutine_that_has_started_on_the_thread";
    let end = in_child(name, || {
        let (tx, rx) = chan::<String>(0);
        std::panic::set_hook(Box::new(move |info| {
            let said = info.payload_as_str().unwrap_or_default();
            tx.send(said.to_owned()).unwrap();
        }));
        let runtime = Runtime::builder().procs(1).start().unwrap();
        let said = runtime.run(move || {
            let (begin, begun) = chan::<()>(0);
            let logger = go(move || {
                begin.send(()).unwrap();
                let mut said: Vec<_> = (0..4).filter_map(|_| rx.recv()).collect();
                said.sort();
                said
            });
            begun.recv().unwrap();
            let failing: Vec<_> = (0..4).map(|n| go(move || panic!("no {n}"))).collect();
            for one in failing {
                assert!(one.join().is_err());
            }
            logger.join().unwrap()
        });
        eprintln!("{said:?}");
    });
    if let Some(stderr) = must_end(end) {
        assert!(
            stderr.contains(r#"["no 0", "no 1", "no 2", "no 3"]"#),
            "{stderr}"
        );
    }
}

/// The first four lines that the runtime writes to stderr while `hangs` runs.
fn lines_of(test: &str, hangs: fn()) -> Option<Vec<String>> {
    let end = in_child(test, || {
        let (from, to) = std::io::pipe().unwrap();
        // SAFETY: the descriptor is open.
        let kept = unsafe { libc::dup(2) };
        // SAFETY: both descriptors are open.
        let is_replaced = unsafe { libc::dup2(to.as_raw_fd(), 2) } == 2;
        assert!(kept > 2 && is_replaced);
        let runtime = Runtime::builder().procs(1).start().unwrap();
        drop(runtime.spawn(hangs));
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(60));
            std::process::exit(1);
        });
        let told = BufReader::new(from).lines().take(4);
        let told: Vec<_> = told.map(Result::unwrap).collect();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::dup2(kept, 2) }, 2);
        told.iter().for_each(|line| eprintln!("{line}"));
        std::process::exit(0);
    });
    must_end(end).map(|stderr| stderr.lines().map(str::to_owned).collect())
}

#[test]
fn lock_of_std_held_over_a_wait_on_one_thread_is_reported() {
    let test = "lock_of_std_held_over_a_wait_on_one_thread_is_reported";
    let told = lines_of(test, || {
        let lock = Arc::new(Mutex::new(0));
        let held = lock.lock().unwrap();
        let theirs = Arc::clone(&lock);
        // Blocks the thread of the goroutine that holds the lock.
        drop(go(move || *theirs.lock().unwrap() += 1));
        time::sleep(Duration::from_millis(1));
        drop(held);
    });
    if let Some(lines) = told {
        let begin = "warning: goroutine 2 has blocked thread m";
        assert!(lines[0].starts_with(begin), "{lines:?}");
        assert!(lines[2].starts_with("goroutine 2 [running]"), "{lines:?}");
        assert!(lines[3].starts_with("goroutine 1 [runnable]"), "{lines:?}");
    }
}

#[test]
fn an_endless_loop_that_another_of_its_thread_waits_for_is_reported() {
    let test = "an_endless_loop_that_another_of_its_thread_waits_for_is_reported";
    let told = lines_of(test, || {
        drop(go(|| {
            loop {
                std::hint::spin_loop();
            }
        }));
        time::sleep(Duration::from_millis(1));
    });
    if let Some(lines) = told {
        let begin = "warning: goroutine 2 has computed on thread m";
        assert!(lines[0].starts_with(begin), "{lines:?}");
        assert!(lines[2].starts_with("goroutine 2 [running]"), "{lines:?}");
        assert!(lines[3].starts_with("goroutine 1 [runnable]"), "{lines:?}");
    }
}

/// Sends the name of the thread that calls the waker.
struct Named(mpsc::Sender<String>);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.send(name).unwrap();
    }
}

/// In the child: leaves no room for the 8 MiB of a thread's stack.
fn refuse_threads() {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    soft_limit(libc::RLIMIT_AS, pages * 4096 + (4 << 20));
}

#[test]
fn task_is_woken_where_no_thread_can_be_started_for_wakers() {
    let test = "task_is_woken_where_no_thread_can_be_started_for_wakers";
    let end = in_child(test, || {
        let (told, name) = mpsc::channel();
        let waker = Waker::from(Arc::new(Named(told)));
        let woken_by = || {
            let tick = time::after(Duration::from_millis(1));
            let mut tick = pin!(tick.recv_async());
            let mut cx = Context::from_waker(&waker);
            assert!(tick.as_mut().poll(&mut cx).is_pending());
            name.recv_timeout(Duration::from_secs(60)).unwrap()
        };
        // Starts the thread of the timers.
        time::after(Duration::ZERO).recv();
        refuse_threads();
        assert_eq!(woken_by(), "threadbare-timer");
        soft_limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        assert_eq!([woken_by(), woken_by()], ["waker", "waker"]);
    });
    must_end(end);
}

#[test]
fn end_of_a_context_that_can_start_no_thread_for_its_function_ends_the_program() {
    let test = "end_of_a_context_that_can_start_no_thread_for_its_function_ends_the_program";
    let end = in_child(test, || {
        let (ctx, cancel) = context::Context::background().with_cancel();
        let _call = ctx.after_func(|| ());
        refuse_threads();
        cancel.cancel();
    });
    let parts = [
        "cannot start a thread",
        "ulimit -v",
        "for a context or a timer",
    ];
    must_abort(end, &parts);
}
