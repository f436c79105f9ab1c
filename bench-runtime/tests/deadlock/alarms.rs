//! Programs in which every goroutine waits for another, with the report for each goroutine.

use std::fmt::Write;
use std::sync::{Arc, Barrier};

use bench_runtime::signal::{self, Signal};
use bench_runtime::sync::{Cond, Mutex, Once, RwMutex, Semaphore, WaitGroup};
use bench_runtime::{
    GoBuilder, Receiver, Runtime, Sender, blocking, chan, future, go, scope, select, time,
};

use crate::start::Start;
use crate::{End, Scenario};

pub(crate) const ALARMS: &[Scenario] = &[
    Scenario {
        name: "every_goroutine_is_named_with_its_wait_and_its_site",
        end: End::Deadlock(&[
            "goroutine 1 [chan receive on 0x*], spawned at bench-runtime/tests/deadlock/alarms.rs:*",
            "goroutine 2 \"feeder\" [chan send on 0x*], spawned at bench-runtime/tests/deadlock/alarms.rs:*",
            "goroutine 3 [select], spawned at bench-runtime/tests/deadlock/alarms.rs:*",
        ]),
        body: || on_one(every_goroutine_is_named),
    },
    Scenario {
        name: "holder_of_a_mutex_is_named",
        end: End::Deadlock(&[
            "goroutine 1 [sync.Mutex.lock on 0x*, held by goroutine 2], *",
            "goroutine 2 \"holder\" [sync.Mutex.lock on 0x*, held by goroutine 1], *",
        ]),
        body: || on_one(two_mutexes_in_both_orders),
    },
    Scenario {
        name: "who_is_joined_is_named",
        end: End::Deadlock(&[
            "goroutine 1 [join on 0x*, held by goroutine 2], *",
            "goroutine 2 [chan receive (nil chan)*], *",
        ]),
        body: || on_one(|| drop(go(|| Receiver::<u8>::never().recv()).join())),
    },
    Scenario {
        name: "send_on_a_nil_channel_is_named",
        end: End::Deadlock(&[
            "goroutine 1 [join on 0x*, held by goroutine 2], *",
            "goroutine 2 [chan send (nil chan)*], *",
        ]),
        body: || {
            on_one(|| {
                drop(go(|| drop(Sender::<u8>::never().send(1))).join());
            });
        },
    },
    Scenario {
        name: "every_primitive_is_named",
        end: End::Deadlock(&[
            "goroutine 1 [sync.WaitGroup.wait*], *",
            "goroutine 2 [sync.RwMutex.read*], *",
            "goroutine 3 [sync.RwMutex.write*], *",
            "goroutine 4 [sync.Cond.wait*], *",
            "goroutine 5 [semaphore acquire*], *",
            "goroutine 6 [sync.Once.call*], *",
            "goroutine 7 [sync.Once.call*], *",
            "goroutine 8 [scope*], *",
            "goroutine 9 [select (no cases)], *",
        ]),
        body: || on_one(every_primitive),
    },
    Scenario {
        name: "signals_that_nobody_listens_to_any_more_hide_nothing",
        end: End::Deadlock(&["goroutine 1 [chan receive*], *"]),
        body: || {
            on_one(|| {
                drop(signal::notify(&[Signal::USR1]));
                Receiver::<u8>::never().recv();
            });
        },
    },
    Scenario {
        name: "thread_that_has_called_wakers_hides_nothing",
        end: End::Deadlock(&["goroutine 1 [chan receive*], *"]),
        body: || {
            on_one(|| {
                let signals = signal::notify(&[Signal::USR1]).unwrap();
                drop(go(|| {
                    // SAFETY: sends a signal that is caught.
                    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
                }));
                assert_eq!(future::block_on(signals.recv_async()), Some(Signal::USR1));
                drop(signals);
                Receiver::<u8>::never().recv();
            });
        },
    },
    Scenario {
        name: "two_processors_see_it_too",
        end: End::Deadlock(&[
            "goroutine 1 [chan receive on *",
            "goroutine * [chan receive on *",
        ]),
        body: || on(2, false, wait_for_each_other),
    },
    Scenario {
        name: "goroutines_that_migrate_see_it_too",
        end: End::Deadlock(&[
            "goroutine 1 [chan receive on *",
            "goroutine * [chan receive on *",
        ]),
        body: || on(4, true, wait_for_each_other),
    },
    Scenario {
        name: "seen_after_the_last_timer_has_fired",
        end: End::Deadlock(&["goroutine 1 [chan receive on *"]),
        body: || {
            on_one(|| {
                let (_keep, rx) = chan::<u8>(0);
                time::sleep(std::time::Duration::from_millis(5));
                rx.recv();
            });
        },
    },
    Scenario {
        name: "seen_after_a_timer_was_stopped",
        end: End::Deadlock(&["goroutine 1 [chan receive on *"]),
        body: || {
            on_one(|| {
                let timer = time::Timer::new(std::time::Duration::from_millis(50));
                timer.stop();
                timer.receiver().recv();
            });
        },
    },
    Scenario {
        name: "seen_after_the_last_blocking_call_has_ended",
        end: End::Deadlock(&["goroutine 1 [chan receive on *"]),
        body: || {
            on(2, false, || {
                let (_keep, rx) = chan::<u8>(0);
                let slow =
                    go(|| blocking(|| std::thread::sleep(std::time::Duration::from_millis(20))));
                drop(slow);
                rx.recv();
            });
        },
    },
    Scenario {
        name: "seen_after_the_last_outside_thread_has_ended",
        end: End::Deadlock(&["goroutine 1 [chan receive on *"]),
        body: || {
            let thread = std::thread::spawn(|| {});
            thread.join().unwrap();
            on_one(|| {
                let (_keep, rx) = chan::<u8>(0);
                rx.recv();
            });
        },
    },
    Scenario {
        name: "seen_among_what_an_earlier_run_left_behind",
        end: End::Deadlock(&[
            "goroutine 2 \"left\" [chan receive on *",
            "goroutine * [chan send on *",
        ]),
        body: || {
            let runtime = Runtime::builder().procs(1).start().unwrap();
            let keep = runtime.run(|| {
                let (tx, rx) = chan::<u8>(0);
                drop(GoBuilder::new().name("left").go(move || rx.recv()));
                tx
            });
            runtime.run(|| {
                let (tx, _keep) = chan::<u8>(0);
                let _ = tx.send(1);
            });
            drop(keep);
        },
    },
    Scenario {
        name: "seen_with_two_threads_in_run",
        end: End::Deadlock(&[
            "goroutine * [chan receive on *",
            "goroutine * [chan receive on *",
        ]),
        body: || {
            let runtime = Arc::new(Runtime::builder().procs(2).start().unwrap());
            let both = Arc::new(Barrier::new(2));
            let run = move |runtime: Arc<Runtime>, both: Arc<Barrier>| {
                both.wait();
                runtime.run(|| {
                    let (_keep, rx) = chan::<u8>(0);
                    rx.recv();
                });
            };
            let other = std::thread::spawn({
                let (runtime, both) = (runtime.clone(), both.clone());
                move || run(runtime, both)
            });
            run(runtime, both);
            other.join().unwrap();
        },
    },
    Scenario {
        name: "a_report_of_many_is_whole",
        end: End::ManyDeadlocked(5_001),
        body: || {
            on_one(|| {
                let (tx, rx) = chan::<u8>(0);
                for n in 0..5_000 {
                    let mut name = String::new();
                    write!(name, "waiter {n}").unwrap();
                    let rx = rx.clone();
                    drop(GoBuilder::new().name(&name).go(move || rx.recv()));
                }
                rx.recv();
                drop(tx);
            });
        },
    },
];

fn on(procs: usize, migrating: bool, main: fn()) {
    let mut builder = Runtime::builder().procs(procs);
    if migrating {
        builder = builder.migrating();
    }
    builder.start().unwrap().run(main);
}

fn on_one(main: fn()) {
    on(1, false, main);
}

fn every_goroutine_is_named() {
    let (full, _nobody_reads) = chan(1);
    full.send(1).unwrap();
    let sender = full.clone();
    drop(GoBuilder::new().name("feeder").go(move || sender.send(2)));
    let (_nobody_sends, rx) = chan::<u8>(0);
    let waiter = rx.clone();
    drop(go(move || {
        select! {
            recv(waiter) -> _ => {},
            send(full, 3) -> _ => {},
        }
    }));
    rx.recv();
}

fn two_mutexes_in_both_orders() {
    let one = Arc::new(Mutex::new(()));
    let two = Arc::new(Mutex::new(()));
    let (go_on, both_hold) = chan::<()>(0);
    let first = one.lock();
    let holder = GoBuilder::new().name("holder").go({
        let (one, two) = (one.clone(), two.clone());
        move || {
            let _two = two.lock();
            go_on.send(()).unwrap();
            let _one = one.lock();
        }
    });
    both_hold.recv();
    let _second = two.lock();
    drop(first);
    drop(holder);
}

fn wait_for_each_other() {
    let (to_other, from_main) = chan::<u8>(0);
    let (to_main, from_other) = chan::<u8>(0);
    drop(go(move || {
        from_main.recv();
        let _ = to_main.send(1);
    }));
    from_other.recv();
    let _ = to_other.send(1);
}

fn every_primitive() {
    let never = || {
        Receiver::<u8>::never().recv();
    };
    let lock = Arc::new(RwMutex::new(()));
    let written = lock.write();
    let reader = lock.clone();
    drop(go(move || drop(reader.read())));
    let writer = lock.clone();
    drop(go(move || drop(writer.write())));
    drop(go(|| {
        let mutex = Mutex::new(());
        drop(Cond::new().wait(mutex.lock()));
    }));
    drop(go(|| drop(Semaphore::new(0).acquire(1))));
    let once = Arc::new(Once::new());
    let again = once.clone();
    drop(go(move || {
        let inner = again.clone();
        again.call(move || inner.call(|| {}));
    }));
    drop(go(move || once.call(|| {})));
    drop(go(move || {
        scope(|s| {
            s.go(|| select! {});
        });
        never();
    }));
    let group = WaitGroup::new();
    group.add(1);
    group.wait();
    drop(written);
}
