//! Starting, yielding, resizing: no goroutine is lost, and no program hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::{
    Runtime, blocking, chan, go, gomaxprocs, goroutine_id, goroutines, num_goroutine, time,
    yield_now,
};

use crate::sched_support::{Setting, at_each, within_timeout};
use crate::start::Start;

const EACH: &[usize] = &[1, 2, 8];

#[test]
fn batches_of_goroutines_all_return_their_own_result() {
    at_each(EACH, |_| {
        for _ in 0..10 {
            let handles: Vec<_> = (0..1_000u64).map(|n| go(move || n)).collect();
            let sum: u64 = handles.into_iter().map(|h| h.join().unwrap()).sum();
            assert_eq!(sum, 499_500);
        }
    });
}

#[test]
fn tree_of_goroutines_counts_its_leaves() {
    fn leaves(depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        let (left, right) = (go(move || leaves(depth - 1)), go(move || leaves(depth - 1)));
        left.join().unwrap() + right.join().unwrap()
    }
    at_each(EACH, |_| assert_eq!(leaves(11), 2_048));
}

#[test]
fn yielding_goroutine_lets_others_run() {
    at_each(EACH, |_| {
        let seen = Arc::new(AtomicBool::new(false));
        let setter = go({
            let seen = seen.clone();
            move || seen.store(true, Ordering::SeqCst)
        });
        while !seen.load(Ordering::SeqCst) {
            yield_now();
        }
        setter.join().unwrap();
    });
}

#[test]
fn locked_yielding_goroutine_lets_others_run() {
    at_each(EACH, |_| {
        let seen = Arc::new(AtomicBool::new(false));
        let locked = go({
            let seen = seen.clone();
            move || {
                bench_runtime::lock_os_thread();
                while !seen.load(Ordering::SeqCst) {
                    yield_now();
                }
                bench_runtime::unlock_os_thread();
            }
        });
        let setter = go(move || seen.store(true, Ordering::SeqCst));
        setter.join().unwrap();
        locked.join().unwrap();
    });
}

#[test]
fn goroutine_finds_itself_after_each_yield() {
    at_each(EACH, |_| {
        let handles: Vec<_> = (0..50)
            .map(|_| {
                let handle = go(|| {
                    let me = goroutine_id();
                    let mut threads = vec![std::thread::current().id()];
                    for _ in 0..300 {
                        yield_now();
                        assert_eq!(goroutine_id(), me);
                        threads.push(thread_now());
                    }
                    (me, threads.windows(2).filter(|w| w[0] != w[1]).count())
                });
                (handle.id(), handle)
            })
            .collect();
        for (id, handle) in handles {
            assert_eq!(handle.join().unwrap().0, Some(id));
        }
    });
}

#[inline(never)]
fn thread_now() -> std::thread::ThreadId {
    std::thread::current().id()
}

/// The compiler may keep the address of a thread-local across a call, so the runtime must not be
/// found through a thread-local. Hogs on the other threads make one goroutine move.
#[test]
fn goroutine_finds_itself_after_it_has_moved_to_another_thread() {
    within_timeout(
        Setting {
            procs: 4,
            migrating: true,
        },
        |_| {
            let me = goroutine_id();
            let mut moves = 0;
            let mut last = thread_now();
            let until = Instant::now() + Duration::from_secs(60);
            while moves < 20 {
                assert!(Instant::now() < until, "it moved only {moves} times");
                blocking(|| std::thread::sleep(Duration::from_micros(100)));
                let hog = go(|| {
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_micros(300) {}
                });
                yield_now();
                time::sleep(Duration::from_micros(100));
                assert_eq!(goroutine_id(), me);
                assert!(num_goroutine() >= 1);
                let now = thread_now();
                moves += usize::from(now != last);
                last = now;
                hog.join().unwrap();
                assert_eq!(goroutine_id(), me);
            }
        },
    );
}

#[test]
fn num_goroutine_equals_the_dump() {
    at_each(EACH, |_| {
        let (tx, rx) = chan::<()>(0);
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let rx = rx.clone();
                go(move || rx.recv())
            })
            .collect();
        while goroutines().iter().filter(|g| g.waits).count() < 100 {
            yield_now();
        }
        assert_eq!(num_goroutine(), 101);
        assert_eq!(goroutines().len(), 101);
        tx.close();
        for handle in waiting {
            assert_eq!(handle.join().unwrap(), None);
        }
        assert_eq!(num_goroutine(), 1);
        assert_eq!(goroutines().len(), 1);
    });
}

/// Most of them have no room in the P's queue.
#[test]
fn goroutines_beyond_a_full_queue_are_in_the_dump_and_dropped_by_a_stop() {
    for migrating in [false, true] {
        let setting = Setting {
            procs: 1,
            migrating,
        };
        let kept = Arc::new(());
        let started = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = chan::<()>(0);
        let runtime = setting.builder().start().unwrap();
        runtime.run({
            let (kept, started) = (kept.clone(), started.clone());
            move || {
                for _ in 0..2_000 {
                    let (kept, started, rx) = (kept.clone(), started.clone(), rx.clone());
                    drop(go(move || {
                        started.fetch_add(1, Ordering::Relaxed);
                        rx.recv();
                        drop(kept);
                    }));
                }
                assert_eq!(num_goroutine(), 2_001);
                assert_eq!(goroutines().len(), 2_001);
            }
        });
        runtime.shutdown();
        // The closures of those that wait are lost, by the contract.
        let lost = started.load(Ordering::Relaxed);
        assert_eq!(Arc::strong_count(&kept), 1 + lost, "{setting:?}");
        drop(tx);
    }
}

/// Most of them have no room in the queues of Ps, and some of these Ps are retired.
#[test]
fn goroutines_beyond_full_queues_all_run_while_gomaxprocs_changes() {
    at_each(&[4], |_| {
        let ended = Arc::new(AtomicUsize::new(0));
        for n in 0..20 {
            let spawners = [(); 4].map(|()| {
                let ended = ended.clone();
                go(move || {
                    for _ in 0..1_000 {
                        let ended = ended.clone();
                        drop(go(move || _ = ended.fetch_add(1, Ordering::Relaxed)));
                    }
                })
            });
            yield_now();
            gomaxprocs(Some(1 + n % 4));
            spawners.into_iter().for_each(|one| one.join().unwrap());
        }
        while num_goroutine() > 1 {
            yield_now();
        }
        assert_eq!(ended.load(Ordering::Relaxed), 80_000);
    });
}

#[test]
fn gomaxprocs_changed_ten_thousand_times_loses_nothing() {
    at_each(&[8], |_| {
        let done = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..16u64)
            .map(|_| {
                let done = done.clone();
                go(move || {
                    let (mut rounds, mut sum) = (0u64, 0);
                    while !done.load(Ordering::Relaxed) {
                        rounds += 1;
                        sum += go(move || rounds).join().unwrap();
                        yield_now();
                    }
                    (rounds, sum)
                })
            })
            .collect();
        for n in 0..10_000 {
            gomaxprocs(Some(1 + n % 9));
            if n % 8 == 0 {
                yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        for worker in workers {
            let (rounds, sum) = worker.join().unwrap();
            assert_eq!(sum, rounds * (rounds + 1) / 2);
        }
        assert_eq!(gomaxprocs(None), 1);
    });
}

#[test]
fn resize_while_tasks_respawn_does_not_hang() {
    fn respawn(left: u32, ended: Arc<AtomicUsize>) {
        if left == 0 {
            ended.fetch_add(1, Ordering::SeqCst);
        } else {
            drop(go(move || respawn(left - 1, ended)));
        }
    }
    at_each(&[1, 4], |_| {
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let ended = ended.clone();
            drop(go(move || respawn(2_000, ended)));
        }
        let mut n = 0;
        while ended.load(Ordering::SeqCst) < 10 {
            n += 1;
            gomaxprocs(Some(1 + n % 5));
            yield_now();
        }
    });
}

/// When GOMAXPROCS grows, the new Ps run work that was queued before.
#[test]
fn grown_gomaxprocs_runs_what_waits_behind_a_hog() {
    at_each(&[1], |setting| {
        let other = go(|| ());
        gomaxprocs(Some(2));
        let began = Instant::now();
        while !other.is_finished() {
            assert!(began.elapsed() < Duration::from_secs(60), "{setting:?}");
            std::hint::spin_loop();
        }
        other.join().unwrap();
    });
}

#[test]
fn thousand_and_twenty_four_processors_start_and_stop() {
    for migrating in [false, true] {
        within_timeout(
            Setting {
                procs: 1_024,
                migrating,
            },
            |_| {
                assert_eq!(gomaxprocs(None), 1_024);
                let handles: Vec<_> = (0..2_000u64).map(|n| go(move || n)).collect();
                let sum: u64 = handles.into_iter().map(|h| h.join().unwrap()).sum();
                assert_eq!(sum, 1_999_000);
            },
        );
    }
}

#[test]
fn gomaxprocs_returns_the_number_that_was_set() {
    let runtime = Runtime::builder().procs(3).start().unwrap();
    assert_eq!(runtime.set_procs(5), 3);
    assert_eq!(runtime.run(|| gomaxprocs(Some(2))), 5);
    assert_eq!(runtime.run(|| gomaxprocs(None)), 2);
    assert_eq!(runtime.metrics().procs_count, 2);
}

#[test]
fn threads_of_a_new_runtime_are_there_before_its_first_goroutine() {
    let cpus = bench_runtime::__host::allowed_cpus().unwrap().len();
    for migrating in [false, true] {
        let setting = Setting {
            procs: 64,
            migrating,
        };
        let runtime = setting.builder().start().unwrap();
        assert_eq!(runtime.metrics().threads_count, cpus.min(64));
        // Half of the limit is left for blocking calls.
        let runtime = setting.builder().max_threads(4).start().unwrap();
        assert_eq!(runtime.metrics().threads_count, cpus.min(2));
    }
}
