//! Claims: of all threads that try to end one wait, one succeeds, and only that one writes into the
//! waiter.

use crate::ticket_source;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};

struct Scene {
    ticket: AtomicU32,
    elem: UnsafeCell<u32>,
    /// The goroutine is in the queue of runnable goroutines.
    readied: AtomicBool,
    readies: AtomicU32,
}

// SAFETY: loom checks the accesses to its cells.
unsafe impl Send for Scene {}
// SAFETY: as above.
unsafe impl Sync for Scene {}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            ticket: AtomicU32::new(0),
            elem: UnsafeCell::new(0),
            readied: AtomicBool::new(false),
            readies: AtomicU32::new(0),
        })
    }

    /// `Parkable::claim`.
    fn claim(&self, ticket: u32) -> bool {
        ticket_source::claim(&self.ticket, ticket)
    }

    /// Not an exchange, so two threads may both succeed.
    fn claim_carelessly(&self, ticket: u32) -> bool {
        let mine = self.ticket.load(Ordering::Acquire) == ticket;
        if mine {
            self.ticket.store(ticket + 1, Ordering::Release);
        }
        mine
    }

    fn end_wait(&self, with: u32) {
        // SAFETY: loom checks that the access is exclusive.
        self.elem.with_mut(|elem| unsafe { *elem = with });
        self.readies.fetch_add(1, Ordering::AcqRel);
        self.readied.store(true, Ordering::Release);
    }
}

fn two_threads_end_the_wait(claim: fn(&Scene, u32) -> bool) {
    let scene = Scene::new();
    let threads: Vec<_> = (1..=2)
        .map(|n| {
            let scene = scene.clone();
            loom::thread::spawn(move || {
                if claim(&scene, 0) {
                    scene.end_wait(n);
                }
            })
        })
        .collect();
    while !scene.readied.load(Ordering::Acquire) {
        loom::thread::yield_now();
    }
    // SAFETY: as in `end_wait`.
    let got = scene.elem.with(|elem| unsafe { *elem });
    assert!(got == 1 || got == 2);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(scene.readies.load(Ordering::Acquire), 1, "readied once");
}

#[test]
fn one_of_two_ends_the_wait() {
    loom::model(|| two_threads_end_the_wait(Scene::claim));
}

#[test]
#[should_panic]
fn canary_claim_that_is_no_exchange() {
    loom::model(|| two_threads_end_the_wait(Scene::claim_carelessly));
}

/// A timer that fires late finds the ticket of the next wait.
#[test]
fn late_timer_does_not_end_the_next_wait() {
    loom::model(|| {
        let scene = Scene::new();
        let timer = loom::thread::spawn({
            let scene = scene.clone();
            move || {
                if scene.claim(0) {
                    scene.end_wait(1);
                }
            }
        });
        // Another thread or the timer ends the first wait.
        let timer_won = !scene.claim(0);
        // The next wait is not ended.
        let next = scene.ticket.load(Ordering::Relaxed);
        assert_eq!(next, 1);
        timer.join().unwrap();
        assert_eq!(
            scene.readies.load(Ordering::Acquire),
            u32::from(timer_won),
            "a stale claim"
        );
    });
}
