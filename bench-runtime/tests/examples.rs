//! The examples, run with their answers checked.

mod start;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bench_runtime::context::Context;
use bench_runtime::net::{Descriptor, TcpListener};
use bench_runtime::signal::{self, Signal};
use bench_runtime::{JoinHandle, Runtime, chan, go};
use start::Start;

#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/chat_server.rs"]
mod chat_server;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/fan_in.rs"]
mod fan_in;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/graceful_server.rs"]
mod graceful_server;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/job_runner.rs"]
mod job_runner;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/pipeline.rs"]
mod pipeline;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/prime_sieve.rs"]
mod prime_sieve;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/repl.rs"]
mod repl;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/skynet.rs"]
mod skynet;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/watcher.rs"]
mod watcher;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/worker_pool.rs"]
mod worker_pool;

fn on_each_runtime<T: Send + 'static>(f: fn() -> T, mut check: impl FnMut(T)) {
    for procs in [1, 2, 8] {
        check(Runtime::builder().procs(procs).start().unwrap().run(f));
        let migrating = Runtime::builder().procs(procs).migrating();
        check(migrating.start().unwrap().run(f));
    }
}

#[test]
fn prime_sieve_finds_the_first_primes() {
    on_each_runtime(
        || prime_sieve::primes(100),
        |primes| {
            assert_eq!(primes[..8], [2, 3, 5, 7, 11, 13, 17, 19]);
            assert_eq!((primes.len(), primes[99]), (100, 541));
        },
    );
}

#[test]
fn skynet_adds_its_leaves() {
    on_each_runtime(|| skynet::run(10_000), |sum| assert_eq!(sum, 49_995_000));
}

#[test]
fn worker_pool_finds_the_longest_way() {
    on_each_runtime(
        || worker_pool::longest(8, 1_000),
        |best| assert_eq!(best, (871, 178)),
    );
}

#[test]
fn pipeline_keeps_the_order_and_ends() {
    on_each_runtime(
        || {
            let before = bench_runtime::num_goroutine();
            let squares = pipeline::squares(4);
            while bench_runtime::num_goroutine() > before {
                bench_runtime::yield_now();
            }
            squares
        },
        |squares| assert_eq!(squares, ["<2>", "<5>", "<10>", "<17>"]),
    );
}

#[test]
fn fan_in_hears_both() {
    on_each_runtime(
        || fan_in::listen(12),
        |lines| {
            assert_eq!(lines.len(), 12);
            for name in ["Joe", "Ann"] {
                let said: Vec<_> = lines.iter().filter(|l| l.starts_with(name)).collect();
                let expected: Vec<_> = (0..said.len()).map(|n| format!("{name} {n}")).collect();
                assert!(said.iter().copied().eq(&expected), "{lines:?}");
                assert!(!said.is_empty());
            }
        },
    );
}

#[test]
fn chat_server_passes_lines_to_the_others() {
    for procs in [1, 2, 8] {
        let runtime = Runtime::builder().procs(procs).start().unwrap();
        let address = runtime.run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            drop(go(move || chat_server::chat(&listener)));
            address
        });
        let read = |from: &mut BufReader<TcpStream>| {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            line
        };
        let connect = || {
            let stream = TcpStream::connect(address).unwrap();
            let limit = Some(Duration::from_secs(60));
            stream.set_read_timeout(limit).unwrap();
            let name = stream.local_addr().unwrap();
            let mut stream = BufReader::new(stream);
            assert_eq!(read(&mut stream), format!("you are {name}\n"));
            (name, stream)
        };
        let (ann, mut anns) = connect();
        let (joe, mut joes) = connect();
        assert_eq!(read(&mut anns), format!("{joe} has arrived\n"));
        writeln!(anns.get_mut(), "hello").unwrap();
        assert_eq!(read(&mut joes), format!("{ann}: hello\n"));
        writeln!(joes.get_mut(), "hello yourself").unwrap();
        assert_eq!(read(&mut anns), format!("{joe}: hello yourself\n"));
        drop(joes);
        assert_eq!(read(&mut anns), format!("{joe} has left\n"));
    }
}

fn terminate() {
    let me = nix::unistd::Pid::this();
    nix::sys::signal::kill(me, nix::sys::signal::SIGTERM).unwrap();
}

#[test]
fn graceful_server_answers_what_it_was_asked_and_ends() {
    for procs in [1, 2, 8] {
        for (grace, ms) in [(Duration::from_secs(60), 100), (Duration::ZERO, 3_600_000)] {
            let runtime = Runtime::builder().procs(procs).start().unwrap();
            let (ready, address) = chan(1);
            let server = runtime.spawn(move || {
                let signals = signal::notify(&[Signal::TERM]).unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                graceful_server::serve(listener, signals, grace)
            });
            let address = address.recv().unwrap();
            let connect = || BufReader::new(TcpStream::connect(address).unwrap());
            let ask = |stream: &mut BufReader<TcpStream>, ms: u32| {
                writeln!(stream.get_mut(), "{ms}").unwrap();
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                assert_eq!(line, format!("{ms} ms begin\n"));
            };
            let (mut idle, mut busy) = (connect(), connect());
            ask(&mut idle, 0);
            ask(&mut busy, ms);
            terminate();
            let all_served = server.join().unwrap().unwrap();
            assert_eq!(all_served, grace > Duration::ZERO);
            if all_served {
                let rest = |stream: BufReader<TcpStream>| -> Vec<String> {
                    stream.lines().map(Result::unwrap).collect()
                };
                assert_eq!(rest(idle), ["0 ms have passed"]);
                assert_eq!(rest(busy), ["100 ms have passed"]);
            }
            assert!(TcpStream::connect(address).is_err(), "nobody listens");
        }
    }
}

#[test]
fn job_runner_keeps_the_order_and_says_what_went_wrong() {
    let run = || {
        let jobs = ["sleep 0.1; echo one", "exit 3", "kill -9 $$", "echo four"];
        let jobs = jobs.map(str::to_owned).to_vec();
        job_runner::run_all(jobs, &Context::background(), 2, Duration::from_secs(1000))
    };
    on_each_runtime(run, |ends| {
        let (done, failed) = (|s: &str| Ok(s.to_owned()), |s: &str| Err(s.to_owned()));
        let (three, killed) = (failed("exit status: 3"), failed("signal: 9 (SIGKILL)"));
        assert_eq!(ends, [done("one"), three, killed, done("four")]);
    });
}

#[test]
fn job_runner_kills_what_lasts_too_long() {
    let run = || {
        let jobs = vec!["exec sleep 1000".to_owned(); 3];
        job_runner::run_all(jobs, &Context::background(), 2, Duration::from_millis(50))
    };
    on_each_runtime(run, |ends| {
        let late = |end: &Result<String, String>| matches!(end, Err(why) if why.starts_with("context deadline exceeded"));
        assert_eq!(ends.len(), 3);
        assert!(ends.iter().all(late), "{ends:?}");
    });
}

#[test]
fn job_runner_ends_all_when_its_context_does() {
    let run = || {
        let began = Instant::now();
        let (ctx, cancel) = Context::background().with_cancel();
        let jobs = vec!["exec sleep 1000".to_owned(); 8];
        let all = go(move || job_runner::run_all(jobs, &ctx, 3, Duration::from_secs(1000)));
        bench_runtime::time::sleep(Duration::from_millis(50));
        cancel.cancel();
        let ends = all.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(500));
        ends
    };
    on_each_runtime(run, |ends| {
        assert_eq!(ends.len(), 8);
        let cancelled = |end: &Result<String, String>| matches!(end, Err(why) if why.contains("context cancelled"));
        assert!(ends.iter().all(cancelled), "{ends:?}");
    });
}

#[test]
fn watcher_reports_each_change_and_ends_with_its_context() {
    let run = || {
        let folder = tempfile::tempdir().unwrap();
        let (ctx, cancel) = Context::background().with_cancel();
        let changes = watcher::watch(folder.path(), &ctx).unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "1").unwrap();
        fs::rename(path("one"), path("two")).unwrap();
        fs::remove_file(path("two")).unwrap();
        let lines: Vec<_> = changes.iter().take(5).collect();
        cancel.cancel();
        assert_eq!(changes.recv(), None);
        assert!(watcher::watch(&path("missing"), &ctx).is_err());
        lines
    };
    on_each_runtime(run, |lines| {
        let right = [
            "created: one",
            "written: one",
            "moved away: one",
            "moved here: two",
            "deleted: two",
        ];
        assert_eq!(lines, right);
    });
}

#[test]
fn repl_answers_on_a_terminal_while_another_line_is_computed() {
    /// Types these lines. Returns the terminal's output up to `until`.
    fn typed(lines: &str, until: &str) -> (String, JoinHandle<std::io::Result<()>>) {
        let pty = nix::pty::openpty(None, None).unwrap();
        let master = Descriptor::new(pty.master);
        let output = Descriptor::duplicate_of(&pty.slave).unwrap();
        let input = BufReader::new(Descriptor::new(pty.slave));
        let repl = go(move || repl::repl(input, output));
        (&master).write_all(lines.as_bytes()).unwrap();
        let mut shown = String::new();
        while !shown.ends_with(until) {
            let mut byte = [0];
            (&master).read_exact(&mut byte).unwrap();
            shown.push(char::from(byte[0]));
        }
        (shown, repl)
    }
    let run = || {
        // The terminal ends each line with two characters.
        let (shown, repl) = typed(
            "after 3600000 add 3 4\nadd 1 2\nadd x\n",
            "digit found in string\r\n> ",
        );
        assert!(shown.contains("> 3\r\n"), "{shown:?}");
        assert!(!repl.is_finished());
        // The last character is Ctrl-D.
        let (_, repl) = typed("after 20 add 3 4\n\u{4}", "\n7\r\n> ");
        repl.join().unwrap().unwrap();
    };
    on_each_runtime(run, |()| {});
}
