//! Where helpers wait for jobs: every job that is taken is run once, and everybody
//! leaves in the end.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::luck::Luck;
use crate::seats_source::{Seat, Seats};
use crate::sys::futex;

/// What the caller has on its stack.
struct Job {
    value: UnsafeCell<u32>,
    runs: AtomicUsize,
}

// SAFETY: the cell in it is what the model is about; loom reports a race.
unsafe impl Sync for Job {}
// SAFETY: as above.
unsafe impl Send for Job {}

struct Scene {
    seats: Seats<Arc<Job>>,
    stopping: AtomicBool,
}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            seats: Seats::new(),
            stopping: AtomicBool::new(false),
        })
    }

    /// As `helper_main`.
    fn help(&self, waits_awake: bool) {
        let seat = Seat::new();
        let luck = Luck::bad_for(1);
        if waits_awake {
            luck.has_slept(true);
        }
        assert_eq!(luck.is_good(), waits_awake);
        let wait = || {
            self.seats.wait(
                &seat,
                &luck,
                // Relaxed: the lock of the list orders it.
                || !self.stopping.load(Ordering::Relaxed),
                || (),
            )
        };
        while let Some(job) = wait() {
            // SAFETY: that this is exclusive is what loom checks.
            job.value.with_mut(|value| unsafe { *value += 1 });
            job.runs.fetch_add(1, Ordering::Release);
        }
    }

    /// As `Shared::help`; waits for the job if a helper takes it. True if one did.
    fn call(&self) -> bool {
        let job = Arc::new(Job {
            value: UnsafeCell::new(1),
            runs: AtomicUsize::new(0),
        });
        let taken = self.seats.call(job.clone()).is_ok();
        while taken && job.runs.load(Ordering::Acquire) == 0 {
            loom::thread::yield_now();
        }
        // SAFETY: as above.
        job.value
            .with(|value| assert_eq!(unsafe { *value }, 1 + u32::from(taken)));
        taken
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.seats.dismiss();
    }
}

/// So many jobs for helpers of whom each may wait awake, and then the end.
fn calls_and_stop(calls: usize, awake: &'static [bool]) {
    crate::bounded(4 - awake.len(), move || {
        let scene = Scene::new();
        let helpers: Vec<_> = awake
            .iter()
            .map(|&awake| {
                let scene = scene.clone();
                loom::thread::spawn(move || scene.help(awake))
            })
            .collect();
        for _ in 0..calls {
            scene.call();
        }
        scene.stop();
        helpers.into_iter().for_each(|h| h.join().unwrap());
    });
}

#[test]
fn helper_that_sleeps_is_woken_for_each_job_and_for_the_end() {
    futex::be_patient();
    calls_and_stop(2, &[false]);
}

#[test]
fn helper_that_waits_awake_and_then_sleeps_gets_each_job_and_the_end() {
    futex::be_patient();
    calls_and_stop(2, &[true]);
}

#[test]
fn helper_that_leaves_after_a_long_sleep_takes_no_job_with_it() {
    calls_and_stop(2, &[true]);
}

#[test]
fn one_of_two_helpers_waits_awake_and_both_get_the_end() {
    futex::be_patient();
    calls_and_stop(1, &[true, true]);
}

#[test]
fn two_callers_of_one_helper_have_one_job_done_each() {
    futex::be_patient();
    crate::bounded(3, || {
        let scene = Scene::new();
        let threads = [false, true].map(|helps| {
            let scene = scene.clone();
            loom::thread::spawn(move || match helps {
                true => scene.help(true),
                false => drop(scene.call()),
            })
        });
        scene.call();
        let [caller, helper] = threads;
        caller.join().unwrap();
        scene.stop();
        helper.join().unwrap();
    });
}

#[test]
fn canary_call_that_wakes_nobody() {
    let name = "seats::canary_call_that_wakes_nobody";
    crate::expect_deadlock(name, || {
        futex::be_patient();
        futex::break_wake();
        calls_and_stop(1, &[false]);
    });
}

/// Who says that it stops after it has dismissed misses who sits down meanwhile.
#[test]
fn canary_end_that_is_told_after_the_dismissal() {
    let name = "seats::canary_end_that_is_told_after_the_dismissal";
    crate::expect_deadlock(name, || {
        futex::be_patient();
        loom::model(|| {
            let scene = Scene::new();
            let helper = loom::thread::spawn({
                let scene = scene.clone();
                move || scene.help(false)
            });
            scene.seats.dismiss();
            scene.stopping.store(true, Ordering::Relaxed);
            helper.join().unwrap();
        });
    });
}
