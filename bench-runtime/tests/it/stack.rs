//! Stacks from a user's view: growth, trimming, and compaction of goroutines in every kind of wait.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::start::Start;
use bench_runtime::sync::{Mutex, WaitGroup};
use bench_runtime::{
    Builder, Runtime, StackPolicy, chan, compaction_stats, go, scope, select, stack_usage,
};

const TIMEOUT: Duration = Duration::from_secs(60);

fn small() -> StackPolicy {
    StackPolicy::Growable {
        initial: 2 << 10,
        limit: 64 << 10,
    }
}

/// Runs `body` in both modes, in a runtime that compacts stacks that were parked for 20 ms. Skipped
/// if the kernel does not support compaction.
fn with_compaction(body: fn()) {
    let builders: [fn(Builder) -> Builder; 2] = [|builder| builder, |builder| builder.migrating()];
    for builder in builders {
        let runtime = builder(Runtime::builder())
            .procs(2)
            .stack(small())
            .compact_stacks(Duration::from_millis(20))
            .start();
        match runtime {
            Ok(runtime) => runtime.run(body),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
}

fn wait_for_compacted(before: u64, more: u64) {
    let start = Instant::now();
    while compaction_stats().compacted_count < before + more {
        assert!(start.elapsed() < TIMEOUT, "{:?}", compaction_stats());
        bench_runtime::time::sleep(Duration::from_millis(5));
    }
}

/// Up to 100 KiB also fit on a small stack, which goroutines get while other tests have ten
/// thousand large ones.
#[inline(never)]
fn deep(bytes: usize) -> usize {
    let local = black_box([1u8; 1024]);
    match bytes {
        0..=1024 => local[7].into(),
        _ => deep(bytes - 1024) + usize::from(local[9]),
    }
}

#[test]
fn stack_grows_on_demand_and_reports_its_size() {
    let runtime = Runtime::builder().procs(1).start().unwrap();
    runtime.run(|| {
        let before = stack_usage().unwrap();
        black_box(deep(100 << 10));
        let after = stack_usage().unwrap();
        assert!(before.committed_bytes < 64 << 10, "{before:?}");
        assert!(after.committed_bytes >= 100 << 10, "{after:?}");
        assert!(after.peak_bytes >= 100 << 10, "{after:?}");
        assert!(after.growth_count > before.growth_count);
    });
    assert_eq!(stack_usage(), None);
}

#[test]
fn thousand_goroutines_grow_at_once_while_others_park() {
    let runtime = Runtime::builder().procs(4).start().unwrap();
    runtime.run(|| {
        let (sender, receiver) = chan::<usize>(0);
        let parked: Vec<_> = (0..1000)
            .map(|_| {
                let receiver = receiver.clone();
                go(move || receiver.recv().unwrap())
            })
            .collect();
        let growing: Vec<_> = (0..1000usize)
            .map(|index| go(move || deep((index % 100) << 10)))
            .collect();
        for (index, handle) in growing.into_iter().enumerate() {
            let kib = (index % 100).max(1);
            assert_eq!(handle.join().unwrap(), kib);
        }
        (0..1000).for_each(|index| sender.send(index).unwrap());
        let sum: usize = parked
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(sum, 499_500);
    });
}

#[test]
fn pages_of_a_deep_call_go_back_while_its_goroutine_waits() {
    let runtime = Runtime::builder().procs(2).start().unwrap();
    runtime.run(|| {
        let (sender, receiver) = chan::<()>(0);
        let handle = go(move || {
            black_box(deep(100 << 10));
            let deep = stack_usage().unwrap();
            receiver.recv();
            (deep, stack_usage().unwrap())
        });
        // The sweep comes a second after the park, or later.
        bench_runtime::time::sleep(Duration::from_secs(3));
        sender.send(()).unwrap();
        let (deep, after) = handle.join().unwrap();
        assert!(deep.committed_bytes >= 100 << 10, "{deep:?}");
        assert!(after.committed_bytes < 32 << 10, "{after:?}");
        assert!(after.peak_bytes >= 100 << 10, "{after:?}");
    });
}

#[test]
fn locals_survive_compaction_in_blocked_receive_select_lock_and_sleep() {
    with_compaction(|| {
        const EACH: usize = 300;
        let before = compaction_stats().compacted_count;
        let (sender, receiver) = chan::<usize>(0);
        let (never_sender, never) = chan::<usize>(0);
        let mutex = Arc::new(Mutex::new(0usize));
        let held = mutex.lock();
        let mut handles = Vec::new();
        for index in 0..EACH {
            let local = move || black_box([index; 50]);
            let from = receiver.clone();
            handles.push(go(move || {
                let local = local();
                from.recv().unwrap();
                local.iter().sum::<usize>()
            }));
            let (from, never) = (receiver.clone(), never.clone());
            handles.push(go(move || {
                let local = local();
                select! {
                    recv(from) -> value => assert!(value.is_some()),
                    recv(never) -> _value => unreachable!("nobody sends there"),
                }
                local.iter().sum::<usize>()
            }));
            let mutex = mutex.clone();
            handles.push(go(move || {
                let local = local();
                *mutex.lock() += 1;
                local.iter().sum::<usize>()
            }));
            handles.push(go(move || {
                let local = local();
                bench_runtime::time::sleep(Duration::from_millis(800));
                local.iter().sum::<usize>()
            }));
        }
        wait_for_compacted(before, 3 * EACH as u64);
        drop(held);
        (0..2 * EACH).for_each(|index| sender.send(index).unwrap());
        let sum: usize = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(sum, 4 * 50 * (EACH * (EACH - 1) / 2));
        assert_eq!(*mutex.lock(), EACH);
        drop(never_sender);
    });
}

#[test]
fn goroutine_compacted_many_times_keeps_its_locals() {
    with_compaction(|| {
        const COUNT: usize = 64;
        const ROUNDS: u64 = 8;
        let before = compaction_stats().compacted_count;
        let channels: Vec<_> = (0..COUNT).map(|_| chan::<u64>(0)).collect();
        let handles: Vec<_> = channels
            .iter()
            .map(|(_, receiver)| {
                let receiver = receiver.clone();
                go(move || {
                    let mut local = black_box([0u64; 32]);
                    while let Some(value) = receiver.recv() {
                        local[value as usize % 32] += value;
                    }
                    local.iter().sum::<u64>()
                })
            })
            .collect();
        for round in 0..ROUNDS {
            wait_for_compacted(before, round * COUNT as u64);
            channels
                .iter()
                .for_each(|(sender, _)| sender.send(round).unwrap());
        }
        wait_for_compacted(before, ROUNDS * COUNT as u64);
        channels.iter().for_each(|(sender, _)| _ = sender.close());
        for handle in handles {
            assert_eq!(handle.join().unwrap(), (0..ROUNDS).sum::<u64>());
        }
    });
}

#[test]
fn borrowed_local_of_a_compacted_goroutine_loses_no_write() {
    with_compaction(|| {
        // Plain threads add to locals of parked goroutines, as in a std scope.
        const COUNT: usize = 64;
        let before = compaction_stats();
        let (address_sender, addresses) = mpsc::channel::<usize>();
        let (sender, receiver) = chan::<()>(0);
        let started = WaitGroup::new();
        started.add(COUNT as i32);
        let handles: Vec<_> = (0..COUNT)
            .map(|_| {
                let (to, from) = (address_sender.clone(), receiver.clone());
                let started = started.clone();
                go(move || {
                    let counter = AtomicU64::new(0);
                    to.send(std::ptr::from_ref(&counter) as usize).unwrap();
                    started.done();
                    from.recv();
                    counter.load(Ordering::Relaxed)
                })
            })
            .collect();
        started.wait();
        let addresses: Arc<[usize]> = addresses.try_iter().collect();
        assert_eq!(addresses.len(), COUNT);
        let stop = Arc::new(AtomicUsize::new(0));
        let hammers: Vec<_> = (0..2)
            .map(|seed| {
                let (addresses, stop) = (addresses.clone(), stop.clone());
                std::thread::spawn(move || {
                    let mut added = 0u64;
                    let mut at = seed;
                    while stop.load(Ordering::Relaxed) == 0 {
                        at = (at + 7) % COUNT;
                        // SAFETY: the goroutines wait until the hammers ended.
                        let counter = unsafe { &*(addresses[at] as *const AtomicU64) };
                        (0..1000).for_each(|_| _ = counter.fetch_add(1, Ordering::Relaxed));
                        added += 1000;
                        if at % 16 == 0 {
                            // Some stacks are compacted meanwhile.
                            std::thread::sleep(Duration::from_millis(40));
                        }
                    }
                    added
                })
            })
            .collect();
        wait_for_compacted(before.compacted_count, 2 * COUNT as u64);
        // The counts are of the whole process, so other tests may have changed them.
        let start = Instant::now();
        while compaction_stats().touched_count == before.touched_count {
            assert!(start.elapsed() < TIMEOUT, "no thread met a compacted stack");
            bench_runtime::time::sleep(Duration::from_millis(5));
        }
        stop.store(1, Ordering::Relaxed);
        let added: u64 = hammers
            .into_iter()
            .map(|hammer| hammer.join().unwrap())
            .sum();
        (0..COUNT).for_each(|_| sender.send(()).unwrap());
        let counted: u64 = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(counted, added);
    });
}

#[test]
fn borrow_in_a_scope_survives_the_compaction_of_its_owner() {
    with_compaction(|| {
        const COUNT: usize = 40;
        const ROUNDS: u64 = 25;
        let parents: Vec<_> = (0..COUNT)
            .map(|_| {
                go(|| {
                    let counter = AtomicU64::new(0);
                    let text = String::from("borrowed");
                    scope(|s| {
                        s.go(|| {
                            for _ in 0..ROUNDS {
                                // The owner is compacted meanwhile.
                                bench_runtime::time::sleep(Duration::from_millis(50));
                                counter.fetch_add(text.len() as u64, Ordering::Relaxed);
                            }
                        });
                    });
                    counter.load(Ordering::Relaxed)
                })
            })
            .collect();
        let sum: u64 = parents
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        // How often a thread finds the stack compacted depends on the load.
        assert_eq!(sum, COUNT as u64 * ROUNDS * 8);
    });
}

#[test]
fn goroutine_for_which_there_is_no_slot_is_an_error_of_join() {
    // Each size of slot has a region of 4 TiB: the region with the largest slots has the fewest.
    const COUNT: usize = 4200;
    let runtime = Runtime::builder()
        .procs(1)
        .stack(StackPolicy::Growable {
            initial: 4096,
            limit: 1 << 30,
        })
        .start()
        .unwrap();
    runtime.run(|| {
        let (sender, receiver) = chan::<()>(0);
        let handles: Vec<_> = (0..COUNT)
            .map(|_| {
                let receiver = receiver.clone();
                go(move || receiver.recv())
            })
            .collect();
        // All others wait, so a goroutine that has ended was refused.
        let start = Instant::now();
        while handles.iter().filter(|handle| handle.is_finished()).count() < 50 {
            assert!(start.elapsed() < TIMEOUT);
            bench_runtime::yield_now();
        }
        sender.close();
        let refused = handles
            .into_iter()
            .filter_map(|handle| handle.join().err())
            .inspect(|error| {
                let message = format!("{error}");
                assert!(message.contains("stack slots"), "{message}");
            })
            .count();
        assert!(refused >= 50, "{refused} of {COUNT} refused");
    });
}
