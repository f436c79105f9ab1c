//! Models of the scheduler's lock-free pieces: loom runs every interleaving,
//! with every outcome that the memory model allows.
//!
//! The run queue, the door, tickets, claims, the quick lock, the free list of
//! cells, the passage of a stack's bytes and the ring of the recorder are the
//! product's own source, compiled here against loom's atomics. The idle
//! protocol and the parking of a goroutine are written again with the steps and
//! the orderings of the source, because theirs is spread over code that calls
//! the kernel. The slot of the netpoller has its model beside it, in
//! `src/netpoll/slot.rs`.
//!
//! Each piece has a canary: the same model with one ordering or step broken,
//! which loom must find. Run it by `scripts/loom.sh`.
#![cfg(rt_loom)]
#![allow(missing_docs, reason = "a test")]

#[path = "../../src/sched/door.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod door_source;
#[path = "../../src/sched/run_queue.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod run_queue_source;
#[path = "../../src/shim.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the models do not use all of it"
)]
mod shim_source;

#[path = "../../src/sched/claim.rs"]
mod claim_source;
#[path = "../../src/stack/free_list.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod free_list_source;
#[path = "../../src/stack/passage.rs"]
mod passage_source;
#[path = "../../src/util/quick_lock.rs"]
#[allow(dead_code, reason = "the models do not use all of it")]
mod quick_lock_source;
#[path = "../../src/goroutine/ticket.rs"]
mod ticket_source;
#[path = "../../src/sched/trace/ring.rs"]
mod trace_ring_source;

mod claim;
mod door;
mod free_list;
mod idle;
mod park;
mod passage;
mod quick_lock;
mod run_queue;
mod ticket;
mod trace_ring;

/// The product's shim, with loom's where the library needs std's.
mod shim {
    pub(crate) use crate::shim_source::{
        AtomicBool, AtomicPtr, AtomicU32, Ordering, hint, os_yield,
    };

    pub(crate) mod fixed {
        pub(crate) use loom::cell::UnsafeCell;
        pub(crate) use loom::sync::atomic::{
            AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
        };
    }

    macro_rules! const_fn {
        ($($function:tt)*) => { $($function)* };
    }
    pub(crate) use const_fn;
}

mod goroutine {
    pub(crate) const RUNNING_BIT: usize = 1;
}

/// What the sources import, in loom's terms.
mod sys {
    /// The asymmetric barrier orders like two full fences.
    pub(crate) mod barrier {
        use loom::sync::atomic::{Ordering, fence};
        use std::cell::Cell;

        thread_local! {
            // Of the thread that runs the model; loom's threads share it.
            static LIGHT_BROKEN: Cell<bool> = const { Cell::new(false) };
            static HEAVY_BROKEN: Cell<bool> = const { Cell::new(false) };
        }

        /// From now on the light side is nothing, in this test.
        pub(crate) fn break_light() {
            LIGHT_BROKEN.set(true);
        }

        /// From now on the heavy side is nothing, in this test.
        pub(crate) fn break_heavy() {
            HEAVY_BROKEN.set(true);
        }

        pub(crate) fn light() {
            if !LIGHT_BROKEN.get() {
                fence(Ordering::SeqCst);
            }
        }

        pub(crate) fn heavy() {
            if !HEAVY_BROKEN.get() {
                fence(Ordering::SeqCst);
            }
        }
    }

    /// A sleep that ends at any time: sleepers look again.
    pub(crate) mod futex {
        use std::time::Duration;

        use loom::sync::atomic::AtomicU32;

        pub(crate) fn wait(_word: &AtomicU32, _while_it_is: u32, _for: Option<Duration>) {
            loom::thread::yield_now();
        }

        pub(crate) fn wake(_word: &AtomicU32, _count: i32) {}
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
