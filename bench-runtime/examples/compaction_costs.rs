//! The CPU time of compaction: for a stack that is compacted, for one that is restored, and for
//! round trips that are too short for compaction.
//!
//! `cargo run --release -p bench-runtime --example compaction_costs`
//!
//! Each reading is a separate process. All readings take three minutes on two CPUs.

use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{Runtime, StackPolicy, chan, compaction_stats, go, time, yield_now};
use nix::sys::resource::{UsageWho, getrusage};

const TIMEOUT: Duration = Duration::from_secs(120);
/// How long a goroutine is parked before its stack is compacted: long enough for all goroutines to
/// be woken and to park again.
const AFTER: Duration = Duration::from_secs(1);
/// How often all goroutines are compacted and woken in one process.
const CYCLES: usize = 3;
const STACKS: usize = 100_000;
/// Processes for each size of stack.
const ROUNDS: usize = 3;
/// The round trips of a reading, of all pairs together.
const TRIPS: usize = 10_000_000;
/// Readings with and without compaction, in turn.
const TURNS: usize = 7;
/// Short, so that each sweep reads the pairs' stacks.
const BRIEF: Duration = Duration::from_millis(20);

fn cpu_ns() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the usage of this process");
    let ns =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e9 + time.tv_usec() as f64 * 1e3;
    ns(usage.user_time()) + ns(usage.system_time())
}

fn compacted() -> usize {
    let stats = compaction_stats();
    (stats.compacted_count - stats.restored_count) as usize
}

fn until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIMEOUT, "no end in {TIMEOUT:?}");
        time::sleep(Duration::from_millis(2));
    }
}

/// Prints the CPU time of compacting and of waking, for each goroutine.
fn cycle(slots: &str) {
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    let builder = Runtime::builder().procs(1).compact_stacks(AFTER);
    let builder = match slots {
        "64k" => builder.stack(StackPolicy::Growable {
            initial: 2 << 10,
            limit: 64 << 10,
        }),
        _ => builder,
    };
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let runtime = unsafe { builder.build() }.expect("a runtime that compacts");
    runtime.run(move || {
        let (sender, receiver) = chan::<()>(0);
        for index in 0..STACKS {
            let receiver = receiver.clone();
            go! {
                while receiver.recv().is_some() {
                    WOKEN.fetch_add(1, Ordering::Relaxed);
                }
            }
            if index % 64 == 63 {
                yield_now();
            }
        }
        drop(receiver);
        // The channel serves its waiters in order, so each is woken once.
        let wake_all = || {
            let (before, begin) = (WOKEN.load(Ordering::Relaxed), cpu_ns());
            for _ in 0..STACKS {
                let _ = sender.send(());
            }
            until(|| WOKEN.load(Ordering::Relaxed) == before + STACKS);
            (cpu_ns() - begin) / STACKS as f64
        };
        wake_all();
        for _ in 0..CYCLES {
            let plain = wake_all();
            let begin = cpu_ns();
            // A few stacks share pages with stacks in use.
            while compacted() + STACKS / 1000 < STACKS {
                time::sleep(AFTER / 20);
            }
            // The next pass gives back the page tables.
            time::sleep(AFTER / 2);
            let compacting = (cpu_ns() - begin) / STACKS as f64;
            println!("compacted {compacting}\nrestored {}", wake_all() - plain);
        }
    });
}

/// Pairs send values to and fro. Prints the CPU time of a round trip.
fn pairs(mode: &str, pairs: usize) {
    // Where a channel lies relative to the stacks, modulo a page, has more effect on the time than
    // compaction. So its address differs in each process.
    let lines = std::process::id().wrapping_mul(2_654_435_769) >> 25;
    std::mem::forget(vec![0u8; 64 * lines as usize]);
    let builder = Runtime::builder().procs(1);
    let builder = match mode {
        "compacting" => builder.compact_stacks(BRIEF),
        _ => builder,
    };
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let runtime = unsafe { builder.build() }.expect("a runtime");
    runtime.run(move || {
        let run = |trips: usize| {
            let all: Vec<_> = (0..pairs)
                .map(|_| {
                    let (to, others) = chan::<usize>(0);
                    let (back, from) = chan::<usize>(0);
                    go!(others.into_iter().all(|i| back.send(i).is_ok()));
                    go(move || (0..trips).all(|i| to.send(i).is_ok() && from.recv() == Some(i)))
                })
                .collect();
            for pair in all {
                assert!(pair.join().expect("no panic"), "a pair lost a value");
            }
        };
        let trips = TRIPS / pairs;
        run(trips / 10);
        let begin = cpu_ns();
        run(trips);
        println!("trip {}", (cpu_ns() - begin) / (trips * pairs) as f64);
    });
}

/// Runs this program again. Returns the values that it prints after `name`.
fn child(arguments: [&str; 2], name: &str) -> Vec<f64> {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    let output = command.args(arguments).stderr(Stdio::inherit()).output();
    let output = output.expect("the program runs again");
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let values = text.lines().filter_map(|line| line.strip_prefix(name));
    values
        .filter_map(|value| value.trim().parse().ok())
        .collect()
}

fn line(label: &str, mut values: Vec<f64>, digits: usize) {
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else {
        return println!("{label:52} no value");
    };
    let range = format!("{least:.digits$}-{most:.digits$}");
    println!(
        "{label:52} {:>8.digits$} {range:>15}",
        values[values.len() / 2]
    );
}

fn tables() {
    println!("{:52} {:>8} {:>15}", "CPU time, ns", "median", "range");
    for (slots, label) in [("default", "the default"), ("64k", "a limit of 64 KiB")] {
        for (name, what) in [
            ("compacted", "a stack compacted"),
            ("restored", "a stack restored"),
        ] {
            let each = (0..ROUNDS).flat_map(|_| child(["cycle", slots], name));
            line(&format!("{what}, {label}"), each.collect(), 0);
        }
    }
    for pairs in ["1", "1000"] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            // Each of the two runs first in every second turn.
            for compacts in [turn % 2 == 1, turn % 2 == 0] {
                match compacts {
                    true => with.extend(child(["compacting", pairs], "trip")),
                    false => without.extend(child(["plain", pairs], "trip")),
                }
            }
        }
        let ratios = with
            .iter()
            .zip(&without)
            .map(|(with, without)| with / without);
        let ratios = ratios.collect();
        line(
            &format!("round trip of {pairs} pairs, no compaction"),
            without,
            0,
        );
        line("  the same in a runtime that compacts", with, 0);
        line("  with : without", ratios, 3);
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => tables(),
        ["cycle", slots] => cycle(slots),
        [mode @ ("plain" | "compacting"), count] if count.parse::<usize>().is_ok_and(|n| n > 0) => {
            pairs(mode, count.parse().unwrap_or(1));
        }
        _ => {
            eprintln!("no arguments; see the top of the source");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
