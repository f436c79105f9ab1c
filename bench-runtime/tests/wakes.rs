//! How often threads are woken to look for work: counted in a separate process.
//!
//! The bounds are wide, because sysmon may wake threads on a loaded host. A wake at every ready is
//! far above them.

mod start;

use std::sync::Mutex;
use std::time::Duration;

use bench_runtime::sync::WaitGroup;
use bench_runtime::{Runtime, chan, go, gomaxprocs, time, yield_now};
use start::Start;

/// The number of wakes in both modes; one test at a time. `work` begins with `procs` Ps.
#[allow(unsafe_code, reason = "a migrating runtime is asked for by unsafe")]
fn wakes(procs: usize, work: fn()) -> [u64; 2] {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    [false, true].map(|migrating| {
        let builder = Runtime::builder().procs(procs);
        let builder = match migrating {
            true => builder.migrating(),
            false => builder,
        };
        let runtime = builder.start().unwrap();
        runtime.run(work);
        runtime.metrics().wakes_count
    })
}

#[test]
fn a_ready_by_a_goroutine_that_parks_soon_wakes_no_thread() {
    const ROUNDS: u64 = 100_000;
    // One P until both have begun: in a pinned runtime both are then on one thread.
    let counts = wakes(1, || {
        let (to, others) = chan::<u64>(0);
        let (back, from) = chan(0);
        let other = go(move || {
            others
                .into_iter()
                .for_each(|i| back.send(i).expect("it receives"));
        });
        for i in 0..ROUNDS {
            to.send(i).expect("it receives");
            assert_eq!(from.recv(), Some(i));
            if i == 0 {
                gomaxprocs(Some(4));
            }
        }
        drop(to);
        other.join().unwrap();
    });
    assert!(counts.iter().all(|&count| count < ROUNDS / 2), "{counts:?}");
}

#[test]
fn goroutines_that_do_little_wake_few_threads() {
    const TASKS: u64 = 100_000;
    let counts = wakes(4, || {
        (0..TASKS).for_each(|_| go(|| ()).join().unwrap());
    });
    assert!(counts.iter().all(|&count| count < TASKS / 50), "{counts:?}");
}

#[test]
fn a_batch_wakes_far_fewer_threads_than_it_has_goroutines() {
    const TASKS: u64 = 100_000;
    let counts = wakes(4, || {
        let all = WaitGroup::new();
        (0..TASKS).for_each(|_| all.go(yield_now));
        all.wait();
    });
    assert!(counts.iter().all(|&count| count < TASKS / 4), "{counts:?}");
}

#[test]
fn no_thread_is_woken_while_all_wait() {
    let counts = wakes(4, || {
        let (tx, rx) = chan::<u8>(0);
        let waiters: Vec<_> = (0..1_000)
            .map(|_| {
                let rx = rx.clone();
                go(move || rx.recv())
            })
            .collect();
        // All goroutines wait before the first of these sleeps has ended.
        (0..50).for_each(|_| time::sleep(Duration::from_millis(10)));
        drop(tx);
        waiters.into_iter().for_each(|waiter| {
            assert_eq!(waiter.join().unwrap(), None);
        });
    });
    // There may be a wake for each goroutine at the start and at the end.
    assert!(counts.iter().all(|&count| count < 2_200), "{counts:?}");
}
