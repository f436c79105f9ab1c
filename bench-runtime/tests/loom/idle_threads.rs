//! Idle threads: each job that is assigned runs once, and all threads end.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::idle_threads_source::{IdleThreads, JobSlot};
use crate::spin::AdaptiveSpin;
use crate::sys::futex;

struct Job {
    value: UnsafeCell<u32>,
    runs: AtomicUsize,
}

// SAFETY: loom checks the accesses to its cells.
unsafe impl Sync for Job {}
// SAFETY: as above.
unsafe impl Send for Job {}

struct Scene {
    idle: IdleThreads<Arc<Job>>,
    stopping: AtomicBool,
}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            idle: IdleThreads::new(),
            stopping: AtomicBool::new(false),
        })
    }

    /// As `helper_main`.
    fn help(&self, spins: bool) {
        let slot = JobSlot::new();
        let spin = AdaptiveSpin::default();
        if spins {
            spin.note_sleep(0);
        }
        assert_eq!(spin.should_spin(), spins);
        let wait = || {
            self.idle.wait(
                &slot,
                &spin,
                // Relaxed: the lock of the list orders it.
                || !self.stopping.load(Ordering::Relaxed),
                || (),
            )
        };
        while let Some(job) = wait() {
            // SAFETY: loom checks that the access is exclusive.
            job.value.with_mut(|value| unsafe { *value += 1 });
            job.runs.fetch_add(1, Ordering::Release);
        }
    }

    /// As `Shared::help`. True if a helper took the job.
    fn call(&self) -> bool {
        let job = Arc::new(Job {
            value: UnsafeCell::new(1),
            runs: AtomicUsize::new(0),
        });
        let taken = self.idle.assign(job.clone()).is_ok();
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
        self.idle.release_all();
    }
}

/// Starts a helper for each element of `awake`, which says whether the helper spins.
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
fn helper_that_spins_and_then_sleeps_gets_each_job_and_the_end() {
    futex::be_patient();
    calls_and_stop(2, &[true]);
}

#[test]
fn helper_that_leaves_after_a_long_sleep_takes_no_job_with_it() {
    calls_and_stop(2, &[true]);
}

#[test]
fn one_of_two_helpers_spins_and_both_get_the_end() {
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
fn canary_assignment_without_a_wake() {
    let name = "idle_threads::canary_assignment_without_a_wake";
    crate::expect_deadlock(name, || {
        futex::be_patient();
        futex::break_wake();
        calls_and_stop(1, &[false]);
    });
}

/// A stop that sets its flag after `release_all` misses a thread that joins the list meanwhile.
#[test]
fn canary_stop_that_is_set_after_the_release() {
    let name = "idle_threads::canary_stop_that_is_set_after_the_release";
    crate::expect_deadlock(name, || {
        futex::be_patient();
        loom::model(|| {
            let scene = Scene::new();
            let helper = loom::thread::spawn({
                let scene = scene.clone();
                move || scene.help(false)
            });
            scene.idle.release_all();
            scene.stopping.store(true, Ordering::Relaxed);
            helper.join().unwrap();
        });
    });
}
