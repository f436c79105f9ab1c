//! Models of the scheduler's lock-free pieces: loom runs every interleaving,
//! with every outcome that the memory model allows.
//!
//! The run queue and the door are the product's own source, compiled here
//! against loom's atomics. The idle protocol, the parking of a goroutine and
//! the claim of a ticket are written again with the steps and the orderings of
//! the source, because theirs is spread over code that calls the kernel. The
//! slot of the netpoller has its model beside it, in `src/netpoll/slot.rs`.
//!
//! Each piece has a canary: the same model with one ordering or step broken,
//! which loom must find. Run it by `scripts/loom.sh`.
#![cfg(rt_loom)]
#![allow(missing_docs, reason = "a test")]

#[path = "../../src/sched/door.rs"]
mod door_source;
#[path = "../../src/sched/run_queue.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod run_queue_source;
#[path = "../../src/shim.rs"]
#[allow(dead_code, unused_imports, reason = "the models do not use all of it")]
mod shim;

mod door;
mod idle;
mod park;
mod run_queue;
mod ticket;

/// What the sources import, in loom's terms.
mod sys {
    /// The asymmetric barrier orders like two full fences.
    pub(crate) mod barrier {
        use loom::sync::atomic::{Ordering, fence};
        use std::cell::Cell;

        thread_local! {
            // Of the thread that runs the model; loom's threads share it.
            static BROKEN: Cell<bool> = const { Cell::new(false) };
        }

        /// From now on the light side is nothing, in this test.
        pub(crate) fn break_light() {
            BROKEN.set(true);
        }

        pub(crate) fn light() {
            if !BROKEN.get() {
                fence(Ordering::SeqCst);
            }
        }

        pub(crate) fn heavy() {
            fence(Ordering::SeqCst);
        }
    }
}

mod util {
    pub(crate) mod lock {
        /// The product's lock sleeps on a futex; its model is loom's mutex.
        #[derive(Debug)]
        pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

        impl<T> Lock<T> {
            pub(crate) fn new(value: T) -> Self {
                Self(loom::sync::Mutex::new(value))
            }

            pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
                self.0.lock().expect("no model panics with the lock held")
            }
        }
    }
}

/// Explores a model whose threads interleave in too many ways for all of them:
/// with at most this many forced switches, as the literature finds enough for
/// nearly every known bug.
fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
