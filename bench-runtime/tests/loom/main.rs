//! Models of the scheduler's lock-free pieces: loom runs every interleaving, with every outcome
//! that the memory model allows.
//!
//! Most pieces are the product's own source, compiled here against loom's atomics. The idle
//! protocol and the parking of a goroutine are written again with the steps and the orderings of
//! the source, because the source is spread over code that calls the kernel.
//!
//! Each piece has a canary: the same model with one ordering or step broken, which loom must find.
//! `scripts/loom.sh` runs the models.
#![cfg(rt_loom)]
#![allow(missing_docs, reason = "a test")]

#[path = "../../src/sched/biased_lock.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod biased_lock_source;
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

#[path = "../../src/sys/child.rs"]
#[allow(dead_code, reason = "the models do not use all of it")]
mod child;
#[path = "../../src/goroutine/claim.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod claim_source;
#[path = "../../src/stack/free_list.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod free_list_source;
#[path = "../../src/threads/idle.rs"]
mod idle_threads_source;
#[path = "../../src/util/quick_lock.rs"]
#[allow(dead_code, reason = "the models do not use all of it")]
mod quick_lock_source;
#[path = "../../src/threads/spin.rs"]
mod spin;
#[path = "../../src/goroutine/ticket.rs"]
mod ticket_source;
#[path = "../../src/recorder/ring.rs"]
#[allow(dead_code, reason = "the model does not use all of it")]
mod trace_ring_source;
#[path = "../../src/stack/transition.rs"]
mod transition_source;

mod biased_lock;
mod claim;
mod free_list;
mod idle;
mod idle_threads;
mod netpoll;
mod park;
mod quick_lock;
mod run_queue;
mod ticket;
mod trace_ring;
mod transition;

/// The product's shim, with loom's types.
mod shim {
    pub(crate) use crate::shim_source::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering, hint, os_yield,
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
    use std::ptr::NonNull;

    pub(crate) const RUNNING_BIT: usize = 1;
    pub(crate) const WATCHED_BIT: usize = 2;

    /// Its address represents a waiter.
    #[allow(dead_code, reason = "so that it has one")]
    pub(crate) struct Head(pub(crate) u8);

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Parkable(NonNull<Head>);

    impl Parkable {
        /// # Safety
        ///
        /// As in the product.
        pub(crate) unsafe fn from_head(head: NonNull<Head>) -> Self {
            Self(head)
        }

        pub(crate) fn as_ptr(self) -> *mut Head {
            self.0.as_ptr()
        }
    }
}

mod fatal {
    macro_rules! fatal {
        ($($arg:tt)*) => {
            panic!($($arg)*)
        };
    }
    pub(crate) use fatal;
}

mod sys {
    pub(crate) mod poller {
        #[derive(Clone, Copy)]
        pub(crate) enum Interest {
            #[allow(dead_code, reason = "a pipe that is read is not written")]
            Edges {
                read: bool,
                write: bool,
            },
            Data,
        }

        #[derive(Clone, Copy)]
        pub(crate) struct Event;

        impl Event {
            pub(crate) fn is_readable(self) -> bool {
                true
            }

            pub(crate) fn is_writable(self) -> bool {
                false
            }

            pub(crate) fn is_lasting(self) -> bool {
                false
            }
        }
    }

    pub(crate) mod fork {
        pub(crate) fn is_child() -> bool {
            false
        }
    }

    /// The asymmetric barrier orders like two full fences.
    pub(crate) mod barrier {
        use loom::sync::atomic::{Ordering, fence};
        use std::cell::Cell;

        thread_local! {
            // For the whole model.
            static LIGHT_BROKEN: Cell<bool> = const { Cell::new(false) };
            static HEAVY_BROKEN: Cell<bool> = const { Cell::new(false) };
        }

        /// The light side then does nothing, in this test.
        pub(crate) fn break_light() {
            LIGHT_BROKEN.set(true);
        }

        /// The heavy side then does nothing, in this test.
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

    /// All words share one list of sleepers, so a sleep may end without its wake. A sleep with a
    /// time limit may end at once.
    pub(crate) mod futex {
        use std::cell::Cell;
        use std::time::Duration;

        use loom::sync::atomic::{AtomicU32, Ordering};
        use loom::sync::{Condvar, Mutex};

        struct Sleepers {
            lock: Mutex<()>,
            woken: Condvar,
        }

        loom::lazy_static! {
            static ref SLEEPERS: Sleepers = Sleepers {
                lock: Mutex::new(()),
                woken: Condvar::new(),
            };
        }

        thread_local! {
            // For the whole model.
            static PATIENT: Cell<bool> = const { Cell::new(false) };
            static WAKE_BROKEN: Cell<bool> = const { Cell::new(false) };
        }

        /// No sleep ends by itself, in this test.
        pub(crate) fn be_patient() {
            PATIENT.set(true);
        }

        /// A wake does nothing, in this test.
        pub(crate) fn break_wake() {
            WAKE_BROKEN.set(true);
        }

        pub(crate) fn wait(word: &AtomicU32, while_it_is: u32, length: Option<Duration>) {
            if let Some(length) = length
                && !PATIENT.get()
            {
                super::clock::advance(length);
                return loom::thread::yield_now();
            }
            let held = SLEEPERS.lock.lock().unwrap();
            // The thread that changes the word wakes under this lock. So either this load sees the
            // change, or the wake comes later.
            if word.load(Ordering::Relaxed) == while_it_is {
                drop(SLEEPERS.woken.wait(held).unwrap());
            }
        }

        pub(crate) fn wake(_word: &AtomicU32, _count: i32) {
            if !WAKE_BROKEN.get() {
                let _held = SLEEPERS.lock.lock().unwrap();
                SLEEPERS.woken.notify_all();
            }
        }
    }

    /// A clock that advances with each reading.
    pub(crate) mod clock {
        use std::cell::Cell;
        use std::time::Duration;

        thread_local! {
            static NOW_NS: Cell<u64> = const { Cell::new(0) };
        }

        pub(crate) fn now_ns() -> u64 {
            advance(Duration::from_micros(15));
            NOW_NS.get()
        }

        pub(crate) fn advance(length: Duration) {
            NOW_NS.set(NOW_NS.get() + length.as_nanos() as u64);
        }
    }

    /// Each call returns another CPU.
    pub(crate) mod affinity {
        use std::cell::Cell;

        thread_local! {
            static CPU: Cell<i32> = const { Cell::new(0) };
        }

        pub(crate) fn current_cpu() -> i32 {
            CPU.set(CPU.get().wrapping_add(1));
            CPU.get()
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

/// Explores only the interleavings with at most this many forced switches, which according to the
/// literature find nearly every known bug.
fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Loom must find a deadlock. The model runs in a child, because loom then aborts.
fn expect_deadlock(test: &str, model: impl FnOnce()) {
    if let Some(said) = child::expect_signal(test, "", libc::SIGABRT, model) {
        assert!(said.contains("deadlock"), "{said}");
    }
}
