//! What the thread sanitizer must find in goroutines, and what it must not:
//! `scripts/tsan.sh` runs both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bench_runtime::{Runtime, chan, go};

/// A value without any protection.
static mut COUNT: u64 = 0;

/// # Safety
///
/// A data race, unless what the callers do orders them.
unsafe fn count_up() {
    // SAFETY: the caller's promise, or the very race that is asked for.
    unsafe { *(&raw mut COUNT) += 1 };
}

/// Counts beside another one, until each has seen the other at it.
fn race(own: usize, seen: &[AtomicU32; 2]) {
    // Relaxed: it shall order nothing.
    while seen[1 - own].load(Ordering::Relaxed) < 10_000 {
        seen[own].fetch_add(1, Ordering::Relaxed);
        // SAFETY: none: a race on purpose.
        unsafe { count_up() };
    }
    seen[own].store(10_000, Ordering::Relaxed);
}

/// A canary: it fails by what the sanitizer says.
#[test]
#[ignore = "races on purpose"]
fn canary_two_threads_race() {
    let seen = Arc::<[AtomicU32; 2]>::default();
    let tasks = [0, 1].map(|own| {
        let seen = seen.clone();
        std::thread::spawn(move || race(own, &seen))
    });
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

/// The same on an M each, which the runtime's own doings must not hide.
#[test]
#[ignore = "races on purpose"]
fn canary_two_goroutines_on_two_machines_race() {
    let runtime = Runtime::builder().procs(2).build().unwrap();
    runtime.run(|| {
        let seen = Arc::<[AtomicU32; 2]>::default();
        let tasks = [0, 1].map(|own| {
            let seen = seen.clone();
            go(move || race(own, &seen))
        });
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn what_a_channel_hands_over_is_no_race() {
    for procs in [1, 2] {
        let runtime = Runtime::builder().procs(procs).build().unwrap();
        runtime.run(|| {
            let (tx, rx) = chan::<()>(0);
            let (back, from) = chan::<()>(0);
            let other = go(move || {
                for () in rx {
                    // SAFETY: whoever sent it waits for the answer.
                    unsafe { count_up() };
                    back.send(()).expect("it receives");
                }
            });
            for _ in 0..1_000 {
                // SAFETY: the other waits for us.
                unsafe { count_up() };
                tx.send(()).expect("it receives");
                from.recv().expect("it sends");
            }
            drop(tx);
            other.join().unwrap();
        });
    }
}
