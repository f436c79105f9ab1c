//! The child that brings goroutines to a state, reads the ledger, wakes them
//! and checks their sum.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{Builder, Runtime, StackPolicy, chan, go, yield_now};

use super::ledger::Ledger;
use super::{compacted, until};

/// Parked for this long before it is compacted.
const AFTER: Duration = Duration::from_millis(100);
/// More goroutines than this that run or wait uncompacted would not fit.
const BACKLOG: usize = 1_000_000;
/// Slots whose neighbours run wait longer for their compaction, one in this many.
const STRAGGLERS: usize = 1000;

/// What goroutines are brought to.
pub(super) struct State {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
}

pub(super) const STATES: &[State] = &[
    State {
        name: "unrun",
        label: "spawned, not yet run",
    },
    State {
        name: "parked",
        label: "parked (the default)",
    },
    State {
        name: "parked-64k",
        label: "parked, 64 KiB limit",
    },
    State {
        name: "fixed-8k",
        label: "parked, fixed 8 KiB",
    },
    State {
        name: "compacted",
        label: "parked and compacted (the default)",
    },
    State {
        name: "compacted-64k",
        label: "parked and compacted, 64 KiB limit",
    },
];

/// The state that a huge number of goroutines is brought to.
pub(super) const HUGE: &str = "compacted";

/// Growable stacks with another limit.
pub(super) fn growable(limit: usize) -> StackPolicy {
    StackPolicy::Growable {
        initial: 2 << 10,
        limit,
    }
}

fn builder(state: &str) -> Result<Builder, String> {
    let builder = Runtime::builder().procs(2);
    Ok(match state {
        // So that no other M runs them while they are made.
        "unrun" => builder.seed(1),
        "parked" => builder,
        "parked-64k" => builder.stack(growable(64 << 10)),
        "fixed-8k" => builder.stack(StackPolicy::Fixed(8 << 10)),
        "compacted" => builder.compact_stacks(AFTER),
        "compacted-64k" => builder.stack(growable(64 << 10)).compact_stacks(AFTER),
        _ => return Err(format!("no state is called {state:?}")),
    })
}

static STARTED: AtomicUsize = AtomicUsize::new(0);
static SUM: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// Answers the ledger and the time of each part.
pub(super) fn child(state: &str, count: &str) -> Result<(), String> {
    let count: usize = count.parse().map_err(|_| "COUNT is a number")?;
    let builder = builder(state)?;
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let runtime = unsafe { builder.build() }.map_err(|error| error.to_string())?;
    let (unrun, compacts) = (state == "unrun", state.starts_with("compacted"));
    runtime.run(move || {
        // What the first goroutine costs belongs to the runtime.
        let _ = go(|| ()).join();
        let (sender, receiver) = chan::<u64>(0);
        let before = Ledger::read(bench_runtime::time::sleep)?;
        let start = Instant::now();
        for index in 0..count {
            let receiver = receiver.clone();
            drop(go(move || {
                STARTED.fetch_add(1, Ordering::Relaxed);
                if let Some(value) = receiver.recv() {
                    SUM.fetch_add(value, Ordering::Relaxed);
                }
                ENDED.fetch_add(1, Ordering::Relaxed);
            }));
            if !unrun && index % 64 == 63 {
                yield_now();
            }
            if compacts && index % 65_536 == 65_535 && index > BACKLOG {
                until(|| STARTED.load(Ordering::Relaxed) > index - 1000);
                until(|| index - compacted() < BACKLOG);
            }
        }
        let made = start.elapsed();
        let start = Instant::now();
        let after = if unrun {
            // The thread sleeps, not the goroutine: then they would run.
            let after = Ledger::read(std::thread::sleep)?;
            let started = STARTED.load(Ordering::Relaxed);
            if started != 0 {
                return Err(format!("{started} of {count} have run before they should"));
            }
            after
        } else {
            until(|| STARTED.load(Ordering::Relaxed) == count);
            if compacts {
                until(|| compacted() + count / STRAGGLERS >= count);
                // Page tables go in the next pass.
                bench_runtime::time::sleep(2 * AFTER);
            }
            Ledger::read(bench_runtime::time::sleep)?
        };
        let reached = start.elapsed();
        let start = Instant::now();
        for value in 0..count {
            let _ = sender.send(value as u64);
            // A readied goroutine holds whole pages until it has run: a program that
            // wakes faster than it runs needs the room for it.
            if value % 65_536 == 65_535 {
                until(|| ENDED.load(Ordering::Relaxed) > value);
            }
        }
        until(|| ENDED.load(Ordering::Relaxed) == count);
        let woken = start.elapsed();
        let (sum, expected) = (
            SUM.load(Ordering::Relaxed),
            count as u64 * (count as u64 - 1) / 2,
        );
        if sum != expected {
            return Err(format!("the sum is {sum}, not {expected}"));
        }
        println!(
            "{} peak={} made={} reached={} woken={}",
            after.since(&before),
            Ledger::glance()?.peak(),
            made.as_nanos(),
            reached.as_nanos(),
            woken.as_nanos()
        );
        Ok(())
    })
}
