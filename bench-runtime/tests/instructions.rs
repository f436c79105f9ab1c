//! Counts the instructions of operations of goroutines, and compares the counts with budgets.
//!
//! Unlike times, counts hardly differ from run to run, even on a busy host. Each operation runs in
//! two children under `valgrind --tool=callgrind`, on one P: [`TIMES`] times in the first, twice as
//! often in the second. The difference of the counts, divided by `TIMES`, is the cost.
//!
//! A second table has operations that must not cost more with more Ps. Each is counted at
//! GOMAXPROCS 1 to 64, while the other threads sleep. The instructions of sysmon are left out,
//! because they depend on the time.
//!
//! Needs optimised code and valgrind: `cargo test --release -p bench-runtime
//! --test instructions`. Otherwise it prints the reason and passes, unless it
//! is optimised and `REQUIRE_VALGRIND=1`.

mod start;

use std::io::{self, Read, Write};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use bench_runtime::sync::{Mutex, WaitGroup};
use bench_runtime::{Runtime, chan, go, select, set_block_profile_rate, time, yield_now};
use start::Start;

const TIMES: u64 = 20_000;

/// An operation, and its budget in each mode: the count with Rust 1.95 on x86-64, plus 3%, but at
/// least plus 3: the counts of two runs differ by up to 2.
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
        pinned: 314,
        migrating: 325,
    },
    Operation {
        name: "spawn one and join it",
        run: spawns,
        pinned: 724,
        migrating: 635,
    },
    Operation {
        name: "spawn one of a batch of 100, counted by a WaitGroup",
        run: batches,
        pinned: 349,
        migrating: 329,
    },
    Operation {
        name: "spawn one of a batch of 100, each joined",
        run: joined_batches,
        pinned: 355,
        migrating: 350,
    },
    Operation {
        name: "round trip over two unbuffered channels",
        run: round_trips,
        pinned: 731,
        migrating: 673,
    },
    Operation {
        name: "send into and receive from a buffer",
        run: buffered,
        pinned: 82,
        migrating: 82,
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
        pinned: 363,
        migrating: 363,
    },
    Operation {
        name: "round trip over two unbuffered channels, its waits timed, few sampled",
        run: timed_round_trips,
        pinned: 1_069,
        migrating: 1_001,
    },
    // Four samples. The unwinder is the system's, so the budget is the count plus 20%.
    Operation {
        name: "round trip over two unbuffered channels, each wait sampled",
        run: sampled_round_trips,
        pinned: 39_096,
        migrating: 39_025,
    },
];

const PROCS: [usize; 4] = [1, 4, 16, 64];

/// An operation of the second table, and the fewest Ps with which it can be done.
struct Scaled {
    name: &'static str,
    run: fn(u64),
    times: u64,
    from_procs: usize,
    /// The most that its cost may grow from the fewest Ps to the most. `None` if a thread sleeps in
    /// the operation: the count then depends on the time, and is printed but not compared.
    growth: Option<f64>,
}

const SCALED: &[Scaled] = &[
    Scaled {
        name: "ready: round trip over two unbuffered channels",
        run: round_trips_on_one_thread,
        times: TIMES,
        from_procs: 1,
        growth: Some(1.2),
    },
    Scaled {
        name: "rest: sleep until a timer ends it",
        run: sleeps,
        times: 2_000,
        from_procs: 1,
        growth: None,
    },
    Scaled {
        name: "wake: be readied by a thread",
        run: wakes,
        times: 2_000,
        // In a migrating runtime the woken thread wakes another if there is an idle P.
        from_procs: 4,
        growth: None,
    },
    Scaled {
        name: "steal: spawn one, which another thread runs",
        run: thefts,
        times: 2_000,
        from_procs: 4,
        growth: None,
    },
];

/// Longer than a thread under valgrind takes to go to sleep.
const PAUSE: Duration = Duration::from_micros(500);

/// Starts as many threads as there are Ps. All others then go to sleep.
fn start_all_threads(procs: usize) {
    let all = Arc::new(Barrier::new(procs));
    let tasks: Vec<_> = (0..procs)
        .map(|_| {
            let all = all.clone();
            go(move || {
                all.wait();
            })
        })
        .collect();
    tasks
        .into_iter()
        .for_each(|task| task.join().expect("it does not panic"));
    thread::sleep(200 * PAUSE);
}

/// Both goroutines are on one thread.
fn round_trips_on_one_thread(times: u64) {
    loop {
        let here = thread::current().id();
        let (to, others) = chan::<u64>(0);
        let (back, from) = chan(0);
        let other = go(move || {
            let stolen = thread::current().id() != here;
            back.send(u64::from(stolen)).expect("it receives");
            for i in others {
                back.send(i).expect("it receives");
            }
        });
        let stolen = from.recv() == Some(1);
        for i in 0..if stolen { 0 } else { times } {
            to.send(i).expect("it receives");
            assert_eq!(from.recv(), Some(i));
        }
        drop(to);
        other.join().expect("it does not panic");
        if !stolen {
            return;
        }
    }
}

fn sleeps(times: u64) {
    (0..times).for_each(|_| time::sleep(PAUSE));
}

fn wakes(times: u64) {
    let (to, from) = chan::<u64>(0);
    let (mut answers, mut answer) = io::pipe().expect("there are descriptors");
    let other = thread::spawn(move || {
        for i in 0..times {
            thread::sleep(PAUSE);
            to.send(i).expect("it receives");
            answers.read_exact(&mut [0]).expect("it answers");
        }
    });
    for i in from {
        assert!(i < times);
        answer.write_all(&[0]).expect("it reads");
    }
    other.join().expect("it does not panic");
}

fn thefts(times: u64) {
    let (mut ends, end) = io::pipe().expect("there are descriptors");
    let end = Arc::new(end);
    for _ in 0..times {
        thread::sleep(PAUSE);
        let end = end.clone();
        drop(go(move || (&*end).write_all(&[0]).expect("it reads")));
        // This read blocks the thread, so another thread has to run the goroutine.
        ends.read_exact(&mut [0]).expect("it writes");
    }
}

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

fn child(name: &str, mode: &str, procs: usize, times: u64) {
    let builder = Runtime::builder().procs(procs);
    let builder = match mode {
        "pinned" => builder,
        _ => builder.migrating(),
    };
    let runtime = builder.start().expect("the host lets us make a runtime");
    if let Some(operation) = OPERATIONS.iter().find(|known| known.name == name) {
        return runtime.run(move || (operation.run)(times));
    }
    let Some(scaled) = SCALED.iter().find(|known| known.name == name) else {
        panic!("no operation is called {name:?}");
    };
    runtime.run(move || {
        start_all_threads(procs);
        (scaled.run)(times);
    });
}

fn count(name: &str, mode: &str, procs: usize, times: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // In this order: the first option turns collecting off at the start, and the second turns
        // it on.
        .args(["--toggle-collect=*sysmon::sysmon", "--collect-atstart=yes"])
        .arg(program)
        .args(["--child", name, mode])
        .args([procs.to_string(), times.to_string()])
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

fn cost(name: &str, mode: &str, procs: usize, times: u64) -> Result<f64, String> {
    let short = count(name, mode, procs, times)?;
    let long = count(name, mode, procs, 2 * times)?;
    Ok(long.saturating_sub(short) as f64 / times as f64)
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
    if let [_, flag, name, mode, procs, times] = &arguments[..]
        && flag == "--child"
    {
        let number = |text: &str| text.parse().expect("a number");
        child(name, mode, number(procs) as usize, number(times));
        return ExitCode::SUCCESS;
    }
    if let Some(why) = missing() {
        // Without optimisation the test passes, because `cargo test` runs it.
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
            match cost(operation.name, mode, 1, TIMES) {
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
    for scaled in SCALED {
        for mode in ["pinned", "migrating"] {
            let procs = PROCS
                .into_iter()
                .filter(|&procs| procs >= scaled.from_procs);
            let costs = procs.map(|procs| cost(scaled.name, mode, procs, scaled.times));
            match costs.collect::<Result<Vec<_>, _>>() {
                Ok(costs) => {
                    let growth = costs.last().unwrap_or(&0.0) / costs[0];
                    let is_over = scaled.growth.is_some_and(|most| growth > most);
                    over |= is_over;
                    let word = match scaled.growth {
                        None => "seen",
                        Some(_) if is_over => "OVER",
                        Some(_) => "ok",
                    };
                    println!(
                        "{word:4} {growth:.2} times  {}, {mode}, {} to 64 Ps: {costs:.0?}",
                        scaled.name, scaled.from_procs
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
