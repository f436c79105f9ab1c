//! What compaction costs: a stack that goes to its cell, one that comes back,
//! and goroutines that park too briefly for either. CPU time of the process,
//! so that what other programs do counts for little.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::{Builder, Runtime, chan, go, yield_now};
use nix::sys::resource::{UsageWho, getrusage};

use super::park::growable;
use super::table::{self, Verdicts};
use super::{child, compacted, until};

/// Long enough for all to be woken and parked again meanwhile.
const AFTER: Duration = Duration::from_secs(1);
/// Compacted and woken so often in one process.
const CYCLES: usize = 3;
const STACKS: &str = "100000";
/// Round trips of a reading, over all pairs.
const TRIPS: usize = 10_000_000;
/// Readings with and without compaction, in turn.
const TURNS: usize = 7;
/// Compaction after so little that every sweep finds the pairs in question.
const BRIEF: Duration = Duration::from_millis(20);

fn cpu_ns() -> Result<f64, String> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|error| format!("getrusage: {error}"))?;
    let ns =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e9 + time.tv_usec() as f64 * 1e3;
    Ok(ns(usage.user_time()) + ns(usage.system_time()))
}

/// The child that has goroutines compacted and wakes them, again and again;
/// answers the CPU time for each.
pub(super) fn cycle(slots: &str, count: &str) -> Result<(), String> {
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    let count: usize = count.parse().map_err(|_| "COUNT is a number")?;
    let builder = Runtime::builder().procs(1).compact_stacks(AFTER);
    let builder: Builder = match slots {
        "64k" => builder.stack(growable(64 << 10)),
        _ => builder,
    };
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let runtime = unsafe { builder.build() }.map_err(|error| error.to_string())?;
    runtime.run(move || {
        let (sender, receiver) = chan::<()>(0);
        for index in 0..count {
            let receiver = receiver.clone();
            drop(go(move || {
                while receiver.recv().is_some() {
                    WOKEN.fetch_add(1, Ordering::Relaxed);
                }
            }));
            if index % 64 == 63 {
                yield_now();
            }
        }
        drop(receiver);
        // The waiters are served in turn, so each is woken once.
        let wake_all = || -> Result<f64, String> {
            let (before, begin) = (WOKEN.load(Ordering::Relaxed), cpu_ns()?);
            for _ in 0..count {
                let _ = sender.send(());
            }
            until(|| WOKEN.load(Ordering::Relaxed) == before + count);
            Ok((cpu_ns()? - begin) / count as f64)
        };
        wake_all()?;
        for _ in 0..CYCLES {
            let plain = wake_all()?;
            let begin = cpu_ns()?;
            // Seldom, so that what it costs to look is no part of the figure.
            while compacted() + count / 1000 < count {
                bench_runtime::time::sleep(AFTER / 20);
            }
            // Page tables go in the next pass.
            bench_runtime::time::sleep(AFTER / 2);
            let compacting = (cpu_ns()? - begin) / count as f64;
            let back = wake_all()? - plain;
            println!("compaction={compacting} return={back}");
        }
        Ok(())
    })
}

/// The child in which pairs hand values to and fro; answers the CPU time of a
/// round trip.
pub(super) fn pairs(compacts: &str, pairs: &str) -> Result<(), String> {
    let pairs: usize = pairs.parse().map_err(|_| "PAIRS is a number")?;
    // Where the channels lie against the stacks, modulo a page, is worth more
    // than what is measured here; so each process has them elsewhere.
    let lines = std::process::id().wrapping_mul(2_654_435_769) >> 25;
    std::mem::forget(vec![0u8; 64 * lines as usize]);
    let builder = Runtime::builder().procs(1);
    let builder = match compacts {
        "compacting" => builder.compact_stacks(BRIEF),
        _ => builder,
    };
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let runtime = unsafe { builder.build() }.map_err(|error| error.to_string())?;
    runtime.run(move || {
        let run = |trips: usize| {
            let all: Vec<_> = (0..pairs)
                .map(|_| {
                    let (to, others) = chan::<usize>(0);
                    let (back, from) = chan::<usize>(0);
                    drop(go(move || {
                        others.into_iter().all(|i| back.send(i).is_ok());
                    }));
                    go(move || (0..trips).all(|i| to.send(i).is_ok() && from.recv() == Some(i)))
                })
                .collect();
            all.into_iter()
                .all(|pair| pair.join().is_ok_and(|right| right))
        };
        let trips = TRIPS / pairs;
        let mut right = run(trips / 10);
        let begin = cpu_ns()?;
        right &= run(trips);
        println!("trip={}", (cpu_ns()? - begin) / (trips * pairs) as f64);
        match right {
            true => Ok(()),
            false => Err("a pair lost a value".into()),
        }
    })
}

/// Measures and prints all of it.
pub(super) fn table(rounds: usize, verdicts: &mut Verdicts) -> Result<(), String> {
    table::costs_heading();
    for (slots, label) in [("default", "the default"), ("64k", "64 KiB limit")] {
        let (mut compacting, mut back) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            eprintln!("compaction and return, {label}, round {round} of {rounds}");
            let answer = child(&["cycle", slots, STACKS])?;
            compacting.extend(answer.all("compaction"));
            back.extend(answer.all("return"));
        }
        let compaction = table::cost(&format!("a stack compacted, {label}"), &mut compacting);
        verdicts.add(&format!("compaction, {label}, ns"), compaction, 1200.0);
        let back = table::cost(&format!("a stack returned, {label}"), &mut back);
        verdicts.add(&format!("return, {label}, ns"), back, 2200.0);
    }
    for pairs in ["1", "1000"] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            eprintln!("round trips of {pairs} pairs, turn {} of {TURNS}", turn + 1);
            let order = match turn % 2 {
                0 => ["plain", "compacting"],
                _ => ["compacting", "plain"],
            };
            for kind in order {
                let trip = child(&["pairs", kind, pairs])?
                    .get("trip")
                    .ok_or("no time")?;
                match kind {
                    "plain" => without.push(trip),
                    _ => with.push(trip),
                }
            }
        }
        let mut ratios: Vec<f64> = with.iter().zip(&without).map(|(a, b)| a / b).collect();
        table::cost(
            &format!("round trip of {pairs} pairs, no compaction"),
            &mut without,
        );
        table::cost("  the same in a runtime that compacts", &mut with);
        let ratio = table::ratio("  with : without", &mut ratios);
        verdicts.add(
            &format!("brief parks of {pairs} pairs, with : without"),
            ratio,
            1.02,
        );
    }
    Ok(())
}
