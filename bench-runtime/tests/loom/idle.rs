//! Going to sleep and waking: steps W1 to W3 and S1 to S4 of `sched::idle`. Work beside an idle
//! processor is found, or a thread is woken for it.

use crate::sys::barrier;
use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};

struct Scene {
    /// The idle list's lock, which guards no data: the counts are read without it.
    lists: Mutex<()>,
    idle_count: AtomicU32,
    spinning_count: AtomicU32,
    work: AtomicUsize,
    /// Work in the overflow of a running P.
    overflow: AtomicUsize,
    /// Ms that were woken with a P.
    woken: AtomicUsize,
}

/// The step that a canary leaves out of the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// S3: the second check.
    Recheck,
    /// S2.
    HeavyBarrier,
    /// S3: the queue is checked before the overflow.
    QueueFirst,
    /// The holder takes work out of the overflow before it puts it into the queue.
    OverflowLeftFirst,
}

impl Scene {
    fn new(idle: u32, spinning: u32) -> Arc<Self> {
        Arc::new(Self {
            lists: Mutex::new(()),
            idle_count: AtomicU32::new(idle),
            spinning_count: AtomicU32::new(spinning),
            work: AtomicUsize::new(0),
            overflow: AtomicUsize::new(0),
            woken: AtomicUsize::new(0),
        })
    }

    /// W1 to W3: `push_back` and `wake_one`.
    fn push(&self) {
        let queued = self.work.load(Ordering::Relaxed);
        // W1. Release, as the store of the queue's tail.
        self.work.store(queued + 1, Ordering::Release);
        self.wake_one();
    }

    fn wake_one(&self) {
        barrier::light(); // W2
        if self.idle_count.load(Ordering::Relaxed) == 0
            || self.spinning_count.load(Ordering::Relaxed) != 0
        {
            return;
        }
        // W3
        if self
            .spinning_count
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            return;
        }
        let _lists = self.lists.lock().unwrap();
        if self.acquire() {
            self.woken.fetch_add(1, Ordering::AcqRel);
        } else {
            self.spinning_count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// `Overflow::take_newest`, by the P's holder: the first of the batch runs, one goes to the
    /// queue. No wake follows.
    fn refill(&self, broken: Broken) {
        if broken == Broken::OverflowLeftFirst {
            self.overflow.fetch_sub(2, Ordering::Release);
        }
        self.work.store(1, Ordering::Release);
        if broken != Broken::OverflowLeftFirst {
            self.overflow.fetch_sub(2, Ordering::Release);
        }
    }

    /// `Processor::has_stealable_work`.
    fn sees_work(&self, broken: Broken) -> bool {
        let places = match broken {
            Broken::QueueFirst => [&self.work, &self.overflow],
            _ => [&self.overflow, &self.work],
        };
        places
            .iter()
            .any(|place| place.load(Ordering::Acquire) != 0)
    }

    fn acquire(&self) -> bool {
        let idle = self.idle_count.load(Ordering::Relaxed);
        if idle > 0 {
            self.idle_count.store(idle - 1, Ordering::SeqCst);
        }
        idle > 0
    }

    /// `rest` and `wait_for_processor`, by an M without work. True if the M continues as a spinner,
    /// false if it sleeps.
    fn rest(&self, spinning: bool, broken: Broken) -> bool {
        {
            let _lists = self.lists.lock().unwrap();
            let idle = self.idle_count.load(Ordering::Relaxed);
            self.idle_count.store(idle + 1, Ordering::SeqCst); // S1
        }
        if spinning {
            self.spinning_count.fetch_sub(1, Ordering::SeqCst); // S1
        }
        if broken == Broken::Recheck {
            return false;
        }
        if broken != Broken::HeavyBarrier {
            barrier::heavy(); // S2
        }
        // S3
        if self.sees_work(broken) {
            let _lists = self.lists.lock().unwrap();
            return self.acquire();
        }
        false // S4
    }

    /// No work may wait beside an idle P unless a thread searches for it.
    fn assert_not_lost(&self, is_awake: usize) {
        let idle = self.idle_count.load(Ordering::SeqCst);
        let searchers = is_awake + self.woken.load(Ordering::SeqCst);
        assert!(
            self.work.load(Ordering::SeqCst) == 0 || idle == 0 || searchers > 0,
            "lost wake-up"
        );
    }
}

/// One M makes work while another goes to sleep.
fn push_against_rest(spinning: bool, broken: Broken) {
    let scene = Scene::new(0, u32::from(spinning));
    let pusher = loom::thread::spawn({
        let scene = scene.clone();
        move || scene.push()
    });
    let is_awake = scene.rest(spinning, broken);
    pusher.join().unwrap();
    scene.assert_not_lost(usize::from(is_awake));
}

#[test]
fn work_pushed_while_the_last_spinner_goes_to_sleep_is_found() {
    loom::model(|| push_against_rest(true, Broken::Nothing));
}

#[test]
fn work_pushed_while_an_m_that_does_not_spin_goes_to_sleep_is_found() {
    loom::model(|| push_against_rest(false, Broken::Nothing));
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn canary_sleep_without_the_second_check() {
    loom::model(|| push_against_rest(true, Broken::Recheck));
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn canary_sleep_without_the_heavy_barrier() {
    loom::model(|| push_against_rest(true, Broken::HeavyBarrier));
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn canary_push_without_the_light_barrier() {
    barrier::break_light();
    loom::model(|| push_against_rest(true, Broken::Nothing));
}

/// The holder of a P moves work from its overflow to its queue while an M goes to sleep.
fn refill_against_rest(broken: Broken) {
    let scene = Scene::new(0, 0);
    scene.overflow.store(2, Ordering::Release);
    let holder = loom::thread::spawn({
        let scene = scene.clone();
        move || scene.refill(broken)
    });
    let is_awake = scene.rest(false, broken);
    holder.join().unwrap();
    scene.assert_not_lost(usize::from(is_awake));
}

#[test]
fn work_moved_from_the_overflow_while_an_m_goes_to_sleep_is_found() {
    loom::model(|| refill_against_rest(Broken::Nothing));
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn canary_check_of_the_queue_before_the_overflow() {
    loom::model(|| refill_against_rest(Broken::QueueFirst));
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn canary_overflow_left_before_the_queue_is_filled() {
    loom::model(|| refill_against_rest(Broken::OverflowLeftFirst));
}

/// Two Ms make work while a third goes to sleep, and one skips its wake because of the other.
#[test]
fn work_of_two_pushers_is_found() {
    crate::bounded(3, || {
        let scene = Scene::new(0, 1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let scene = scene.clone();
                loom::thread::spawn(move || {
                    // Two queues in one count.
                    scene.work.fetch_add(1, Ordering::AcqRel);
                    scene.wake_one();
                })
            })
            .collect();
        let is_awake = scene.rest(true, Broken::Nothing);
        for thread in threads {
            thread.join().unwrap();
        }
        scene.assert_not_lost(usize::from(is_awake));
    });
}

/// `resize_to` makes a P idle while the last spinner goes to sleep: one of them finds the work.
#[test]
fn grown_processors_find_work_that_waited_before() {
    loom::model(|| {
        let scene = Scene::new(0, 1);
        scene.work.store(1, Ordering::Release);
        let grower = loom::thread::spawn({
            let scene = scene.clone();
            move || {
                {
                    let _lists = scene.lists.lock().unwrap();
                    let idle = scene.idle_count.load(Ordering::Relaxed);
                    scene.idle_count.store(idle + 1, Ordering::SeqCst);
                }
                barrier::heavy();
                scene.wake_one();
            }
        });
        // This M checked the queue before the work came.
        let is_awake = scene.rest(true, Broken::Nothing);
        grower.join().unwrap();
        scene.assert_not_lost(usize::from(is_awake));
    });
}
