//! Profiles of goroutines, in every state that a stack may be in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::pprof;
use crate::start::Start;
use bench_runtime::{
    GoBuilder, GoroutineProfile, Runtime, StackGroup, chan, compaction_stats, go,
    goroutine_profile, sync, time, yield_now,
};

/// Adds a frame.
#[inline(never)]
fn wait_for_the_end(rx: &bench_runtime::Receiver<()>) {
    rx.recv();
    std::hint::black_box(());
}

#[inline(never)]
fn outer_caller(rx: &bench_runtime::Receiver<()>) {
    wait_for_the_end(rx);
    std::hint::black_box(());
}

fn group<'a>(profile: &'a GoroutineProfile, function: &str) -> &'a StackGroup {
    let waits = |group: &&StackGroup| {
        group
            .frames
            .iter()
            .any(|frame| frame.function.contains(function))
    };
    let found = profile.groups.iter().find(waits);
    found.unwrap_or_else(|| panic!("{function} is not in:\n{profile}"))
}

fn park_many(runtime: &Runtime, count: usize) -> bench_runtime::Sender<()> {
    let (tx, rx) = chan::<()>(0);
    for _ in 0..count {
        let rx = rx.clone();
        drop(runtime.spawn(move || outer_caller(&rx)));
    }
    let parked = || runtime.goroutines().iter().filter(|g| g.waits).count();
    while parked() < count {
        std::thread::yield_now();
    }
    tx
}

#[test]
fn equal_stacks_are_one_group_with_function_file_and_line() {
    let runtime = Runtime::builder().start().unwrap();
    let tx = park_many(&runtime, 100);
    let profile = runtime.goroutine_profile();
    let waiting = group(&profile, "wait_for_the_end");
    assert_eq!(waiting.goroutines.len(), 100, "{profile}");
    assert_eq!(waiting.state, "chan receive");
    let frames = &waiting.frames;
    let place = |function: &str| {
        let mut frames = frames.iter();
        frames
            .position(|frame| frame.function.contains(function))
            .unwrap()
    };
    assert!(place("recv") < place("wait_for_the_end"), "{profile}");
    assert!(
        place("wait_for_the_end") < place("outer_caller"),
        "{profile}"
    );
    let frame = &frames[place("outer_caller")];
    assert!(frame.file.as_ref().unwrap().ends_with("profile.rs"));
    assert!(frame.line.unwrap() > 0);
    assert!(
        profile
            .to_string()
            .contains("100 goroutines [chan receive]")
    );
    drop(tx);
}

#[test]
fn a_compacted_stack_is_read_where_it_is_and_stays_compacted() {
    let built = Runtime::builder()
        .compact_stacks(Duration::from_millis(20))
        .start();
    let Ok(runtime) = built else { return };
    let before = compaction_stats();
    let tx = park_many(&runtime, 300);
    while compaction_stats().compacted_count < before.compacted_count + 200 {
        std::thread::yield_now();
    }
    // On a busy host the sweep may claim some stacks for long.
    let of_all = (0..20).any(|_| {
        let profile = runtime.goroutine_profile();
        group(&profile, "outer_caller").goroutines.len() == 300
    });
    assert!(of_all, "{}", runtime.goroutine_profile());
    drop(tx);
}

#[test]
fn large_stacks_of_one_batch_have_their_frames_too() {
    #[inline(never)]
    fn waits_above_a_large_frame(rx: &bench_runtime::Receiver<()>) {
        let frame = std::hint::black_box([1u8; 20_000]);
        wait_for_the_end(rx);
        std::hint::black_box(frame);
    }
    let runtime = Runtime::builder().start().unwrap();
    let (tx, rx) = chan::<()>(0);
    for _ in 0..100 {
        let rx = rx.clone();
        drop(runtime.spawn(move || waits_above_a_large_frame(&rx)));
    }
    while runtime.goroutines().iter().filter(|g| g.waits).count() < 100 {
        std::thread::yield_now();
    }
    let profile = runtime.goroutine_profile();
    let waiting = group(&profile, "waits_above_a_large_frame");
    assert_eq!(waiting.goroutines.len(), 100, "{profile}");
    drop(tx);
}

#[test]
fn goroutines_go_on_while_profiles_are_made() {
    let runtime = Runtime::builder().procs(2).start().unwrap();
    let tx = park_many(&runtime, 1);
    let pairs: Vec<_> = (0..20)
        .map(|_| {
            let (there, back) = (chan::<u32>(0), chan::<u32>(0));
            drop(runtime.spawn(move || there.1.into_iter().for_each(|n| back.0.send(n).unwrap())));
            runtime.spawn(move || {
                (0..5_000).for_each(|n| {
                    there.0.send(n).unwrap();
                    assert_eq!(back.1.recv(), Some(n));
                });
            })
        })
        .collect();
    let mut profiles = 0;
    // All but the parked goroutine may end meanwhile.
    while profiles == 0 || runtime.goroutines().len() > 1 {
        let profile = runtime.goroutine_profile();
        assert_eq!(group(&profile, "wait_for_the_end").goroutines.len(), 1);
        profiles += 1;
    }
    pairs.into_iter().for_each(|pair| pair.join().unwrap());
    drop(tx);
}

/// Names, mutexes and stacks are freed while they are read.
#[test]
fn goroutine_that_ends_while_it_is_read_is_reported_whole_or_not_at_all() {
    let runtime = Runtime::builder().procs(2).start().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let own = stop.clone();
    let churn = runtime.spawn(move || {
        let mut number = 0;
        while !own.load(Ordering::Relaxed) {
            let mutex = Arc::new(sync::Mutex::new(()));
            let held = mutex.lock();
            let waiters: Vec<_> = (0..20)
                .map(|_| {
                    number += 1;
                    let mutex = mutex.clone();
                    let name = format!("{number}-").repeat(1 + number % 7);
                    GoBuilder::new()
                        .name(&name)
                        .go(move || drop(mutex.lock()))
                        .unwrap()
                })
                .collect();
            yield_now();
            drop(held);
            drop(mutex);
            waiters
                .into_iter()
                .for_each(|waiter| waiter.join().unwrap());
        }
    });
    let (mut named, mut holders) = (0, 0);
    while named < 2_000 || holders < 20 {
        let profile = runtime.goroutine_profile();
        let groups = profile.groups.iter().flat_map(|group| &group.goroutines);
        let all: Vec<_> = groups.cloned().chain(runtime.goroutines()).collect();
        for seen in &all {
            assert!(
                seen.spawned_at.as_ref().unwrap().contains("profile.rs"),
                "{seen}"
            );
            holders += usize::from(seen.held_by == Some(churn.id()));
            let Some(name) = &seen.name else { continue };
            let number = name.split('-').next().unwrap();
            let repeat = 1 + number.parse::<usize>().unwrap() % 7;
            assert_eq!(*name, format!("{number}-").repeat(repeat));
            assert!(seen.state != "dead");
            named += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    churn.join().unwrap();
}

#[test]
fn leak_report_has_the_stacks() {
    #[inline(never)]
    fn waits_for_a_lock(lock: &sync::Mutex<()>) {
        drop(lock.lock());
        std::hint::black_box(());
    }
    let runtime = Runtime::builder().start().unwrap();
    runtime.run(|| {
        let lock = Arc::new(sync::Mutex::new(()));
        let held = lock.lock();
        let waits = lock.clone();
        drop(go(move || waits_for_a_lock(&waits)));
        time::sleep(Duration::from_millis(5));
        std::mem::forget(held);
    });
    while runtime.goroutines().iter().any(|g| !g.waits) {
        std::thread::yield_now();
    }
    let left = runtime.shutdown();
    assert_eq!(left.unfinished_count, 1);
    let frames = &group(&left.stacks, "waits_for_a_lock").frames;
    // The program's frames, without those that start the goroutine.
    let file = |frame: &bench_runtime::Frame| frame.file.clone().unwrap();
    assert!(file(frames.last().unwrap()).ends_with("tests/it/profile.rs"));
}

#[test]
fn pprof_of_go_opens_the_profile() {
    let runtime = Runtime::builder().start().unwrap();
    let _tx = park_many(&runtime, 7);
    let profile = runtime.goroutine_profile();
    let Some(said) = pprof::top(|out| profile.write_pprof(out)) else {
        return;
    };
    assert!(said.contains("Type: goroutine"), "{said}");
    assert!(said.contains("wait_for_the_end"), "{said}");
}

#[test]
fn goroutines_of_the_same_thread_run_while_a_profile_is_made() {
    let runtime = Runtime::builder().procs(1).start().unwrap();
    let tx = park_many(&runtime, 20_000);
    runtime.run(|| {
        let turns = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let runner = go({
            let (turns, stop) = (turns.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    turns.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
            }
        });
        while turns.load(Ordering::Relaxed) == 0 {
            yield_now();
        }
        let before = turns.load(Ordering::Relaxed);
        let profile = goroutine_profile();
        assert_ne!(turns.load(Ordering::Relaxed), before);
        assert_eq!(group(&profile, "wait_for_the_end").goroutines.len(), 20_000);
        stop.store(true, Ordering::Relaxed);
        runner.join().unwrap();
    });
    drop(tx);
}
