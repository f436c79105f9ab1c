//! The content of the flight recorder, and the format of its output.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bench_runtime::trace::{Level, Trace};
use bench_runtime::{GoBuilder, Runtime, blocking, chan, go, time, yield_now};
use serde_json::Value;

use super::sched_support::{Setting, at_each};
use crate::start::Start;

/// The "processes" of the written trace, by their numbers.
const PROCESSORS: u64 = 1;
const MACHINES: u64 = 2;

fn written(trace: &Trace) -> Vec<Value> {
    let mut json = Vec::new();
    trace.write_chrome(&mut json).expect("a Vec takes all");
    let read: Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(read["otherData"]["lost_count"], trace.lost_count());
    read["traceEvents"].as_array().expect("events").clone()
}

fn phase<'a>(events: &'a [Value], phase: &str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["ph"] == phase)
}

fn ns(value: &Value) -> u64 {
    (value.as_f64().expect("a time") * 1000.0).round() as u64
}

fn place(event: &Value) -> (u64, u64) {
    let number = |key: &str| event[key].as_u64().expect("a number");
    (number("pid"), number("tid"))
}

/// The slices of each track, which must not overlap.
fn slices(events: &[Value]) -> BTreeMap<(u64, u64), Vec<&Value>> {
    let mut tracks: BTreeMap<_, Vec<&Value>> = BTreeMap::new();
    for slice in phase(events, "X") {
        tracks.entry(place(slice)).or_default().push(slice);
    }
    for (&(pid, _), track) in &mut tracks {
        if pid == MACHINES {
            track.sort_by_key(|slice| ns(&slice["ts"]));
        }
        for pair in track.windows(2) {
            let end = ns(&pair[0]["ts"]) + ns(&pair[0]["dur"]);
            assert!(end <= ns(&pair[1]["ts"]), "{} and {}", pair[0], pair[1]);
        }
    }
    tracks
}

/// The second end of every arrow is where a goroutine begins to run. Returns the number of arrows.
fn check_arrows(events: &[Value]) -> usize {
    let runs: BTreeSet<_> = phase(events, "X")
        .map(|slice| (place(slice), ns(&slice["ts"])))
        .collect();
    let by_id = |which| -> BTreeMap<u64, &Value> {
        phase(events, which)
            .map(|arrow| (arrow["id"].as_u64().expect("an id"), arrow))
            .collect()
    };
    let (from, to) = (by_id("s"), by_id("f"));
    assert!(from.keys().eq(to.keys()));
    for (from, to) in from.values().zip(to.values()) {
        assert!(ns(&from["ts"]) <= ns(&to["ts"]), "{from} and {to}");
        assert!(runs.contains(&(place(to), ns(&to["ts"]))), "{to}");
    }
    from.len()
}

#[test]
fn trace_of_a_program_has_its_goroutines_runs_reasons_and_arrows() {
    for (procs, migrating) in [1, 2, 8].into_iter().flat_map(|p| [(p, false), (p, true)]) {
        let builder = Setting { procs, migrating }.builder();
        let runtime = builder.trace(Level::Switches).start().expect("it starts");
        runtime.run(|| {
            let (tx, rx) = chan(0);
            let named = |name: &str| GoBuilder::new().name(name);
            let reader = named("the \"reader\"").go(move || rx.iter().sum::<u32>());
            let writer = named("writer").go(move || {
                for n in 0..50 {
                    tx.send(n).expect("it reads");
                }
                time::sleep(Duration::from_millis(1));
                blocking(|| ());
                yield_now();
            });
            writer.unwrap().join().expect("it does not panic");
            assert_eq!(reader.unwrap().join().expect("it does not panic"), 1225);
        });
        let trace = runtime.trace();
        assert_eq!(trace.lost_count(), 0);
        let events = written(&trace);
        let tracks = slices(&events);
        let names: BTreeSet<&str> = (tracks.iter().filter(|((pid, _), _)| *pid == PROCESSORS))
            .flat_map(|(_, slices)| slices.iter().map(|slice| slice["name"].as_str().unwrap()))
            .collect();
        for name in ["the \"reader\" ", "writer "] {
            assert!(
                names.iter().any(|other| other.starts_with(name)),
                "{name}: {names:?}"
            );
        }
        let reasons: BTreeSet<&str> = phase(&events, "X")
            .filter_map(|slice| slice["args"]["until"].as_str())
            .collect();
        for reason in ["chan receive", "sleep", "end"] {
            assert!(reasons.contains(reason), "{reason}: {reasons:?}");
        }
        let all_have_sites = phase(&events, "X")
            .filter_map(|slice| slice["args"]["spawned_at"].as_str())
            .all(|site| site.contains(".rs:"));
        assert!(all_have_sites, "every spawn was recorded, with its site");
        assert!(tracks.keys().any(|&(pid, _)| pid == MACHINES));
        assert!(check_arrows(&events) >= 50);
    }
}

#[test]
fn coarse_trace_has_calls_and_threads_but_no_switch() {
    let runtime = Runtime::builder()
        .procs(1)
        .trace(Level::Coarse)
        .start()
        .expect("it starts");
    runtime.run(|| {
        (0..100).for_each(|_| go(yield_now).join().expect("it does not panic"));
        blocking(|| ());
        time::sleep(Duration::from_millis(1));
    });
    let events = written(&runtime.trace());
    let said = |part: &str| {
        let text = |event: &Value| {
            event["name"]
                .as_str()
                .is_some_and(|name| name.contains(part))
        };
        events.iter().any(text)
    };
    for part in [
        "blocking call of goroutine 1",
        "timers of P0: 1 ready",
        "thread of M0 starts",
    ] {
        assert!(said(part), "{part}: {events:?}");
    }
    assert!(phase(&events, "X").all(|slice| place(slice).0 == MACHINES));
    assert!(!said("yield") && !said("spawn") && !said("ready goroutine"));
}

#[test]
fn snapshots_while_eight_processors_run_are_whole() {
    at_each(&[8], |_| {
        let over = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..16)
            .map(|_| {
                let over = over.clone();
                go(move || {
                    while !over.load(Ordering::Relaxed) {
                        go(yield_now).join().expect("it does not panic");
                    }
                })
            })
            .collect();
        for round in 0..6 {
            let trace = bench_runtime::trace::snapshot();
            let events = written(&trace);
            slices(&events);
            check_arrows(&events);
            let level = [Level::Switches, Level::Coarse][round % 2];
            bench_runtime::trace::set_level(level);
            (0..20).for_each(|_| yield_now());
        }
        over.store(true, Ordering::Relaxed);
        busy.into_iter()
            .for_each(|busy| busy.join().expect("it does not panic"));
    });
}

#[test]
fn overwritten_ring_counts_the_lost_records() {
    let runtime = Runtime::builder()
        .procs(1)
        .trace(Level::Switches)
        .start()
        .expect("it starts");
    runtime.run(|| (0..5_000).for_each(|_| go(|| ()).join().expect("it does not panic")));
    let trace = runtime.trace();
    // Each round records at least a spawn, its site, a run, and the parks of both goroutines.
    assert!(trace.lost_count() > 5_000, "{}", trace.lost_count());
    let events = written(&trace);
    assert!(!slices(&events).is_empty());
    assert!(check_arrows(&events) > 100);
}

#[test]
fn level_changes_while_goroutines_run() {
    let runtime = Runtime::builder().procs(1).start().expect("it starts");
    let count = |runtime: &Runtime| {
        runtime.run(|| (0..100).for_each(|_| yield_now()));
        let events = written(&runtime.trace());
        phase(&events, "X")
            .filter(|slice| place(slice).0 == PROCESSORS)
            .count()
    };
    assert_eq!(count(&runtime), 0);
    runtime.set_trace(Level::Switches);
    let with = count(&runtime);
    assert!(with > 0);
    runtime.set_trace(Level::Coarse);
    // A goroutine that ran at the change may still be recorded.
    assert!(count(&runtime) <= with + 1);
}
