//! Goroutines that will never be readied are in the leak report, with their wait reasons; healthy
//! goroutines are not. The kinds of leaks are GoKer's.

use std::sync::Arc;

use crate::start::Start;
use crate::support;
use bench_runtime::context::Context;
use bench_runtime::sync::{Cond, Mutex, RwMutex, Semaphore, WaitGroup};
use bench_runtime::{GoBuilder, Runtime, chan, go, scope, select, yield_now};

fn leak(name: &str, f: impl FnOnce() + Send + 'static) {
    drop(GoBuilder::new().name(name).go(f).expect("it starts"));
}

/// Runs `program` until it is at rest, and compares the goroutines that are left with `expected`:
/// their names and states.
fn leaves(program: fn(), expected: &[(&str, &str)]) {
    for procs in [1, 2] {
        let runtime = Runtime::builder().procs(procs).start().unwrap();
        runtime.run(move || {
            let healthy: Vec<_> = (0..10)
                .map(|_| {
                    let (tx, rx) = chan(0);
                    drop(go(move || tx.send(1)));
                    go(move || rx.recv())
                })
                .collect();
            program();
            for task in healthy {
                assert_eq!(task.join().unwrap(), Some(1));
            }
        });
        support::until_only_these_are_left("the program", &runtime, expected);
        let left = runtime.shutdown();
        let mut found: Vec<(&str, &str)> = left
            .unfinished
            .iter()
            .map(|info| (info.name.as_deref().unwrap_or("?"), info.state.as_str()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "at P = {procs}");
        assert_eq!(left.unfinished_count, expected.len());
        for info in &left.unfinished {
            let site = info.spawned_at.as_deref().unwrap_or("");
            assert!(site.contains("leaks.rs"), "{info}");
        }
    }
}

fn forget<T>(value: T) {
    std::mem::forget(value);
}

#[test]
fn sender_whose_receiver_gave_up_is_reported() {
    leaves(
        || {
            let (tx, rx) = chan(0);
            leak("worker", move || {
                let _ = tx.send("the answer");
            });
            yield_now();
            forget(rx);
        },
        &[("worker", "chan send")],
    );
}

#[test]
fn receivers_of_a_channel_that_is_never_closed_are_reported() {
    leaves(
        || {
            let (tx, rx) = chan::<u8>(4);
            for name in ["a", "b"] {
                let rx = rx.clone();
                leak(name, move || rx.iter().for_each(drop));
            }
            tx.send(1).unwrap();
            forget(tx);
        },
        &[("a", "chan receive"), ("b", "chan receive")],
    );
}

#[test]
fn double_lock_is_reported() {
    leaves(
        || {
            let lock = Arc::new(Mutex::new(()));
            leak("twice", move || {
                let _first = lock.lock();
                let _second = lock.lock();
            });
        },
        &[("twice", "sync.Mutex.lock")],
    );
}

#[test]
fn locks_in_both_orders_are_reported() {
    leaves(
        || {
            let locks = Arc::new((Mutex::new(()), Mutex::new(())));
            let (ready, both) = chan(2);
            let (begin, begun) = chan::<()>(0);
            for name in ["ab", "ba"] {
                let (locks, ready, begun) = (locks.clone(), ready.clone(), begun.clone());
                leak(name, move || {
                    let (first, second) = match name {
                        "ab" => (&locks.0, &locks.1),
                        _ => (&locks.1, &locks.0),
                    };
                    let _first = first.lock();
                    ready.send(()).unwrap();
                    begun.recv();
                    let _second = second.lock();
                });
            }
            both.recv();
            both.recv();
            begin.close();
        },
        &[("ab", "sync.Mutex.lock"), ("ba", "sync.Mutex.lock")],
    );
}

#[test]
fn reader_behind_a_writer_that_waits_for_it_is_reported() {
    leaves(
        || {
            let lock = Arc::new(RwMutex::new(()));
            let (told, reading) = chan(0);
            let (wanted, begun) = chan::<()>(0);
            let reader = lock.clone();
            leak("reader", move || {
                let _first = reader.read();
                told.send(()).unwrap();
                begun.recv();
                let _again = reader.read();
            });
            reading.recv();
            let writer = lock.clone();
            leak("writer", move || drop(writer.write()));
            // A writer that waits keeps new readers out.
            while lock.try_read().is_some() {
                yield_now();
            }
            wanted.close();
        },
        &[
            ("reader", "sync.RwMutex.read"),
            ("writer", "sync.RwMutex.write"),
        ],
    );
}

#[test]
fn group_with_a_done_too_few_is_reported() {
    leaves(
        || {
            let group = WaitGroup::new();
            group.add(2);
            group.done();
            leak("waiter", move || group.wait());
        },
        &[("waiter", "sync.WaitGroup.wait")],
    );
}

#[test]
fn signal_that_came_too_early_is_reported() {
    leaves(
        || {
            let pair = Arc::new((Mutex::new(()), Cond::new()));
            pair.1.signal();
            leak("waiter", move || drop(pair.1.wait(pair.0.lock())));
        },
        &[("waiter", "sync.Cond.wait")],
    );
}

#[test]
fn permit_that_was_forgotten_is_reported() {
    leaves(
        || {
            let semaphore = Arc::new(Semaphore::new(1));
            semaphore.acquire(1).forget();
            leak("waiter", move || drop(semaphore.acquire(1)));
        },
        &[("waiter", "semaphore acquire")],
    );
}

#[test]
fn select_of_dead_cases_is_reported() {
    leaves(
        || {
            let (tx, rx) = chan::<u8>(0);
            let (ctx, cancel) = Context::background().with_cancel();
            leak("selector", move || {
                select! {
                    recv(rx) => {},
                    recv(ctx.done()) => {},
                }
            });
            forget((tx, cancel));
        },
        &[("selector", "select")],
    );
}

#[test]
fn goroutine_that_joins_a_leaked_one_is_reported_too() {
    leaves(
        || {
            let (tx, rx) = chan::<u8>(0);
            let inner = GoBuilder::new()
                .name("inner")
                .go(move || rx.recv())
                .unwrap();
            leak("outer", move || drop(inner.join()));
            forget(tx);
        },
        &[("inner", "chan receive"), ("outer", "join")],
    );
}

#[test]
fn scope_whose_goroutine_never_ends_is_reported() {
    leaves(
        || {
            let (tx, rx) = chan::<u8>(0);
            leak("owner", move || {
                scope(|s| {
                    s.go(|| rx.recv());
                });
            });
            forget(tx);
        },
        &[("?", "chan receive"), ("owner", "scope")],
    );
}
