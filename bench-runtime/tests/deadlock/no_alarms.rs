//! Programs that wait for a while, or seem to wait. None may be reported as a deadlock.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::net::PipeReader;
use bench_runtime::signal::{self, Signal};
use bench_runtime::{Builder, Runtime, blocking, chan, go, time, yield_now};

use crate::start::Start;
use crate::{End, Scenario};

/// Much longer than each pause after which a runtime looks for a deadlock.
const A_WHILE: Duration = Duration::from_millis(100);

/// Enough runs to find a race that once gave a false alarm in one of about ten thousand.
const RUNS: usize = 60_000;

fn late_child() -> (Child, OwnedFd) {
    let mut child = Command::new("sh")
        .args(["-c", "sleep 0.2; echo late"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap().into();
    (child, stdout)
}

/// Only the goroutine waits, not its thread.
fn read_all(pipe: OwnedFd) -> String {
    let mut text = String::new();
    let mut reader = PipeReader::try_from(pipe).unwrap();
    reader.read_to_string(&mut text).unwrap();
    text
}

const fn ends(name: &'static str, body: fn()) -> Scenario {
    Scenario {
        name,
        end: End::Ends,
        body,
    }
}

pub(crate) const NO_ALARMS: &[Scenario] = &[
    ends("short_runs_on_one_processor", || short_runs(1, false)),
    ends("short_runs_on_two_processors", || short_runs(2, false)),
    ends("short_runs_that_migrate", || short_runs(2, true)),
    ends("short_runs_beside_what_waits_for_ever", || {
        let runtime = builder(2, false).start().unwrap();
        let keep = runtime.run(|| {
            let (tx, rx) = chan::<u8>(0);
            (0..10).for_each(|_| {
                drop(go({
                    let rx = rx.clone();
                    move || rx.recv()
                }))
            });
            tx
        });
        (0..RUNS).for_each(|n| assert_eq!(runtime.run(move || n + 1), n + 1));
        drop(keep);
    }),
    ends("short_runs_that_park_in_between", || {
        let runtime = builder(2, false).start().unwrap();
        for n in 0..RUNS / 2 {
            let sum = runtime.run(move || {
                let (tx, rx) = chan(0);
                drop(go(move || tx.send(n)));
                yield_now();
                rx.recv()
            });
            assert_eq!(sum, Some(n));
        }
    }),
    ends("runtimes_made_and_dropped", || {
        for procs in 0..400 {
            let runtime = builder(1 + procs % 3, procs % 2 == 0).start().unwrap();
            assert_eq!(runtime.run(|| go(|| 7).join().unwrap()), 7);
        }
    }),
    ends("goroutines_left_waiting_after_run_returned", || {
        let runtime = builder(2, false).start().unwrap();
        let (tx, done) = runtime.run(|| {
            let (tx, rx) = chan::<u8>(0);
            let (answer, done) = chan(1);
            drop(go(move || {
                answer.send(rx.recv()).unwrap();
            }));
            yield_now();
            (tx, done)
        });
        std::thread::sleep(A_WHILE);
        // The main thread still holds the sender.
        tx.send(5).unwrap();
        assert_eq!(done.recv(), Some(Some(5)));
    }),
    ends("main_thread_joins_what_it_spawned_and_feeds_it", || {
        let runtime = builder(1, false).start().unwrap();
        let (tx, rx) = chan::<u8>(0);
        let handle = runtime.spawn(move || rx.recv());
        std::thread::sleep(A_WHILE);
        tx.send(3).unwrap();
        assert_eq!(handle.join().unwrap(), Some(3));
    }),
    ends("run_in_a_goroutine_counts_for_no_thread", || {
        for migrating in [false, true] {
            let runtime = Arc::new(builder(2, migrating).start().unwrap());
            let (tx, rx) = chan::<u8>(0);
            let outside = std::thread::spawn(move || {
                std::thread::sleep(A_WHILE);
                tx.send(9).unwrap();
            });
            let again = runtime.clone();
            let got = runtime.run(move || again.run(move || rx.recv()));
            assert_eq!(got, Some(9));
            outside.join().unwrap();
        }
    }),
    ends(
        "panic_of_the_main_goroutine_leaves_the_thread_an_outside_one",
        || {
            let runtime = builder(1, false).start().unwrap();
            std::panic::set_hook(Box::new(|_| {}));
            let (tx, rx) = chan::<u8>(0);
            let (answer, done) = chan(1);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.run(move || {
                    drop(go(move || answer.send(rx.recv())));
                    yield_now();
                    panic!("on purpose");
                });
            }));
            assert!(ended.is_err());
            std::thread::sleep(A_WHILE);
            tx.send(8).unwrap();
            assert_eq!(done.recv(), Some(Some(8)));
        },
    ),
    ends("wait_for_a_signal", || {
        each(|| {
            let signals = signal::notify(&[Signal::USR1]).unwrap();
            let script = "sleep 0.2; kill -USR1 $PPID";
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            assert_eq!(signals.recv(), Some(Signal::USR1));
            assert!(child.wait().unwrap().success());
        });
    }),
    ends("wait_for_a_child", || {
        each(|| {
            let mut command = bench_runtime::process::Command::new("sleep");
            assert!(command.arg("0.2").status().unwrap().success());
        });
    }),
    ends("wait_for_a_pipe", || {
        each(|| {
            let (mut child, stdout) = late_child();
            assert_eq!(read_all(stdout), "late\n");
            child.wait().unwrap();
        });
    }),
    ends(
        "wait_for_a_pipe_of_another_goroutine_that_waits_for_a_pipe",
        || {
            each(|| {
                let (mut child, stdout) = late_child();
                let (tx, rx) = chan(0);
                drop(go(move || tx.send(read_all(stdout)).unwrap()));
                assert_eq!(rx.recv().as_deref(), Some("late\n"));
                child.wait().unwrap();
            });
        },
    ),
    ends(
        "wait_for_a_socket_of_another_process_that_writes_late",
        || {
            each(|| {
                let (mut reader, writer) = bench_runtime::net::pipe().unwrap();
                let write_end = std::io::PipeWriter::try_from(writer).unwrap();
                let mut child = Command::new("sh")
                    .args(["-c", "sleep 0.2; echo late"])
                    .stdout(write_end)
                    .spawn()
                    .unwrap();
                let mut line = [0; 5];
                reader.read_exact(&mut line).unwrap();
                assert_eq!(&line, b"late\n");
                child.wait().unwrap();
            });
        },
    ),
    ends("wait_to_sleep", || {
        each(|| {
            let (tx, rx) = chan(0);
            drop(go(move || {
                time::sleep(A_WHILE);
                tx.send(1).unwrap();
            }));
            assert_eq!(rx.recv(), Some(1));
        });
    }),
    ends("wait_for_a_timer", || {
        each(|| {
            let timer = time::Timer::new(A_WHILE);
            assert!(timer.receiver().recv().is_some());
        });
    }),
    ends("wait_for_a_ticker", || {
        each(|| {
            let ticker = time::Ticker::new(Duration::from_millis(20));
            assert_eq!(ticker.receiver().iter().take(4).count(), 4);
        });
    }),
    ends("wait_for_a_call_after_a_while", || {
        each(|| {
            let (tx, rx) = chan(1);
            let _call = time::after_func(A_WHILE, move || {
                let _ = tx.try_send(1);
            });
            assert_eq!(rx.recv(), Some(1));
        });
    }),
    ends("wait_with_a_time_limit", || {
        each(|| {
            let (_keep, rx) = chan::<u8>(0);
            assert!(rx.recv_timeout(A_WHILE).is_err());
        });
    }),
    ends("wait_for_a_deadline_of_a_context", || {
        each(|| {
            let (ctx, _cancel) = Context::background().with_timeout(A_WHILE);
            assert!(ctx.done().recv().is_none());
        });
    }),
    ends("short_sleeps_in_great_number", || {
        each(|| (0..2_000).for_each(|_| time::sleep(Duration::from_micros(20))));
    }),
    ends("pipes_ready_in_great_number", || {
        each(|| {
            let (mut reader, mut writer) = bench_runtime::net::pipe().unwrap();
            let (mut back, mut forth) = bench_runtime::net::pipe().unwrap();
            drop(go(move || {
                let mut byte = [0];
                while reader.read_exact(&mut byte).is_ok() {
                    forth.write_all(&byte).unwrap();
                }
            }));
            for n in 0..3_000 {
                let mut byte = [n as u8];
                writer.write_all(&byte).unwrap();
                back.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [n as u8]);
            }
        });
    }),
    ends("wait_for_a_blocking_call", || {
        each(|| {
            let (tx, rx) = chan(0);
            drop(go(move || {
                blocking(|| std::thread::sleep(A_WHILE));
                tx.send(1).unwrap();
            }));
            assert_eq!(rx.recv(), Some(1));
        });
    }),
    ends("wait_for_a_blocking_call_that_nobody_announced", || {
        each(|| {
            let (tx, rx) = chan(0);
            drop(go(move || {
                std::thread::sleep(A_WHILE);
                tx.send(1).unwrap();
            }));
            assert_eq!(rx.recv(), Some(1));
        });
    }),
    ends("blocking_calls_in_great_number", || {
        each(|| {
            for _ in 0..300 {
                let (tx, rx) = chan(0);
                drop(go(move || {
                    blocking(|| std::thread::sleep(Duration::from_micros(50)));
                    tx.send(1).unwrap();
                }));
                assert_eq!(rx.recv(), Some(1));
            }
        });
    }),
    ends("outside_thread_that_holds_a_channel_end", || {
        each(|| {
            let (tx, rx) = chan(0);
            let thread = std::thread::spawn(move || {
                std::thread::sleep(A_WHILE);
                tx.send(1).unwrap();
            });
            assert_eq!(rx.recv(), Some(1));
            blocking(|| thread.join().unwrap());
        });
    }),
    ends("outside_threads_that_come_and_go", || {
        each(|| {
            for _ in 0..500 {
                let (tx, rx) = chan(0);
                let thread = std::thread::spawn(move || tx.send(1).unwrap());
                assert_eq!(rx.recv(), Some(1));
                blocking(|| thread.join().unwrap());
            }
        });
    }),
    ends("another_runtime_that_holds_a_channel_end", || {
        let one = builder(1, false).start().unwrap();
        let two = builder(1, false).start().unwrap();
        let (tx, rx) = chan(0);
        drop(two.spawn(move || {
            time::sleep(A_WHILE);
            tx.send(1).unwrap();
        }));
        assert_eq!(one.run(move || rx.recv()), Some(1));
    }),
    ends("processors_changed_while_all_but_one_wait", || {
        let runtime = builder(4, true).start().unwrap();
        runtime.run(|| {
            let (tx, rx) = chan(0);
            let end = rx.clone();
            (0..20).for_each(|_| {
                drop(go({
                    let rx = rx.clone();
                    move || rx.recv()
                }))
            });
            for n in 0..2_000 {
                bench_runtime::gomaxprocs(Some(1 + n % 4));
                yield_now();
            }
            (0..20).for_each(|_| tx.send(1).unwrap());
            assert!(end.try_recv().is_err());
        });
    }),
    ends("outside_thread_whose_listener_gets_no_thread", || {
        let runtime = builder(1, false).start().unwrap();
        let (tx, rx) = chan(0);
        let outside = std::thread::spawn(move || {
            std::thread::sleep(A_WHILE);
            refuse(libc::SYS_clone3, 0..u32::MAX, libc::EAGAIN);
            refuse(libc::SYS_clone, 0..u32::MAX, libc::EAGAIN);
            assert!(signal::notify(&[Signal::USR1]).is_err());
            tx.send(1).unwrap();
        });
        assert_eq!(runtime.run(move || rx.recv()), Some(1));
        outside.join().unwrap();
    }),
    ends("outside_thread_of_a_fork_whose_parent_listened", || {
        drop(signal::notify(&[Signal::USR1]).unwrap());
        // SAFETY: the process has one thread that runs code of the test.
        match unsafe { libc::fork() } {
            0 => {
                let runtime = builder(1, false).start().unwrap();
                waits_for_outside_thread(&runtime);
            }
            child => {
                let mut status = 0;
                // SAFETY: fills in a number of ours.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0);
            }
        }
    }),
    ends("outside_thread_after_dumps_that_got_no_thread", || {
        let refused = || {
            // The stack of the thread that writes the dumps.
            let stack = 8 << 20..(8 << 20) + (256 << 10);
            refuse(libc::SYS_mmap, stack, libc::ENOMEM);
            let builder = builder(1, false).dumps_on_quit(true);
            builder.start().map(drop)
        };
        assert!(std::thread::spawn(refused).join().unwrap().is_err());
        let runtime = builder(1, false).dumps_on_quit(true).start().unwrap();
        waits_for_outside_thread(&runtime);
    }),
    ends("detection_switched_off", || {
        let runtime = builder(1, false).detects_deadlock(false).start().unwrap();
        drop(runtime.spawn(|| {
            let (_keep, rx) = chan::<u8>(0);
            rx.recv()
        }));
        let shown = runtime.run(|| {
            yield_now();
            bench_runtime::num_goroutine()
        });
        std::thread::sleep(A_WHILE);
        assert_eq!(shown, 2);
        assert_eq!(runtime.shutdown().unfinished_count, 1);
    }),
];

fn waits_for_outside_thread(runtime: &Runtime) {
    let (tx, rx) = chan(0);
    let outside = std::thread::spawn(move || {
        std::thread::sleep(A_WHILE);
        tx.send(1).unwrap();
    });
    assert_eq!(runtime.run(move || rx.recv()), Some(1));
    outside.join().unwrap();
}

fn builder(procs: usize, migrating: bool) -> Builder {
    let builder = Runtime::builder().procs(procs);
    match migrating {
        true => builder.migrating(),
        false => builder,
    }
}

/// Makes `call` fail with `errno` in this thread, and in those that it starts, if the call's second
/// argument is in the range `second`.
fn refuse(call: libc::c_long, second: std::ops::Range<u32>, errno: i32) {
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let compare = libc::BPF_JMP | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    // In `seccomp_data`: the number first, the second argument at 24.
    let mut program = [
        step(load, 0, 0, 0),
        step(compare | libc::BPF_JEQ, call as u32, 0, 4),
        step(load, 24, 0, 0),
        step(compare | libc::BPF_JGE, second.start, 0, 2),
        step(compare | libc::BPF_JGE, second.end, 1, 0),
        step(answer, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0),
        step(answer, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program is alive for the call, and only makes calls fail.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program);
        assert_eq!(set, 0);
    }
}

fn each(main: fn()) {
    for (procs, migrating) in [(1, false), (2, false), (2, true)] {
        builder(procs, migrating).start().unwrap().run(main);
    }
}

fn short_runs(procs: usize, migrating: bool) {
    let runtime = builder(procs, migrating).start().unwrap();
    for n in 0..RUNS {
        assert_eq!(runtime.run(move || n + 1), n + 1);
    }
}
