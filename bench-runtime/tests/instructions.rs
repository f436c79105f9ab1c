//! How many instructions the operations of a goroutine take, held to a budget.
//!
//! Time differs from run to run, instructions hardly do; so a path that grew is
//! found here, on the busiest host. Each operation is run this many times and
//! twice as many in a child under `valgrind --tool=callgrind`, one P; the
//! difference of the two counts, divided by the number of operations, is its
//! cost, without start and end of the process.
//!
//! Needs optimised code and valgrind: `cargo test --release -p bench-runtime
//! --test instructions`. Otherwise it prints the reason and passes, unless it
//! is optimised and `REQUIRE_VALGRIND=1`.

mod start;

use std::process::{Command, ExitCode};
use std::time::Duration;

use bench_runtime::sync::{Mutex, WaitGroup};
use bench_runtime::{Runtime, chan, go, select, set_block_profile_rate, yield_now};
use start::Start;

/// The times of the shorter run.
const TIMES: u64 = 20_000;

/// An operation, how it is done this many times, and its budget: the count with
/// Rust 1.95 on x86-64, and 3% more.
struct Operation {
    name: &'static str,
    run: fn(u64),
    pinned: u64,
    migrating: u64,
}

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "yield to another and be yielded to",
        run: yields,
        pinned: 333,
        migrating: 343,
    },
    Operation {
        name: "spawn one and join it",
        run: spawns,
        pinned: 735,
        migrating: 641,
    },
    Operation {
        name: "spawn one of a batch of 100, counted by a WaitGroup",
        run: batches,
        pinned: 349,
        migrating: 336,
    },
    Operation {
        name: "spawn one of a batch of 100, each joined",
        run: joined_batches,
        pinned: 359,
        migrating: 361,
    },
    Operation {
        name: "round trip over two unbuffered channels",
        run: round_trips,
        pinned: 769,
        migrating: 691,
    },
    Operation {
        name: "send into and receive from a buffer",
        run: buffered,
        pinned: 92,
        migrating: 92,
    },
    Operation {
        name: "lock and unlock a free mutex",
        run: locks,
        pinned: 18,
        migrating: 18,
    },
    Operation {
        name: "select of two, one ready",
        run: selects,
        pinned: 377,
        migrating: 377,
    },
    Operation {
        name: "round trip over two unbuffered channels, its waits timed, few sampled",
        run: timed_round_trips,
        pinned: 1_069,
        migrating: 1_001,
    },
    // Four samples; the unwinder is the system's, so a fifth more.
    Operation {
        name: "round trip over two unbuffered channels, each wait sampled",
        run: sampled_round_trips,
        pinned: 39_300,
        migrating: 39_300,
    },
];

fn yields(times: u64) {
    let other = go(move || (0..times).for_each(|_| yield_now()));
    (0..times).for_each(|_| yield_now());
    other.join().expect("it does not panic");
}

fn spawns(times: u64) {
    for i in 0..times {
        assert_eq!(go(move || i).join().expect("it does not panic"), i);
    }
}

fn batches(times: u64) {
    for _ in 0..times / 100 {
        let all = WaitGroup::new();
        (0..100).for_each(|_| all.go(|| {}));
        all.wait();
    }
}

fn joined_batches(times: u64) {
    for _ in 0..times / 100 {
        let all: Vec<_> = (0..100).map(|i| go(move || i)).collect();
        let sum: u64 = all
            .into_iter()
            .map(|one| one.join().expect("it does not panic"))
            .sum();
        assert_eq!(sum, 4_950);
    }
}

fn round_trips(times: u64) {
    let (to, others) = chan::<u64>(0);
    let (back, from) = chan(0);
    let other = go(move || {
        others
            .into_iter()
            .for_each(|i| back.send(i).expect("it receives"))
    });
    for i in 0..times {
        to.send(i).expect("it receives");
        assert_eq!(from.recv(), Some(i));
    }
    drop(to);
    other.join().expect("it does not panic");
}

fn timed_round_trips(times: u64) {
    set_block_profile_rate(Duration::from_secs(1_000));
    round_trips(times);
}

fn sampled_round_trips(times: u64) {
    set_block_profile_rate(Duration::from_nanos(1));
    round_trips(times);
}

fn buffered(times: u64) {
    let (to, from) = chan(1);
    for i in 0..times {
        to.send(i).expect("it receives");
        assert_eq!(from.recv(), Some(i));
    }
}

fn locks(times: u64) {
    let mutex = Mutex::new(0);
    (0..times).for_each(|_| *mutex.lock() += 1);
    assert_eq!(*mutex.lock(), times);
}

fn selects(times: u64) {
    let (to, from) = chan(1);
    let (_open, never) = chan::<u64>(0);
    for i in 0..times {
        to.send(i).expect("it receives");
        let got = select! {
            recv(from) -> value => value,
            recv(never) -> value => value,
        };
        assert_eq!(got, Some(i));
    }
}

/// In the child: runs the operation.
#[allow(unsafe_code, reason = "a migrating runtime is asked for by unsafe")]
fn child(name: &str, mode: &str, times: u64) {
    let Some(operation) = OPERATIONS.iter().find(|known| known.name == name) else {
        panic!("no operation is called {name:?}");
    };
    let run = operation.run;
    let builder = Runtime::builder().procs(1);
    let builder = match mode {
        "pinned" => builder,
        _ => builder.migrating(),
    };
    let runtime = builder.start().expect("the host lets us make a runtime");
    runtime.run(move || run(times));
}

/// The count of callgrind for a child that runs it this many times.
fn count(name: &str, mode: &str, times: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--child", name, mode, &times.to_string()])
        .output()
        .map_err(|error| format!("starting valgrind: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{name}, {mode}: {}\n{words}", output.status));
    }
    let line = words
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    line.and_then(|(_, count)| count.trim().parse().ok())
        .ok_or_else(|| format!("valgrind tells no count:\n{words}"))
}

/// Instructions of one operation.
fn cost(name: &str, mode: &str) -> Result<f64, String> {
    let (short, long) = (count(name, mode, TIMES)?, count(name, mode, 2 * TIMES)?);
    Ok(long.saturating_sub(short) as f64 / TIMES as f64)
}

fn missing() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the budget is of x86-64");
    }
    if cfg!(debug_assertions) {
        return Some("instructions of code that is not optimised say nothing: use --release");
    }
    let found = Command::new("valgrind").arg("--version").output();
    match found.is_ok_and(|output| output.status.success()) {
        true => None,
        false => Some("valgrind is not installed: apt-get install valgrind"),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name, mode, times] = &arguments[..]
        && flag == "--child"
    {
        child(name, mode, times.parse().expect("a number of times"));
        return ExitCode::SUCCESS;
    }
    if let Some(why) = missing() {
        // Code that is not optimised is no reason to fail: `cargo test` runs it.
        let required = !cfg!(debug_assertions)
            && std::env::var_os("REQUIRE_VALGRIND").is_some_and(|value| value == "1");
        println!("instructions: skipped: {why}");
        return ExitCode::from(u8::from(required));
    }
    let mut over = false;
    for operation in OPERATIONS {
        for (mode, budget) in [
            ("pinned", operation.pinned),
            ("migrating", operation.migrating),
        ] {
            match cost(operation.name, mode) {
                Ok(cost) => {
                    let is_over = cost > budget as f64;
                    over |= is_over;
                    let word = if is_over { "OVER" } else { "ok" };
                    println!(
                        "{word:4} {cost:8.1} of {budget:5}  {}, {mode}",
                        operation.name
                    );
                }
                Err(error) => {
                    over = true;
                    println!("FAILED {error}");
                }
            }
        }
    }
    ExitCode::from(u8::from(over))
}
