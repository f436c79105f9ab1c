//! What happens to a P that an M gives away, and when GOMAXPROCS changes.

use std::sync::atomic::Ordering;
use std::{iter, ptr};

use super::processor::{Processor, ProcessorStatus, ThisP};
use super::processor_set::MAX_PROCS;
use super::procs::number_for_host;
use super::shared::Shared;
use super::this_m::ThisM;
use super::wake;
use crate::goroutine::List;
use crate::recorder::event::Kind;
use crate::sys::barrier;

pub(super) fn follow_host(shared: &'static Shared) {
    let procs = number_for_host(shared.settings.reads_files).min(MAX_PROCS);
    if procs != shared.procs() && shared.procs.follow_host() {
        resize_to(shared, procs);
    }
}

pub(crate) fn set_procs_by_hand(shared: &'static Shared, procs: usize) -> usize {
    assert!(
        (1..=MAX_PROCS).contains(&procs),
        "GOMAXPROCS must be 1 to {MAX_PROCS}, not {procs}"
    );
    if shared.is_test() {
        // It stays 1.
        return shared.procs();
    }
    shared.procs.fix();
    resize_to(shared, procs)
}

/// New Ps are idle at once. The Ms that hold surplus ones retire them at the next pick.
pub(crate) fn resize_to(shared: &'static Shared, procs: usize) -> usize {
    shared.procs.resize(procs, |old| {
        shared.recorder.record(Kind::Procs, procs as u64, 0);
        for p in shared.processors() {
            let mut lists = shared.idle.lock();
            if p.id < procs && p.status() == ProcessorStatus::Dead {
                shared.idle.release(&mut lists, p);
            } else if p.id >= procs && shared.idle.acquire_if_idle(&mut lists, p) {
                drop(lists);
                retire(shared, p);
            }
        }
        // Each holder checks whether its P is one too many, or the only one. Release: pairs with
        // the Acquire in `find_runnable`, so a thread that reads the notice sees the new number.
        for p in shared.processors() {
            p.notice.store(true, Ordering::Release);
        }
        if procs > old {
            // Goroutines that were queued while no P was idle woke no M.
            barrier::heavy();
            wake::wake_one(shared);
        }
        old
    })
}

/// Handles a notice to the P of this M; false if the P was retired.
pub(super) fn handle_notice(shared: &'static Shared, m: ThisM, p: ThisP) -> bool {
    if p.id >= shared.procs() {
        m.release_p();
        retire(shared, p.processor());
        return false;
    }
    p.recorder.follow_level(&shared.recorder);
    // Under the lock no P becomes idle or held between the check and the change. Otherwise another
    // P could steal by compare-exchange while this one pops by plain stores.
    let lists = shared.idle.lock();
    let is_other = |other: &Processor| {
        !ptr::eq(other, p.processor()) && other.status() != ProcessorStatus::Dead
    };
    let alone = shared.procs() == 1 && !shared.processors().any(is_other);
    p.queue.set_shared(!alone);
    drop(lists);
    if shared.procs() == 1 && !alone {
        // Checked again at the next pick: the other Ps are about to be retired.
        p.notice.store(true, Ordering::Relaxed);
    }
    true
}

/// Empties a P that the caller holds, and makes it dead. Its timers stay: every M checks them.
pub(super) fn retire(shared: &'static Shared, p: &'static Processor) {
    let mut batch = List::new();
    // SAFETY: the caller holds it.
    let held = unsafe { ThisP::new(p) };
    let next = p.run_next.swap(None, Ordering::Relaxed);
    let queued = iter::from_fn(|| held.pop());
    next.into_iter().chain(queued).for_each(|g| batch.push(g));
    while p.overflow.take_oldest(|g| batch.push(g)) != 0 {}
    held.drain_stacks();
    shared.global.push_normal(&mut batch);
    let mut lists = shared.idle.lock();
    p.queue.set_shared(true);
    p.set_owner(None);
    shared.idle.set_status(p, ProcessorStatus::Dead);
    if p.id < shared.procs() {
        // It was put back into use meanwhile.
        shared.idle.release(&mut lists, p);
    }
    drop(lists);
    if !shared.global.is_empty() {
        wake::wake_one(shared);
    }
}

/// Gives a P that the caller holds to another M, or to the idle list if there is no work for it,
/// or retires it.
pub(super) fn hand_off(shared: &'static Shared, p: &'static Processor) {
    if p.id >= shared.procs() {
        return retire(shared, p);
    }
    let mut lists = shared.idle.lock();
    if p.has_work() || !shared.global.is_empty() {
        return wake::start_machine(shared, &mut lists, p, false);
    }
    // Some M must wait for descriptors and timers.
    let needs_poller = !shared.poller.is_taken()
        && (shared.netpoll.waiters_count() != 0 || shared.first_timer_ns() != u64::MAX);
    let needs_spinner = shared.idle.processors_count() == 0 && shared.idle.claim_spinning();
    if needs_spinner || needs_poller {
        return wake::start_machine(shared, &mut lists, p, needs_spinner);
    }
    shared.idle.release(&mut lists, p);
}

/// Only inside the runtime.
pub(crate) fn give_up_processor(shared: &'static Shared, m: ThisM) {
    if let Some(p) = m.held() {
        m.release_p();
        hand_off(shared, p.processor());
    }
}
