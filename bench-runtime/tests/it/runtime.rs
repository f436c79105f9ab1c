//! The runtime as a whole.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::start::Start;
use bench_runtime::{
    Builder, GoBuilder, GoroutineLocal, JoinError, Priority, Runtime, blocking, chan, go, goexit,
    gomaxprocs, goroutine_id, goroutines, lock_os_thread, num_goroutine, scope, sync, time,
    unlock_os_thread, yield_now,
};
use nix::sys::signal::{SigSet, Signal};

fn everywhere(body: impl Fn() + Clone + Send + 'static) {
    for procs in [1, 2, 8] {
        for migrating in [false, true] {
            let runtime = build(Runtime::builder().procs(procs), migrating);
            runtime.run(body.clone());
            let left = runtime.shutdown();
            assert_eq!(
                (left.unfinished_count, left.threads_count),
                (0, 0),
                "{procs} Ps"
            );
        }
    }
}

fn build(builder: Builder, migrating: bool) -> Runtime {
    let builder = match migrating {
        false => builder,
        true => builder.migrating(),
    };
    builder.start().expect("a runtime")
}

#[test]
fn join_returns_the_results_of_large_and_small_closures() {
    everywhere(|| {
        let large = [7u64; 100];
        assert_eq!(go(move || large).join().unwrap(), large);
        assert_eq!(go(|| 7u8).join().unwrap(), 7);
        go(|| ()).join().unwrap();
    });
}

#[test]
fn join_of_a_panicked_goroutine_returns_its_payload() {
    everywhere(|| {
        let error = go(|| resume_unwind(Box::new(42i32))).join().unwrap_err();
        let JoinError::Panicked(payload) = error else {
            panic!("{error}")
        };
        assert_eq!(*payload.into_inner().downcast::<i32>().unwrap(), 42);
    });
}

#[test]
fn panics_caught_and_raised_again_reach_the_joiner_as_the_last_one() {
    struct Careful;
    impl Drop for Careful {
        fn drop(&mut self) {
            let inner = catch_unwind(|| panic_any("inside a destructor"));
            assert!(inner.is_err());
        }
    }
    everywhere(|| {
        let again = go(|| {
            let _careful = Careful;
            let first = catch_unwind(|| panic_any(1)).unwrap_err();
            let second = catch_unwind(AssertUnwindSafe(|| resume_unwind(first))).unwrap_err();
            panic_any(*second.downcast::<i32>().unwrap() + 1);
        });
        let Err(JoinError::Panicked(payload)) = again.join() else {
            panic!("it panicked");
        };
        assert_eq!(payload.into_inner().downcast_ref(), Some(&2));
    });
}

#[test]
fn goexit_runs_destructors_and_ends_only_the_goroutine() {
    struct Mark(Arc<AtomicUsize>);
    impl Drop for Mark {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    everywhere(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mark = Mark(dropped.clone());
        let exited = go(move || {
            let _mark = mark;
            goexit();
        });
        assert!(matches!(exited.join(), Err(JoinError::Exited)));
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn catch_unwind_stops_a_goexit() {
    everywhere(|| {
        let stopped = go(|| {
            assert!(catch_unwind(|| goexit()).is_err());
            7
        });
        assert_eq!(stopped.join().unwrap(), 7);
    });
}

#[test]
fn results_that_are_not_joined_are_dropped_once() {
    everywhere(|| {
        let value = Arc::new(());
        let done = Arc::new(sync::WaitGroup::new());
        for i in 0..200 {
            let (value, done) = (value.clone(), done.clone());
            done.add(1);
            let handle = go(move || {
                done.done();
                value
            });
            if i % 2 == 0 {
                drop(handle);
            } else {
                let _ = handle.join();
            }
        }
        done.wait();
        while Arc::strong_count(&value) != 1 || num_goroutine() != 1 {
            yield_now();
        }
    });
}

#[test]
fn goroutine_locals_are_each_goroutines_own_and_dropped_at_its_end() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Value(Cell<u64>);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    static LOCAL: GoroutineLocal<Value> = GoroutineLocal::new(|| Value(Cell::new(0)));
    let runtime = build(Runtime::builder().procs(2), true);
    runtime.run(|| {
        let handles: Vec<_> = (1..=50u64)
            .map(|i| {
                go(move || {
                    LOCAL.with(|v| v.0.set(i));
                    for _ in 0..20 {
                        yield_now();
                    }
                    LOCAL.with(|v| v.0.get()) == i
                })
            })
            .collect();
        assert!(handles.into_iter().all(|h| h.join().unwrap()));
    });
    assert_eq!(DROPS.load(Ordering::SeqCst), 50);
}

#[test]
fn a_key_whose_first_use_uses_the_key_keeps_the_inner_value() {
    /// Uses another key when it is dropped.
    struct Noisy(u32);
    impl Drop for Noisy {
        fn drop(&mut self) {
            OTHER.with(|other| other.set(other.get() + 1));
        }
    }
    static DEPTH: AtomicUsize = AtomicUsize::new(0);
    static OTHER: GoroutineLocal<Cell<u32>> = GoroutineLocal::new(|| Cell::new(0));
    static KEY: GoroutineLocal<Noisy> = GoroutineLocal::new(|| {
        if DEPTH.fetch_add(1, Ordering::Relaxed) == 0 {
            KEY.with(|inner| assert_eq!(inner.0, 1));
            return Noisy(0);
        }
        Noisy(1)
    });
    build(Runtime::builder().procs(1), false).run(|| {
        KEY.with(|value| assert_eq!(value.0, 1));
        assert_eq!(OTHER.with(Cell::get), 1, "the outer value is dropped");
        KEY.with(|value| assert_eq!(value.0, 1));
    });
}

#[test]
fn go_statement_starts_a_goroutine_whose_site_is_the_callers() {
    everywhere(|| {
        let (tx, rx) = chan(0);
        let line = line!() + 1;
        go!(tx.send(goroutine_id()));
        let site = loop {
            let waiting = goroutines().into_iter().find(|g| g.state == "chan send");
            match waiting {
                Some(waiting) => break waiting.spawned_at,
                None => yield_now(),
            }
        };
        let expected = format!("runtime.rs:{line}");
        assert!(
            site.as_ref().is_some_and(|s| s.contains(&expected)),
            "{site:?}"
        );
        assert!(rx.recv().unwrap().is_some());
        while num_goroutine() > 1 {
            yield_now();
        }
    });
}

#[test]
fn locked_goroutine_keeps_its_thread_through_parks_and_nesting() {
    everywhere(|| {
        let others: Vec<_> = (0..8)
            .map(|_| go(|| (0..500).for_each(|_| yield_now())))
            .collect();
        let locked = go(|| {
            lock_os_thread();
            lock_os_thread();
            let me = std::thread::current().id();
            for round in 0..100 {
                if round % 10 == 0 {
                    time::sleep(Duration::from_micros(50));
                }
                yield_now();
                assert_eq!(std::thread::current().id(), me);
                go(|| ()).join().unwrap();
                assert_eq!(std::thread::current().id(), me);
            }
            unlock_os_thread();
            yield_now();
            assert_eq!(std::thread::current().id(), me);
            unlock_os_thread();
        });
        locked.join().unwrap();
        others.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn goroutine_that_ends_locked_takes_its_thread_with_it() {
    thread_local!(static TOUCHED: Cell<bool> = const { Cell::new(false) });
    #[inline(never)]
    fn touched() -> bool {
        TOUCHED.with(Cell::get)
    }
    #[inline(never)]
    fn touch() {
        TOUCHED.with(|t| t.set(true));
    }
    let runtime = build(Runtime::builder().procs(2), true);
    runtime.run(|| {
        for _ in 0..20 {
            go(|| {
                lock_os_thread();
                touch();
            })
            .join()
            .unwrap();
            let seen: Vec<_> = (0..20).map(|_| go(touched)).collect();
            assert!(seen.into_iter().all(|h| !h.join().unwrap()));
        }
    });
}

/// A thread inherits the signal mask of the thread that starts it.
#[test]
fn threads_that_start_later_do_not_inherit_what_a_locked_goroutine_did_to_its_own() {
    fn is_blocked() -> bool {
        SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR2)
    }
    let runtime = build(Runtime::builder().procs(2), true);
    let seen = runtime.run(|| {
        let (stay, told) = chan::<()>(0);
        let locked = go(move || {
            lock_os_thread();
            let mut set = SigSet::empty();
            set.add(Signal::SIGUSR2);
            set.thread_block().unwrap();
            // More blocking calls than threads, so this thread hands off some Ps.
            let calls: Vec<_> = (0..16)
                .map(|_| {
                    go(|| {
                        blocking(|| std::thread::sleep(Duration::from_millis(20)));
                        is_blocked()
                    })
                })
                .collect();
            yield_now();
            blocking(|| std::thread::sleep(Duration::from_millis(5)));
            let seen: Vec<bool> = calls.into_iter().map(|call| call.join().unwrap()).collect();
            assert!(is_blocked(), "it keeps its own");
            told.recv();
            seen
        });
        drop(stay);
        locked.join().unwrap()
    });
    assert!(!seen.contains(&true), "{seen:?}");
}

#[test]
fn unlock_without_lock_panics() {
    let runtime = build(Runtime::builder().procs(1), false);
    assert!(matches!(
        runtime.run(|| go(unlock_os_thread).join()),
        Err(JoinError::Panicked(_))
    ));
}

#[test]
fn scope_waits_for_goroutines_that_borrow() {
    everywhere(|| {
        let words = vec![String::from("one"), String::from("three")];
        let lengths = Mutex::new(Vec::new());
        scope(|s| {
            for word in &words {
                s.go(|| {
                    yield_now();
                    lengths.lock().unwrap().push(word.len());
                });
            }
        });
        let mut lengths = lengths.into_inner().unwrap();
        lengths.sort_unstable();
        assert_eq!(lengths, [3, 5]);
    });
}

#[test]
fn goexit_in_a_scope_ends_one_goroutine_and_is_no_panic() {
    everywhere(|| {
        let mut told = 0;
        scope(|s| {
            s.go(|| {
                told += 1;
                goexit();
            });
        });
        assert_eq!(told, 1);
    });
}

#[test]
fn panic_in_a_scope_is_kept_if_the_handle_is_dropped_after_it() {
    everywhere(|| {
        let result = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                let handle = s.go(|| resume_unwind(Box::new(())));
                (0..10).for_each(|_| yield_now());
                drop(handle);
            });
        }));
        assert!(result.is_err());
    });
}

#[test]
fn scope_waits_also_when_its_body_panics() {
    everywhere(|| {
        let count = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for _ in 0..10 {
                    s.go(|| {
                        (0..10).for_each(|_| yield_now());
                        count.fetch_add(1, Ordering::SeqCst);
                    });
                }
                resume_unwind(Box::new(()));
            })
        }));
        assert!(result.is_err());
        assert_eq!(count.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn a_park_while_unwinding_is_survived_and_poisons_nothing() {
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            time::sleep(Duration::from_millis(1));
            let (tx, rx) = chan::<u8>(0);
            let sender = go(move || tx.send(1));
            assert_eq!(rx.recv(), Some(1));
            // Otherwise the sender might not have ended at the shutdown.
            assert_eq!(sender.join().unwrap(), Ok(()));
            assert!(std::thread::panicking());
        }
    }
    everywhere(|| {
        let others: Vec<_> = (0..20)
            .map(|_| {
                go(|| {
                    for _ in 0..50 {
                        yield_now();
                        assert!(!std::thread::panicking());
                    }
                })
            })
            .collect();
        let failed = go(|| {
            let _parks = Parks;
            resume_unwind(Box::new(()));
        });
        assert!(failed.join().is_err());
        others.into_iter().for_each(|h| h.join().unwrap());
    });
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        assert!(std::thread::panicking());
        self.0.take().unwrap()();
        assert!(std::thread::panicking());
    }
}

#[test]
fn an_unwinding_goroutine_may_wait_for_one_that_has_started_on_its_thread() {
    everywhere(|| {
        for by_goexit in [false, true] {
            let (tx, rx) = chan::<&str>(0);
            let (begin, begun) = chan::<()>(0);
            let collector = go(move || {
                begin.send(()).unwrap();
                let mut words = Vec::new();
                while let Some(word) = rx.recv() {
                    assert!(!std::thread::panicking());
                    let lock = Mutex::new(());
                    let inner = catch_unwind(AssertUnwindSafe(|| {
                        time::sleep(Duration::from_micros(10));
                        drop(lock.lock().unwrap());
                        resume_unwind(Box::new(3));
                    }));
                    assert_eq!(inner.unwrap_err().downcast_ref(), Some(&3));
                    assert!(!lock.is_poisoned() && !std::thread::panicking());
                    words.push(word);
                }
                words
            });
            begun.recv().unwrap();
            let failing = go(move || {
                let _join = OnDrop(Some(move || {
                    assert_eq!(collector.join().unwrap(), ["one", "two", "three"]);
                }));
                let _send = OnDrop(Some(move || {
                    tx.send("one").unwrap();
                    yield_now();
                    tx.send("two").unwrap();
                    let other = tx.clone();
                    let inner = catch_unwind(AssertUnwindSafe(|| {
                        let _inner = OnDrop(Some(move || other.send("three").unwrap()));
                        resume_unwind(Box::new(4));
                    }));
                    assert_eq!(inner.unwrap_err().downcast_ref(), Some(&4));
                    blocking(|| std::thread::sleep(Duration::from_micros(10)));
                }));
                if by_goexit {
                    goexit();
                }
                resume_unwind(Box::new(5));
            });
            match failing.join().unwrap_err() {
                JoinError::Exited => assert!(by_goexit),
                JoinError::Panicked(payload) => {
                    assert_eq!(payload.into_inner().downcast_ref(), Some(&5));
                }
                other => panic!("{other}"),
            }
        }
    });
}

#[test]
fn dump_names_what_each_goroutine_waits_for_and_its_holder() {
    let runtime = build(Runtime::builder().procs(2), false);
    let handle = runtime.spawn(|| {
        let mutex = Arc::new(sync::Mutex::new(()));
        let held = mutex.lock();
        let waiter = {
            let mutex = mutex.clone();
            GoBuilder::new()
                .name("waiter")
                .go(move || drop(mutex.lock()))
                .unwrap()
        };
        let receiver = go(|| {
            let (tx, rx) = chan::<u8>(0);
            rx.recv_timeout(Duration::from_secs(60)).ok();
            drop(tx);
        });
        let all = loop {
            yield_now();
            let all = goroutines();
            let known = all.iter().any(|g| g.held_by.is_some());
            if known && all.iter().filter(|g| g.waits).count() >= 2 {
                break all;
            }
        };
        let info_of = |id: u64| all.iter().find(|g| g.id == id).cloned().expect("listed");
        assert_eq!(info_of(waiter.id()).state, "sync.Mutex.lock");
        assert_eq!(info_of(waiter.id()).name.as_deref(), Some("waiter"));
        assert_eq!(info_of(waiter.id()).held_by, goroutine_id());
        assert!(
            info_of(waiter.id())
                .spawned_at
                .unwrap()
                .contains("runtime.rs")
        );
        assert!(["select", "chan receive"].contains(&info_of(receiver.id()).state.as_str()));
        assert_eq!(all.len(), num_goroutine());
        drop(held);
        waiter.join().unwrap();
    });
    handle.join().unwrap();
    let left = runtime.shutdown();
    assert_eq!(left.unfinished_count, 1);
    assert!(
        left.unfinished[0]
            .spawned_at
            .as_ref()
            .unwrap()
            .contains("runtime.rs")
    );
}

#[test]
fn shutdown_drops_closures_that_never_started() {
    let value = Arc::new(());
    let runtime = build(Runtime::builder().procs(1), false);
    let theirs = value.clone();
    runtime.run(move || {
        for _ in 0..10 {
            let value = theirs.clone();
            drop(go(move || drop(value)));
        }
    });
    runtime.shutdown();
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn blocking_lets_others_run_on_one_p() {
    let runtime = build(Runtime::builder().procs(1), false);
    runtime.run(|| {
        let (tx, rx) = std::sync::mpsc::channel();
        let blocked = go(move || blocking(move || rx.recv().unwrap()));
        // Runs only after the blocked goroutine has handed off its P.
        let sender = go(move || tx.send(5).unwrap());
        assert_eq!(blocked.join().unwrap(), 5);
        sender.join().unwrap();
    });
}

#[test]
fn fake_time_jumps_and_keeps_the_order_of_timers() {
    let begun = Instant::now();
    let order = Runtime::builder().fake_time().start().unwrap().run(|| {
        let (tx, rx) = chan(16);
        for hours in [3u64, 1, 2] {
            let tx = tx.clone();
            drop(go(move || {
                time::sleep(Duration::from_secs(3600 * hours));
                tx.send(hours).unwrap();
            }));
        }
        drop(tx);
        rx.into_iter().collect::<Vec<_>>()
    });
    assert_eq!(order, [1, 2, 3]);
    assert!(begun.elapsed() < Duration::from_secs(600));
}

#[test]
#[should_panic(expected = "all goroutines are asleep")]
fn deadlock_with_fake_time_panics() {
    Runtime::builder().fake_time().start().unwrap().run(|| {
        let (tx, rx) = chan::<u8>(0);
        let other = tx.clone();
        assert_eq!(rx.recv(), None);
        drop((tx, other));
    });
}

#[test]
fn fake_time_and_a_seed_keep_to_one_p() {
    let fake = || Runtime::builder().fake_time();
    let seeded = || Runtime::builder().seed(3);
    let [four, seeded_four] = [0, 1].map(|_| Runtime::builder().procs(4));
    for builder in [
        fake(),
        fake().procs(4),
        four.fake_time(),
        seeded(),
        seeded().procs(4),
        seeded_four.seed(3),
    ] {
        let runtime = builder.start().unwrap();
        assert_eq!(runtime.metrics().procs_count, 1);
        assert_eq!(runtime.set_procs(4), 1);
        let inside = runtime.run(|| (gomaxprocs(Some(4)), gomaxprocs(None)));
        assert_eq!(inside, (1, 1));
        assert_eq!(runtime.metrics().procs_count, 1);
    }
}

#[test]
fn seeded_order_is_the_same_for_the_same_seed_and_differs_among_seeds() {
    fn order(seed: u64) -> Vec<usize> {
        let runtime = Runtime::builder().seed(seed).start().unwrap();
        runtime.run(|| {
            let log = Arc::new(Mutex::new(Vec::new()));
            let handles: Vec<_> = (0..12)
                .map(|i| {
                    let log = log.clone();
                    go(move || {
                        for _ in 0..5 {
                            log.lock().unwrap().push(i);
                            yield_now();
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(|h| h.join().unwrap());
            let log = log.lock().unwrap();
            log.clone()
        })
    }
    let first = order(1);
    assert_eq!(order(1), first);
    assert!((2..6).any(|seed| order(seed) != first));
}

#[test]
fn low_priority_is_not_starved_by_high_and_normal() {
    everywhere(|| {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy: Vec<_> = [
            Priority::High,
            Priority::Normal,
            Priority::High,
            Priority::Normal,
        ]
        .into_iter()
        .map(|priority| {
            let stop = stop.clone();
            GoBuilder::new()
                .priority(priority)
                .go(move || {
                    while !stop.load(Ordering::Relaxed) {
                        yield_now();
                    }
                })
                .unwrap()
        })
        .collect();
        let low = GoBuilder::new().priority(Priority::Low).go(|| ()).unwrap();
        low.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|h| h.join().unwrap());
    });
}
