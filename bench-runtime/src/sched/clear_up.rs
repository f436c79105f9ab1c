//! What a stopped runtime gives back once its last thread has ended: step 3 of
//! [`super::shutdown`].

use std::sync::atomic::Ordering;

use super::os_threads::ThreadKind;
use super::processor::ThisP;
use super::readied;
use super::shared::{RunState, Shared};
use crate::goroutine::{FLAG_LEFT, Status};

/// The last act of a thread of the runtime.
pub(super) fn thread_ends(shared: &'static Shared, kind: ThreadKind) {
    shared.thread_ends(kind);
    if shared.run_state() == RunState::Stopped {
        clear_up(shared);
    }
}

/// Drops closures that never started; no M runs any more.
fn abandon_fresh(shared: &'static Shared) {
    // SeqCst: after the mark that `admit` looks at when it has counted itself.
    while shared.admitting.load(Ordering::SeqCst) != 0 {
        std::thread::yield_now();
    }
    // Before a record is given back: the link of one that is queued is that of the free list
    // too, and one that has started may yet be readied, and queued behind it.
    shared.global.clear();
    let mut fresh = Vec::new();
    shared.slab().for_each(|g| {
        if g.status() == Status::Runnable
            && g.context.load(Ordering::Acquire) == crate::goroutine::FRESH
        {
            fresh.push(g);
        }
    });
    for g in fresh {
        readied::abandon(shared, g, None);
    }
}

/// Marks those that have started and not ended, for those who would hand something to them.
fn mark_left(shared: &'static Shared) {
    for g in shared.records_in_use() {
        g.set_flag(FLAG_LEFT);
    }
}

/// Once the runtime has stopped and no thread of it is left: drops what
/// never started and gives back what the runtime holds. Returns when that is
/// done, also where another thread does it: what is given back can be had
/// again after a shutdown.
pub(super) fn clear_up(shared: &'static Shared) {
    if shared.lock_threads().all() == 0 {
        shared.cleared_up.call_once(|| {
            abandon_fresh(shared);
            mark_left(shared);
            give_back(shared);
        });
    }
}

/// Gives back what a stopped runtime holds; no M runs any more.
fn give_back(shared: &'static Shared) {
    shared.for_each_processor(|p| {
        // SAFETY: no M runs.
        unsafe { ThisP::new(p) }.drain_stacks();
        p.timers.retire(shared.now_ns());
    });
    shared.netpoll.retire();
    for m in shared.machines.lock().iter() {
        m.retire_netpoll();
    }
}
