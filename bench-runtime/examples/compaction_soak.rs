//! Compaction under load: stacks are compacted and restored, millions of times, while threads and
//! other goroutines use values on them. No write may be lost, and no read may be wrong.
//!
//! `cargo run --release --example compaction_soak -- --seconds 20`

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::time::sleep;
use bench_runtime::{
    CompactionError, GoBuilder, JoinHandle, Receiver, Runtime, StackPolicy, blocking, chan,
    compaction_stats, go, scope,
};

/// A little longer than one pass of the sweep.
const AFTER: Duration = Duration::from_millis(1);
/// Goroutines for each size of slot: enough for whole chunks, whose page tables are given back.
const HOLDERS: usize = 48 * 256;
/// Goroutines on whose stacks other goroutines borrow values, as safe code may.
const LENDERS: usize = 64;
const HAMMERS: u64 = 2;
/// Long enough for most goroutines to be compacted before they are woken.
const PAUSE: Duration = Duration::from_millis(60);

/// The address of each holder's pair: zero before its first run.
static PAIRS: [AtomicUsize; 2 * HOLDERS] = [const { AtomicUsize::new(0) }; 2 * HOLDERS];
static STOP: AtomicBool = AtomicBool::new(false);
static KEPT: AtomicU64 = AtomicU64::new(0);
static WOKEN: AtomicU64 = AtomicU64::new(0);

/// Parks with values on its stack: a pair whose first half plain threads increase, and words that
/// only this goroutine reads.
fn hold(index: usize, wakes: &Receiver<()>) {
    let pair = [AtomicU64::new(0), AtomicU64::new(!(index as u64))];
    let words: [u64; 24] = std::array::from_fn(|at| (index * 31 + at) as u64);
    PAIRS[index].store((&raw const pair).addr(), Ordering::Release);
    while wakes.recv().is_some() {
        for (at, word) in black_box(&words).iter().enumerate() {
            assert_eq!(*word, (index * 31 + at) as u64, "holder {index}, word {at}");
        }
        WOKEN.fetch_add(1, Ordering::Relaxed);
    }
    KEPT.fetch_add(pair[0].load(Ordering::Relaxed), Ordering::Relaxed);
}

/// A plain thread that adds to pairs at random. Returns how many times it has added.
fn hammer(seed: u64) -> u64 {
    let (mut random, mut count) = (seed * 2 + 1, 0);
    while !STOP.load(Ordering::Relaxed) {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let index = (random >> 33) as usize % PAIRS.len();
        let pair = PAIRS[index].load(Ordering::Acquire);
        if pair != 0 {
            // SAFETY: holders keep their pairs until the hammers have ended.
            let pair = unsafe { &*std::ptr::with_exposed_provenance::<[AtomicU64; 2]>(pair) };
            for _ in 0..20 {
                assert_eq!(
                    pair[1].load(Ordering::Relaxed),
                    !(index as u64),
                    "a bad read"
                );
                pair[0].fetch_add(1, Ordering::Relaxed);
            }
            count += 20;
        }
        if random >> 60 == 0 {
            // Long enough for whole chunks of stacks to stay in their cells for a while.
            std::thread::sleep(Duration::from_millis(30));
        }
    }
    count
}

/// Parks while two goroutines, and then a helper thread, write to its stack. Returns how many
/// writes are lost.
fn lend() -> u64 {
    let mut lost = 0;
    while !STOP.load(Ordering::Relaxed) {
        let counts = [const { AtomicU64::new(0) }; 3];
        let write = |at: usize| {
            for _ in 0..3 {
                std::thread::yield_now();
                counts[at].fetch_add(1, Ordering::Relaxed);
            }
        };
        scope(|s| {
            for at in 0..2 {
                s.go(move || {
                    for _ in 0..3 {
                        sleep(Duration::from_millis(30));
                        write(at);
                    }
                });
            }
        });
        blocking(|| {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(30));
                write(2);
            }
        });
        let seen: u64 = counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        lost += seen.abs_diff(27);
    }
    lost
}

fn holders(limit: usize, from: usize, wakes: &Receiver<()>) -> Vec<JoinHandle<()>> {
    let start = |index| {
        let wakes = wakes.clone();
        GoBuilder::new()
            .stack(StackPolicy::Growable {
                initial: 2 << 10,
                limit,
            })
            .go(move || hold(index, &wakes))
            .expect("the limit is one of a slot's")
    };
    (from..from + HOLDERS).map(start).collect()
}

fn conduct(length: Duration) {
    let begin = Instant::now();
    let (waker, wakes) = chan::<()>(0);
    let mut all = holders(256 << 10, 0, &wakes);
    all.extend(holders(64 << 10, HOLDERS, &wakes));
    let lenders: Vec<_> = (0..LENDERS).map(|_| go(lend)).collect();
    let hammers: Vec<_> = (0..HAMMERS)
        .map(|seed| std::thread::spawn(move || hammer(seed)))
        .collect();
    while begin.elapsed() < length {
        sleep(PAUSE);
        for _ in 0..all.len() {
            waker.send(()).expect("holders receive");
        }
    }
    STOP.store(true, Ordering::Relaxed);
    let joined = blocking(|| {
        hammers
            .into_iter()
            .map(std::thread::JoinHandle::join)
            .collect::<Vec<_>>()
    });
    let written: u64 = joined
        .into_iter()
        .map(|count| count.expect("no bad read"))
        .sum();
    waker.close();
    for holder in all {
        holder.join().expect("a holder found its words");
    }
    let lent: u64 = lenders
        .into_iter()
        .map(|lender| lender.join().expect("no panic"))
        .sum();
    let stats = compaction_stats();
    let lost = KEPT.load(Ordering::Relaxed).abs_diff(written) + lent;
    println!(
        "compaction soak: {} stacks compacted, {} back, {} of them by a touch, {} chunks sealed, \
         {} wakes, {written} foreign writes, {lost} lost",
        stats.compacted_count,
        stats.restored_count,
        stats.touched_count,
        stats.sealed_count,
        WOKEN.load(Ordering::Relaxed),
    );
    assert_eq!(lost, 0, "foreign writes are lost");
    assert!(
        written > 0 && stats.touched_count > 0,
        "nobody touched a compacted stack"
    );
    assert!(
        stats.compacted_count > HOLDERS as u64 && stats.sealed_count > 0,
        "{stats:?}"
    );
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let seconds = match &args[..] {
        [] => Some(20),
        [flag, value] if flag == "--seconds" => value.parse().ok(),
        _ => None,
    };
    let Some(seconds) = seconds else {
        eprintln!("usage: compaction_soak [--seconds S]");
        return ExitCode::from(2);
    };
    let builder = Runtime::builder().procs(2).compact_stacks(AFTER);
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let runtime = match unsafe { builder.build() } {
        Ok(runtime) => runtime,
        Err(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            let Some(CompactionError::UserFault(_) | CompactionError::Guards) = inner else {
                eprintln!("compaction soak: the runtime does not start: {error}");
                return ExitCode::FAILURE;
            };
            println!("compaction soak: skipped: {error}");
            return ExitCode::SUCCESS;
        }
    };
    runtime.run(move || conduct(Duration::from_secs(seconds)));
    ExitCode::SUCCESS
}
