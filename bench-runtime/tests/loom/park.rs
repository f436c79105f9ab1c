//! Parking: a goroutine that is readied while it still leaves its stack is resumed once, after it
//! has left the stack. The steps are those of `goroutine::waiter` and of the table of `context`.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};

const RUNNING: usize = 1;
const SAVED: usize = 2;

struct Scene {
    context: AtomicUsize,
    stack: UnsafeCell<u32>,
    /// A primitive's queue of waiters, under its lock: true while the goroutine waits.
    waits: Mutex<bool>,
    resumed: AtomicUsize,
}

// SAFETY: loom checks the accesses to its cells.
unsafe impl Send for Scene {}
// SAFETY: as above.
unsafe impl Sync for Scene {}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            context: AtomicUsize::new(RUNNING),
            stack: UnsafeCell::new(0),
            waits: Mutex::new(false),
            resumed: AtomicUsize::new(0),
        })
    }

    fn use_stack(&self) {
        // SAFETY: loom checks that the access is exclusive.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
    }

    fn park(&self, saved: Ordering) {
        *self.waits.lock().unwrap() = true;
        // `arch::switch` pushes registers, then stores the context.
        self.use_stack();
        self.context.store(SAVED, saved);
    }

    fn ready_and_resume(&self) {
        if !std::mem::take(&mut *self.waits.lock().unwrap()) {
            return;
        }
        // `ready_context`
        while self.context.load(Ordering::Acquire) & RUNNING != 0 {
            loom::thread::yield_now();
        }
        self.context.store(RUNNING, Ordering::Release);
        self.use_stack();
        self.resumed.fetch_add(1, Ordering::AcqRel);
    }
}

fn park_against_ready(wakers: usize, saved: Ordering) {
    let scene = Scene::new();
    let threads: Vec<_> = (0..wakers)
        .map(|_| {
            let scene = scene.clone();
            loom::thread::spawn(move || scene.ready_and_resume())
        })
        .collect();
    scene.park(saved);
    for thread in threads {
        thread.join().unwrap();
    }
    let waits = *scene.waits.lock().unwrap();
    assert_eq!(
        scene.resumed.load(Ordering::Acquire) + usize::from(waits),
        1,
        "it waits or was resumed, once"
    );
}

#[test]
fn goroutine_is_resumed_after_it_has_left_its_stack() {
    loom::model(|| park_against_ready(1, Ordering::Release));
}

#[test]
fn two_wakers_resume_a_goroutine_once() {
    crate::bounded(3, || park_against_ready(2, Ordering::Release));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_context_saved_without_release() {
    loom::model(|| park_against_ready(1, Ordering::Relaxed));
}

/// The sweep claims the context as if the goroutine still ran; a thread that readies the goroutine
/// waits.
#[test]
fn claimed_stack_is_not_resumed() {
    loom::model(|| {
        let scene = Scene::new();
        scene.park(Ordering::Release);
        let sweep = loom::thread::spawn({
            let scene = scene.clone();
            move || {
                let claimed = scene.context.compare_exchange(
                    SAVED,
                    SAVED | RUNNING,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                );
                if claimed.is_ok() {
                    scene.use_stack();
                    scene.context.store(SAVED, Ordering::Release);
                }
            }
        });
        // The M that dequeues the goroutine waits for the claim, and then marks the goroutine as
        // running.
        if std::mem::take(&mut *scene.waits.lock().unwrap()) {
            loop {
                let context = scene.context.load(Ordering::Acquire);
                if context & RUNNING == 0
                    && scene
                        .context
                        .compare_exchange(
                            context,
                            context | RUNNING,
                            Ordering::AcqRel,
                            Ordering::Relaxed,
                        )
                        .is_ok()
                {
                    break;
                }
                loom::thread::yield_now();
            }
            scene.use_stack();
        }
        sweep.join().unwrap();
    });
}
