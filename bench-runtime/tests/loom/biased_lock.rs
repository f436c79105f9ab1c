//! The biased lock of an M's P: the M and sysmon never hold the P at once.

use crate::biased_lock_source::BiasedLock;
use crate::sys::barrier;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use std::ptr;

/// A P, with a part that only its holder may use.
struct P {
    own: UnsafeCell<u32>,
}

impl P {
    fn touch(&self) {
        // SAFETY: loom checks that the access is exclusive.
        self.own.with_mut(|own| unsafe { *own += 1 });
    }
}

struct Scene {
    lock: BiasedLock<P>,
    p: P,
}

// SAFETY: loom checks the accesses to its cells.
unsafe impl Send for Scene {}
// SAFETY: as above.
unsafe impl Sync for Scene {}

impl Scene {
    fn new() -> Arc<Self> {
        let scene = Arc::new(Self {
            lock: BiasedLock::default(),
            p: P {
                own: UnsafeCell::new(0),
            },
        });
        scene.lock.set(scene.raw());
        scene
    }

    fn raw(&self) -> *mut P {
        ptr::from_ref(&self.p).cast_mut()
    }

    /// One call into the runtime from a goroutine's code.
    fn call(&self) -> bool {
        let (p, was_inside) = self.lock.enter();
        let held = !p.is_null();
        if held {
            self.p.touch();
        }
        self.lock.leave(was_inside);
        held
    }
}

fn enter_against_retake() {
    let scene = Scene::new();
    scene.lock.leave(false);
    let sysmon = loom::thread::spawn({
        let scene = scene.clone();
        move || {
            let taken = scene.lock.retake(scene.raw(), || ());
            if taken {
                scene.p.touch();
            }
            taken
        }
    });
    let first = scene.call();
    let second = scene.call();
    let taken = sysmon.join().unwrap();
    assert!(first || !second, "a P came back by itself");
    assert!(taken || second, "a P that nobody took is gone");
    assert_eq!(scene.call(), !taken);
}

#[test]
fn p_is_retaken_or_entered_never_both() {
    loom::model(enter_against_retake);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn canary_enter_without_the_light_barrier() {
    barrier::break_light();
    loom::model(enter_against_retake);
}

#[test]
fn borrowed_processor_comes_back() {
    loom::model(|| {
        let scene = Scene::new();
        scene.lock.leave(false);
        let sysmon = loom::thread::spawn({
            let scene = scene.clone();
            move || scene.lock.borrow(scene.raw(), || scene.p.touch())
        });
        assert!(scene.call(), "the M lost a P that was only borrowed");
        sysmon.join().unwrap();
        assert!(scene.call());
    });
}

#[test]
fn processor_given_away_inside_is_not_retaken() {
    loom::model(|| {
        let scene = Scene::new();
        scene.lock.leave(false);
        let sysmon = loom::thread::spawn({
            let scene = scene.clone();
            move || scene.lock.retake(scene.raw(), || ())
        });
        let (p, _) = scene.lock.enter();
        let is_given_away = !p.is_null();
        if is_given_away {
            scene.lock.set(ptr::null_mut());
            scene.p.touch();
        }
        scene.lock.leave(false);
        assert!(is_given_away != sysmon.join().unwrap(), "one holder");
    });
}
