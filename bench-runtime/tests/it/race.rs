//! Errors that the thread sanitizer must find in goroutines, and correct programs: see
//! `scripts/tsan.sh`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::start::Start;
use bench_runtime::{Runtime, chan, go};

static mut COUNTS: [u64; 64] = [0; 64];

/// # Safety
///
/// A data race, unless the callers' code orders the accesses.
unsafe fn count_up(at: usize) {
    // SAFETY: the caller's promise, or the race that the test makes.
    unsafe { (*(&raw mut COUNTS))[at] += 1 };
}

/// Counts in each place once both tasks run, so nothing orders their counts. The orders are
/// opposite, because the sanitizer misses simultaneous accesses, and ignores a repeated access.
fn race(own: usize, begun: &[AtomicBool; 2]) {
    // Relaxed: it must not order anything.
    begun[own].store(true, Ordering::Relaxed);
    while !begun[1 - own].load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    for step in 0..64 {
        // SAFETY: none: a race on purpose.
        unsafe { count_up(if own == 0 { step } else { 63 - step }) };
    }
}

/// A canary: the sanitizer must report it.
#[test]
#[ignore = "races on purpose"]
fn canary_two_threads_race() {
    let begun = Arc::<[AtomicBool; 2]>::default();
    let tasks = [0, 1].map(|own| {
        let begun = begun.clone();
        std::thread::spawn(move || race(own, &begun))
    });
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

/// Two goroutines on two Ms. The runtime's own synchronisation must not hide the race.
#[test]
#[ignore = "races on purpose"]
fn canary_two_goroutines_on_two_machines_race() {
    let runtime = Runtime::builder().procs(2).start().unwrap();
    runtime.run(|| {
        let begun = Arc::<[AtomicBool; 2]>::default();
        let tasks = [0, 1].map(|own| {
            let begun = begun.clone();
            go(move || race(own, &begun))
        });
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn values_sent_over_a_channel_are_no_race() {
    for procs in [1, 2] {
        let runtime = Runtime::builder().procs(procs).start().unwrap();
        runtime.run(|| {
            let (tx, rx) = chan::<()>(0);
            let (back, from) = chan::<()>(0);
            let other = go(move || {
                for () in rx {
                    // SAFETY: the sender waits for the answer.
                    unsafe { count_up(0) };
                    back.send(()).expect("it receives");
                }
            });
            for _ in 0..1_000 {
                // SAFETY: the other waits for us.
                unsafe { count_up(0) };
                tx.send(()).expect("it receives");
                from.recv().expect("it sends");
            }
            drop(tx);
            other.join().unwrap();
        });
    }
}
