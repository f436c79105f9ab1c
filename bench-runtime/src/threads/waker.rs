//! The thread that runs the program's code for threads that must not wait for it: those that fire
//! timers or report signals.
//!
//! It makes one call after the other, under no lock: a call that waits delays the following ones.
//!
//! | `thread` | meaning                                                              |
//! |----------|----------------------------------------------------------------------|
//! | `None`   | not started, or its start failed                                     |
//! | `Idle`   | it sleeps, and counts as a thread of ours                            |
//! | `Busy`   | it takes calls; a call may end a wait, so the thread counts as an outside thread |

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{HELPER_STACK, count, start};
use crate::fatal::fatal;
use crate::sys::fork;
use crate::util::panic::without_panic;

pub(crate) type Call = Box<dyn FnOnce() + Send>;

struct Calls {
    waiting: VecDeque<Call>,
    thread: Thread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    None,
    Idle,
    Busy,
}

static CALLS: Mutex<Calls> = Mutex::new(Calls {
    waiting: VecDeque::new(),
    thread: Thread::None,
});
static HAS_CALLS: Condvar = Condvar::new();

fn calls() -> MutexGuard<'static, Calls> {
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `call` on the thread, and does not wait for it. Blocks the calling thread for 210 ms at
/// most, if the waker thread must be started and the kernel has no resources for it.
///
/// # Errors
///
/// The call, if the thread cannot be started. The next call tries again.
pub(crate) fn run(call: Call) -> Result<(), (io::Error, Call)> {
    let mut calls = calls();
    match calls.thread {
        Thread::Busy => {}
        Thread::Idle => {
            count(-1);
            HAS_CALLS.notify_one();
        }
        // The new thread waits for the lock.
        Thread::None => {
            fork::watch();
            if let Err(error) = start("waker", HELPER_STACK, run_for_ever) {
                return Err((error, call));
            }
        }
    }
    calls.thread = Thread::Busy;
    calls.waiting.push_back(call);
    Ok(())
}

fn run_for_ever() {
    let mut calls = calls();
    loop {
        if let Some(call) = calls.waiting.pop_front() {
            drop(calls);
            without_panic(call);
            if fork::is_child() {
                fatal!(
                    "a waker came back in the child of a fork, which has none of the threads \
                     that call wakers: call exec or _exit there"
                );
            }
            calls = self::calls();
            continue;
        }
        calls.thread = Thread::Idle;
        count(1);
        // The caller that ends this wait takes this thread out of the count.
        calls = HAS_CALLS
            .wait_while(calls, |calls| calls.thread == Thread::Idle)
            .unwrap_or_else(PoisonError::into_inner);
    }
}
