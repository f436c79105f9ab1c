//! Rounds that stress one primitive each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::sync::{Cond, ErrGroup, Mutex, Once, Pool, RwMutex, Semaphore, WaitGroup};
use bench_runtime::{JoinHandle, go, time, yield_now};

use crate::scenarios::Rng;

fn run_all(count: u64, task: impl Fn(u64) + Send + Sync + 'static) {
    let task = Arc::new(task);
    let start = |n| {
        let task = task.clone();
        go(move || task(n))
    };
    let handles: Vec<JoinHandle<()>> = (0..count).map(start).collect();
    for handle in handles {
        handle.join().expect("returns");
    }
}

/// Writers keep two numbers equal; readers check that they are equal.
pub(crate) fn rw_mutex(rng: &mut Rng) {
    let rounds = 1 + rng.below(60);
    let pair = Arc::new(RwMutex::new((0u64, 0u64)));
    let shared = pair.clone();
    run_all(8, move |n| {
        for round in 0..rounds {
            if (n + round) % 4 == 0 {
                let mut pair = shared.write();
                pair.0 += 1;
                if round % 8 == 0 {
                    yield_now();
                }
                pair.1 += 1;
            } else {
                let pair = shared.read();
                if round % 8 == 1 {
                    yield_now();
                }
                assert_eq!(pair.0, pair.1, "a reader meets a writer");
            }
        }
    });
    let writes = (0..8).flat_map(|n| (0..rounds).filter(move |round| (n + round) % 4 == 0));
    assert_eq!(pair.read().0, writes.count() as u64);
}

/// One of many calls runs the function, and all see its effect.
pub(crate) fn once(rng: &mut Rng) {
    for _ in 0..1 + rng.below(30) {
        let once = Arc::new((Once::new(), AtomicUsize::new(0)));
        run_all(1 + rng.below(8), move |_| {
            once.0.call(|| {
                yield_now();
                once.1.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(once.1.load(Ordering::Relaxed), 1);
        });
    }
}

pub(crate) fn cond(rng: &mut Rng) {
    struct Queue {
        held: Mutex<Vec<u64>>,
        not_empty: Cond,
        not_full: Cond,
        sum: AtomicU64,
    }
    let (each, room) = (1 + rng.below(60), 1 + rng.below(4) as usize);
    let broadcasts = rng.below(2) == 0;
    let queue = Arc::new(Queue {
        held: Mutex::new(Vec::new()),
        not_empty: Cond::new(),
        not_full: Cond::new(),
        sum: AtomicU64::new(0),
    });
    let shared = queue.clone();
    run_all(6, move |n| {
        let tell = |cond: &Cond| match broadcasts {
            true => cond.broadcast(),
            false => drop(cond.signal()),
        };
        for item in 1..=each {
            let held = shared.held.lock();
            if n % 2 == 0 {
                let mut held = shared.not_full.wait_while(held, |held| held.len() >= room);
                held.push(item);
                tell(&shared.not_empty);
            } else {
                let mut held = shared.not_empty.wait_while(held, |held| held.is_empty());
                let item = held.pop().expect("not empty");
                shared.sum.fetch_add(item, Ordering::Relaxed);
                tell(&shared.not_full);
            }
        }
    });
    assert_eq!(queue.sum.load(Ordering::Relaxed), 3 * each * (each + 1) / 2);
}

/// Acquires with weights, time limits and contexts. The units held are never more than the
/// semaphore has.
pub(crate) fn semaphore(rng: &mut Rng) {
    const SIZE: usize = 6;
    let rounds = 1 + rng.below(40);
    let shared = Arc::new((Semaphore::new(SIZE), AtomicUsize::new(0)));
    let ours = shared.clone();
    run_all(8, move |n| {
        let (semaphore, out) = &*ours;
        for round in 0..rounds {
            let weight = 1 + (n + round) as usize % SIZE;
            let permit = match (n + round) % 5 {
                0 => semaphore.try_acquire(weight).ok(),
                1 => {
                    let limit = Duration::from_micros(round * 10);
                    semaphore.acquire_timeout(weight, limit).ok()
                }
                2 => {
                    let limit = Duration::from_micros(round * 10);
                    let (ctx, _cancel) = Context::background().with_timeout(limit);
                    semaphore.acquire_with(&ctx, weight).ok()
                }
                _ => Some(semaphore.acquire(weight)),
            };
            if let Some(_permit) = permit {
                let now = out.fetch_add(weight, Ordering::Relaxed) + weight;
                assert!(now <= SIZE, "{now} of {SIZE} are out");
                yield_now();
                out.fetch_sub(weight, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(shared.0.available(), SIZE);
}

pub(crate) fn wait_group(rng: &mut Rng) {
    let group = Arc::new(WaitGroup::new());
    for _ in 0..1 + rng.below(20) {
        let done = Arc::new(AtomicU64::new(0));
        let count = 1 + rng.below(20);
        for _ in 0..count {
            let done = done.clone();
            group.go(move || {
                yield_now();
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        let (waiting, seen) = (group.clone(), done.clone());
        let second = go(move || {
            waiting.wait();
            seen.load(Ordering::Relaxed)
        });
        group.wait();
        assert_eq!(done.load(Ordering::Relaxed), count, "an early barrier");
        assert_eq!(second.join().expect("returns"), count, "an early barrier");
    }
}

pub(crate) fn pool(rng: &mut Rng) {
    let rounds = 1 + rng.below(100);
    let pool = Arc::new(Pool::new(|| AtomicUsize::new(0)));
    run_all(8, move |n| {
        for round in 0..rounds {
            let object = pool.get();
            assert_eq!(object.fetch_add(1, Ordering::Relaxed), 0, "it is out twice");
            if (n + round) % 4 == 0 {
                yield_now();
            }
            object.fetch_sub(1, Ordering::Relaxed);
        }
    });
}

/// The first failure counts, and ends the others.
pub(crate) fn err_group(rng: &mut Rng) {
    let limit = 1 + rng.below(6) as usize;
    let (tasks, fails) = (1 + rng.below(20), rng.below(20));
    let (group, ctx) = ErrGroup::with_context_and_limit(&Context::background(), limit);
    let running = Arc::new(AtomicUsize::new(0));
    for n in 0..tasks {
        let (ctx, running) = (ctx.clone(), running.clone());
        group.go(move || {
            let now = running.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(now <= limit, "{now} run, of {limit}");
            yield_now();
            running.fetch_sub(1, Ordering::Relaxed);
            if n == fails {
                return Err(n);
            }
            if n > fails {
                ctx.done().recv();
            }
            Ok(())
        });
    }
    let due = if fails < tasks { Err(fails) } else { Ok(()) };
    assert_eq!(group.wait(), due);
    assert!(ctx.is_done(), "its context outlives the group");
}

/// A tree of contexts whose root, a branch or a time limit ends.
pub(crate) fn context(rng: &mut Rng) {
    let (root, cancel) = Context::background().with_cancel();
    let called = Arc::new(AtomicU64::new(0));
    let mut waiting = Vec::new();
    let branches = 1 + rng.below(5);
    for _ in 0..branches {
        let limit = Duration::from_micros(200 + rng.below(2_000));
        let (branch, end) = root.with_timeout(limit);
        for _ in 0..1 + rng.below(4) {
            let (leaf, leaf_end) = branch.with_cancel();
            waiting.push(go(move || {
                leaf.done().recv();
                assert!(leaf.err().is_some());
                drop(leaf_end);
            }));
        }
        let count = called.clone();
        let after = branch.after_func(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        if rng.below(2) == 0 {
            end.cancel();
        }
        waiting.push(go(move || {
            branch.done().recv();
            drop((after, end));
        }));
    }
    if rng.below(2) == 0 {
        cancel.cancel();
    }
    for task in waiting {
        task.join().expect("returns");
    }
    while called.load(Ordering::Relaxed) < branches {
        yield_now();
    }
}

/// Timers that are stopped, reset or allowed to fire; a ticker beside them.
pub(crate) fn timers(rng: &mut Rng) {
    let ticker = time::Ticker::new(Duration::from_micros(50 + rng.below(500)));
    let fired = Arc::new(AtomicU64::new(0));
    let calls: Vec<_> = (0..1 + rng.below(30))
        .map(|n| {
            let fired = fired.clone();
            let length = Duration::from_micros(rng.below(3_000));
            let call = time::after_func(length, move || {
                fired.fetch_add(1, Ordering::Relaxed);
            });
            (n, call)
        })
        .collect();
    let mut due = 0;
    for (n, call) in &calls {
        match n % 3 {
            0 => due += u64::from(!call.stop()),
            1 => {
                // If the reset was too late, the timer fires twice.
                due += 1 + u64::from(!call.reset(Duration::from_micros(100)));
            }
            _ => due += 1,
        }
    }
    for _ in 0..3 {
        ticker.receiver().recv().expect("it ticks");
    }
    while fired.load(Ordering::Relaxed) < due {
        yield_now();
    }
    assert_eq!(fired.load(Ordering::Relaxed), due, "calls of timers");
}
