//! Claims of a parked goroutine's stack: the sweep and the thread that resumes the goroutine never
//! use the stack at the same time, and neither waits for ever. A reading of the stack does not
//! delay the resume, and the reader notices the resume. `goroutine/claim.rs` numbers the steps.

use crate::claim_source as steps;
use crate::sys::barrier;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};

const SAVED: usize = 0x100;
const SAVED_LATER: usize = 0x80;
const HEADER: usize = 0x200;
const CLAIMED: usize = HEADER | 3;

const RUNNABLE: u8 = 1;
const WAITING: u8 = 4;

/// [`steps::holds`], or a broken one.
type Holds = fn(&AtomicUsize, usize, &AtomicU8, u8) -> bool;

struct Scene {
    context: AtomicUsize,
    status: AtomicU8,
    stack: UnsafeCell<u32>,
    queue: Mutex<bool>,
}

// SAFETY: loom checks the accesses to its cells.
unsafe impl Send for Scene {}
// SAFETY: as above.
unsafe impl Sync for Scene {}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            context: AtomicUsize::new(SAVED),
            status: AtomicU8::new(WAITING),
            stack: UnsafeCell::new(0),
            queue: Mutex::new(false),
        })
    }

    fn use_stack(&self) {
        // SAFETY: loom checks that the access is exclusive.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
    }

    /// R1, as `make_runnable` does it.
    fn ready(&self) {
        self.status.store(RUNNABLE, Ordering::Relaxed);
        *self.queue.lock().unwrap() = true;
    }

    /// R2 and R3, as `ready_context`; then the goroutine's code.
    fn resume(&self) {
        let mut context = steps::read(&self.context);
        while context & 1 != 0 {
            loom::thread::yield_now();
            context = steps::read_again(&self.context);
        }
        assert_eq!(context, SAVED);
        steps::resume(&self.context, context);
        self.use_stack();
        steps::arrive(&self.context, HEADER);
        self.use_stack();
    }

    /// The goroutine parks again, as `prepare_park` and `switch` do it.
    fn park(&self) {
        steps::park(&self.status, WAITING);
        self.use_stack();
        // Not a store, for the reason given at `steps::resume`.
        self.context.swap(SAVED_LATER, Ordering::Release);
    }

    fn sweep(&self, holds: Holds) -> bool {
        let saved = self.context.load(Ordering::Acquire);
        if saved & 1 != 0 || self.status.load(Ordering::Relaxed) != WAITING {
            return false;
        }
        if !steps::claim(&self.context, saved, CLAIMED) {
            return false;
        }
        steps::confirm();
        let holds = holds(&self.context, CLAIMED, &self.status, WAITING);
        if holds {
            self.use_stack();
        }
        steps::release(&self.context, CLAIMED, saved);
        holds
    }
}

/// One thread readies the goroutine and resumes it, without a lock between.
fn claim_against_resume() {
    let scene = Scene::new();
    let sweep = loom::thread::spawn({
        let scene = scene.clone();
        move || scene.sweep(steps::holds)
    });
    scene.status.store(RUNNABLE, Ordering::Relaxed);
    scene.resume();
    sweep.join().unwrap();
    assert_eq!(scene.context.load(Ordering::Relaxed), HEADER | 1);
}

#[test]
fn stack_is_claimed_or_resumed_never_both() {
    loom::model(claim_against_resume);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_claim_that_is_not_confirmed_by_a_heavy_barrier() {
    barrier::break_heavy();
    loom::model(claim_against_resume);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_resume_without_the_light_barrier() {
    barrier::break_light();
    loom::model(claim_against_resume);
}

#[test]
fn stack_is_not_used_twice_if_one_thread_readies_and_another_resumes() {
    loom::model(|| {
        let scene = Scene::new();
        let sweep = loom::thread::spawn({
            let scene = scene.clone();
            move || scene.sweep(steps::holds)
        });
        let other = loom::thread::spawn({
            let scene = scene.clone();
            move || {
                let found = std::mem::take(&mut *scene.queue.lock().unwrap());
                if found {
                    scene.resume();
                }
                found
            }
        });
        scene.ready();
        sweep.join().unwrap();
        let resumed = other.join().unwrap();
        let context = scene.context.load(Ordering::Relaxed);
        assert_eq!(context, if resumed { HEADER | 1 } else { SAVED });
    });
}

fn claim_against_two_waits(holds: Holds) {
    let scene = Scene::new();
    let sweep = loom::thread::spawn({
        let scene = scene.clone();
        move || scene.sweep(holds)
    });
    scene.status.store(RUNNABLE, Ordering::Relaxed);
    scene.resume();
    scene.park();
    sweep.join().unwrap();
    assert_eq!(scene.context.load(Ordering::Acquire), SAVED_LATER);
    assert!(scene.sweep(holds), "it is parked, and nobody is about");
    assert_eq!(scene.context.load(Ordering::Acquire), SAVED_LATER);
}

#[test]
fn stack_is_not_used_twice_if_the_goroutine_parks_again() {
    loom::model(|| claim_against_two_waits(steps::holds));
}

/// Reads the context first: it may be that of one wait, and the status that of the next.
#[test]
#[should_panic(expected = "Causality violation")]
fn canary_context_read_before_the_status() {
    loom::model(|| {
        claim_against_two_waits(|context, claimed, status, waiting| {
            context.load(Ordering::Acquire) == claimed && status.load(Ordering::Acquire) == waiting
        });
    });
}

/// A goroutine whose stack has two words, which are equal while it is suspended.
struct Watched {
    context: AtomicUsize,
    status: AtomicU8,
    words: [AtomicU32; 2],
}

impl Watched {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            context: AtomicUsize::new(SAVED),
            status: AtomicU8::new(WAITING),
            words: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    /// From the ready of the goroutine to its next wait. Does not wait for a reader.
    fn run_and_park(&self) {
        self.status.store(RUNNABLE, Ordering::Relaxed);
        let context = steps::read(&self.context);
        assert_eq!(steps::saved(context), SAVED);
        steps::resume(&self.context, SAVED);
        let add = |word: &AtomicU32| {
            word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        };
        add(&self.words[0]);
        steps::park(&self.status, WAITING);
        add(&self.words[1]);
        // Not a store, for the reason given at `steps::resume`.
        self.context.swap(SAVED, Ordering::Release);
    }

    /// I2, as the kernel reads.
    fn words(&self) -> [u32; 2] {
        [0, 1].map(|index| self.words[index].load(Ordering::Relaxed))
    }

    /// Reads the words; `None` if the reading is not valid.
    fn try_read(&self) -> Option<[u32; 2]> {
        if !steps::watch(&self.context, SAVED) {
            return None;
        }
        let words = self.words();
        steps::confirm();
        steps::unwatch(&self.context, SAVED, &self.status, WAITING).then_some(words)
    }

    /// Does not mark the goroutine.
    fn read_unmarked(&self) -> Option<[u32; 2]> {
        let is_suspended = || {
            self.status.load(Ordering::Acquire) == WAITING
                && self.context.load(Ordering::Acquire) == SAVED
        };
        if !is_suspended() {
            return None;
        }
        let words = self.words();
        steps::confirm();
        is_suspended().then_some(words)
    }
}

fn read_against_resume(try_read: fn(&Watched) -> Option<[u32; 2]>) {
    let scene = Watched::new();
    let observer = loom::thread::spawn({
        let scene = scene.clone();
        move || {
            if let Some([first, second]) = try_read(&scene) {
                assert_eq!(first, second, "torn");
            }
        }
    });
    scene.run_and_park();
    observer.join().unwrap();
    assert_eq!(scene.context.load(Ordering::Relaxed), SAVED);
    assert_eq!(try_read(&scene), Some([1, 1]), "nobody is about");
    scene.run_and_park();
    assert_eq!(try_read(&scene), Some([2, 2]));
}

#[test]
fn reading_delays_no_goroutine_and_reports_whether_it_is_valid() {
    loom::model(|| read_against_resume(Watched::try_read));
}

#[test]
#[should_panic(expected = "torn")]
fn canary_reading_of_a_goroutine_that_is_not_marked() {
    loom::model(|| read_against_resume(Watched::read_unmarked));
}
