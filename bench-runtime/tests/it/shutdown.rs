//! The goroutines that are left after a shutdown, and the results of handles.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bench_runtime::sync::{Mutex, RwMutex, Semaphore};
use bench_runtime::{
    GoBuilder, JoinError, JoinHandle, Runtime, Sender, StackPolicy, chan, go, time, yield_now,
};
use nix::sys::resource::{Resource, setrlimit};

use crate::sched_support::Setting;
use crate::start::Start;

fn both_modes() -> impl Iterator<Item = Runtime> {
    [false, true].into_iter().map(|migrating| {
        let setting = Setting {
            procs: 2,
            migrating,
        };
        setting.builder().start().expect("a runtime starts")
    })
}

const CASE: &str = "SHUTDOWN_CASE";

/// True in the parent, after the test has passed in a child: for tests that count or limit
/// resources of the whole process.
fn passed_in_child(name: &str) -> bool {
    if std::env::var(CASE).as_deref() == Ok(name) {
        return false;
    }
    let status = std::process::Command::new(std::env::current_exe().expect("our own file"))
        .args([&format!("shutdown::{name}"), "--exact", "--nocapture"])
        .env(CASE, name)
        .status()
        .expect("a child starts");
    assert!(status.success(), "{name}: {status}");
    true
}

#[test]
fn join_after_shutdown_of_a_started_goroutine_is_an_error() {
    for runtime in both_modes() {
        let (tx, rx) = chan::<()>(0);
        let parked = runtime.spawn(move || rx.recv());
        runtime.run(move || {
            tx.send(()).unwrap();
            std::mem::forget(tx);
        });
        let done = runtime.spawn(|| 5);
        while !done.is_finished() {
            yield_now();
        }
        runtime.shutdown();
        assert_eq!(done.join().unwrap(), 5);
        // The receiver may have ended before the shutdown.
        match parked.join() {
            Ok(value) => assert_eq!(value, Some(())),
            Err(error) => assert!(matches!(error, JoinError::Unfinished), "{error}"),
        }
    }
}

#[test]
fn join_under_way_at_shutdown_ends_with_an_error() {
    for runtime in both_modes() {
        let (begun, has_begun) = mpsc::channel();
        let forever: JoinHandle<()> = runtime.spawn(move || {
            begun.send(()).unwrap();
            time::sleep(Duration::from_secs(3_600));
        });
        has_begun.recv().unwrap();
        let waits = thread::spawn(move || forever.join());
        let (begun, has_begun) = mpsc::channel();
        let second: JoinHandle<()> = runtime.spawn(move || {
            begun.send(()).unwrap();
            time::sleep(Duration::from_secs(3_600));
        });
        has_begun.recv().unwrap();
        let other = Runtime::builder().procs(1).start().unwrap();
        let there = other.spawn(move || second.join());
        while other.goroutines().iter().all(|g| g.state != "join") {
            thread::yield_now();
        }
        assert_eq!(runtime.shutdown().unfinished_count, 2);
        assert!(matches!(waits.join().unwrap(), Err(JoinError::Unfinished)));
        assert!(matches!(there.join().unwrap(), Err(JoinError::Unfinished)));
    }
}

#[test]
fn closure_that_panics_when_it_is_dropped_unstarted_breaks_no_shutdown() {
    struct Loud(Arc<()>);
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("dropped {}", Arc::strong_count(&self.0));
        }
    }
    let runtime = Runtime::builder().procs(1).start().unwrap();
    let count = Arc::new(());
    let handles = runtime.run({
        let count = count.clone();
        move || {
            (0..3)
                .map(|_| {
                    let loud = Loud(count.clone());
                    go(move || drop(loud))
                })
                .collect::<Vec<_>>()
        }
    });
    runtime.shutdown();
    for handle in handles {
        // The destructors of goroutines that ran have panicked.
        match handle.join() {
            Err(JoinError::Panicked(_) | JoinError::Abandoned) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn timers_of_a_stopped_runtime_drop_their_functions() {
    for runtime in both_modes() {
        let held = Arc::new(());
        runtime.run({
            let held = held.clone();
            move || {
                let keep = held.clone();
                std::mem::forget(time::after_func(Duration::from_secs(3_600), move || {
                    drop(keep.clone());
                }));
            }
        });
        runtime.shutdown();
        // The timer's handle holds the function too.
        assert!(Arc::strong_count(&held) <= 2);
    }
}

#[test]
fn function_that_is_reset_after_the_runtime_has_stopped_is_called() {
    for runtime in both_modes() {
        let (tell, told) = mpsc::channel();
        let call = runtime.run(move || {
            time::after_func(Duration::from_secs(3_600), move || tell.send(()).unwrap())
        });
        runtime.shutdown();
        assert!(call.reset(Duration::from_millis(1)));
        told.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn lock_skips_waiters_of_a_stopped_runtime() {
    struct Locks {
        semaphore: Semaphore,
        rw_mutex: RwMutex<u8>,
        mutex: Mutex<u8>,
    }
    type Wait = (&'static str, fn(&'static Locks));
    for runtime in both_modes() {
        let locks: &'static Locks = Box::leak(Box::new(Locks {
            semaphore: Semaphore::new(1),
            rw_mutex: RwMutex::new(0),
            mutex: Mutex::new(0),
        }));
        let held = (
            locks.semaphore.acquire(1),
            locks.rw_mutex.write(),
            locks.mutex.lock(),
        );
        let waits: [Wait; 4] = [
            ("semaphore acquire", |locks| {
                drop(locks.semaphore.acquire(1))
            }),
            ("sync.RwMutex.read", |locks| drop(locks.rw_mutex.read())),
            ("sync.RwMutex.write", |locks| drop(locks.rw_mutex.write())),
            ("sync.Mutex.lock", |locks| drop(locks.mutex.lock())),
        ];
        for (state, wait) in waits {
            drop(runtime.spawn(move || wait(locks)));
            while runtime.goroutines().iter().all(|g| g.state != state) {
                thread::yield_now();
            }
        }
        assert_eq!(runtime.shutdown().unfinished_count, 4);
        drop(held);
        assert_eq!(locks.semaphore.available(), 1);
        assert!(locks.rw_mutex.try_write().is_some());
        // Nor does the waiter of the stopped runtime delay two threads that compete for the mutex.
        let threads: Vec<_> = (0..2)
            .map(|_| {
                thread::spawn(|| {
                    for _ in 0..5 {
                        let mut value = locks.mutex.lock();
                        thread::sleep(Duration::from_millis(2));
                        *value += 1;
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(*locks.mutex.lock(), 10);
    }
}

#[test]
fn refused_stack_drops_the_closure_where_it_may_park() {
    struct Report(Sender<u8>);
    impl Drop for Report {
        fn drop(&mut self) {
            // Without a buffer: this waits for the receiver.
            self.0.send(1).unwrap();
        }
    }
    const COUNT: usize = 200;
    if passed_in_child("refused_stack_drops_the_closure_where_it_may_park") {
        return;
    }
    // There are few slots of a large size.
    let limit = 16 << 30;
    setrlimit(Resource::RLIMIT_AS, limit, limit).expect("less is always allowed");
    for runtime in both_modes() {
        runtime.run(|| {
            let (tx, rx) = chan(0);
            let (stay, end) = chan::<()>(0);
            let handles: Vec<_> = (0..COUNT)
                .map(|_| {
                    let (report, end) = (Report(tx.clone()), end.clone());
                    let task = move || {
                        std::mem::forget(report);
                        end.recv()
                    };
                    let policy = StackPolicy::Fixed(60 << 20);
                    GoBuilder::new().stack(policy).go(task).unwrap()
                })
                .collect();
            // The first refused closure reports that it was dropped.
            assert_eq!(rx.recv(), Some(1));
            stay.close();
            let reports = go(move || rx.iter().count());
            let refused = handles
                .into_iter()
                .map(JoinHandle::join)
                .filter(|outcome| match outcome {
                    Ok(_) => false,
                    Err(JoinError::NoStack(_)) => true,
                    Err(other) => panic!("{other}"),
                })
                .count();
            assert!((1..COUNT).contains(&refused), "{refused}");
            // This is the last sender: the channel closes.
            drop(tx);
            drop(reports);
        });
    }
}

#[test]
fn thousands_of_runtimes_leak_no_descriptors_and_no_threads() {
    if passed_in_child("thousands_of_runtimes_leak_no_descriptors_and_no_threads") {
        return;
    }
    let count = |folder: &str| fs::read_dir(folder).expect("proc is there").count();
    // Waits until only the test's own threads are left.
    let settle = || {
        for _ in 0..500 {
            if count("/proc/self/task") <= 2 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    };
    let mut before = (0, 0);
    for round in 0..3_000 {
        let setting = Setting {
            procs: 2,
            migrating: round % 2 == 0,
        };
        let runtime = setting.builder().start().expect("a runtime starts");
        runtime.run(move || {
            let (tx, rx) = chan::<u8>(0);
            if round % 3 == 0 {
                std::mem::forget(tx);
                drop(go(move || rx.recv()));
                yield_now();
            } else {
                let task = go(move || rx.recv());
                tx.send(1).unwrap();
                task.join().unwrap();
            }
        });
        runtime.shutdown();
        if round == 100 {
            settle();
            before = (count("/proc/self/fd"), count("/proc/self/task"));
        }
    }
    settle();
    let after = (count("/proc/self/fd"), count("/proc/self/task"));
    assert!(
        after.0 <= before.0 + 40,
        "descriptors: {before:?}, {after:?}"
    );
    assert!(after.1 <= before.1, "threads: {before:?}, {after:?}");
}
