//! What happens with a P that an M gives away, and with one too many or too few.

use std::ptr;
use std::sync::atomic::Ordering;

use super::processor::{Processor, ProcessorStatus, ThisP};
use super::processor_set::MAX_PROCS;
use super::procs::number_for_host;
use super::shared::Shared;
use super::this_m::ThisM;
use super::wake;
use crate::goroutine::List;
use crate::recorder::event::Kind;
use crate::sys::barrier;

/// Reads the host's limits again.
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
    if shared.procs.only_one() {
        return shared.procs();
    }
    shared.procs.fix();
    resize_to(shared, procs)
}

/// Changes the number of Ps. New ones are idle at once; surplus ones are
/// retired by the Ms that hold them, at the next pick.
pub(crate) fn resize_to(shared: &'static Shared, procs: usize) -> usize {
    shared.procs.resize(procs, |old| {
        shared.recorder.record(Kind::Procs, procs as u64, 0);
        shared.for_each_processor(|p| {
            let mut lists = shared.idle.lock();
            if p.id < procs && p.status() == ProcessorStatus::Dead {
                shared.idle.release(&mut lists, p);
            } else if p.id >= procs && shared.idle.withdraw(&mut lists, p) {
                drop(lists);
                retire(shared, p);
            }
        });
        // The others check their own number, and whether they are alone. Release: pairs
        // with the Acquire in `find_runnable`, so that a thread that reads the notice
        // sees the number.
        shared.for_each_processor(|p| p.notice.store(true, Ordering::Release));
        if procs > old {
            // Work that was queued while there was no P for it wakes no M: it
            // may wait in a busy P's queue as well as in the global one.
            barrier::heavy();
            wake::wake_one(shared);
        }
        old
    })
}

/// The holder answers a notice: false if the P was retired.
pub(super) fn handle_notice(shared: &'static Shared, m: ThisM, p: ThisP) -> bool {
    if p.id >= shared.procs() {
        m.release_p();
        retire(shared, p.processor());
        return false;
    }
    // Under the lock, so that no P becomes idle or held between the check of
    // the others and the change: it could steal by compare-exchange while we
    // pop by plain stores.
    p.recorder.follow_level(&shared.recorder);
    let lists = shared.idle.lock();
    let mut alone = shared.procs() == 1;
    shared.for_each_processor(|other| {
        alone &= ptr::eq(other, p.processor()) || other.status() == ProcessorStatus::Dead;
    });
    p.queue.set_shared(!alone);
    drop(lists);
    if shared.procs() == 1 && !alone {
        // Checked again when the others are retired.
        p.notice.store(true, Ordering::Relaxed);
    }
    true
}

/// Empties a P that the caller holds and lays it down. Its timers stay: every M checks them.
pub(super) fn retire(shared: &'static Shared, p: &'static Processor) {
    let mut batch = List::new();
    let next = p.run_next.swap(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: records are type-stable, and the caller holds P, so that
    // no other thread touches its own part.
    unsafe {
        if let Some(next) = next.as_ref() {
            batch.push(next);
        }
        while let Some(g) = p.queue.pop() {
            batch.push(g.as_ref());
        }
        ThisP::new(p).drain_stacks();
    }
    shared.global.push_normal(&mut batch);
    let mut lists = shared.idle.lock();
    p.queue.set_shared(true);
    p.set_owner(None);
    shared.idle.lay_down(p);
    if p.id < shared.procs() {
        // It was put back into use meanwhile.
        shared.idle.release(&mut lists, p);
    }
    drop(lists);
    if !shared.global.is_empty() {
        wake::wake_one(shared);
    }
}

/// As `hand_off`, for a P that may be one too many.
pub(super) fn hand_off_or_retire(shared: &'static Shared, p: &'static Processor) {
    if p.id >= shared.procs() {
        retire(shared, p)
    } else {
        hand_off(shared, p)
    }
}

/// Gives a P that the caller holds to another M, or to the idle list if there is no work for it.
pub(super) fn hand_off(shared: &'static Shared, p: &'static Processor) {
    let mut lists = shared.idle.lock();
    if p.has_work() || !shared.global.is_empty() {
        return wake::start_machine(shared, &mut lists, p, false);
    }
    // An M must watch fds and timers.
    let unwatched = !shared.poller.is_taken()
        && (shared.netpoll.waiters_count() != 0 || shared.first_timer_ns() != u64::MAX);
    let nobody_looks = shared.idle.processors_count() == 0
        && shared
            .idle
            .spinning_count
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
    if nobody_looks {
        return wake::start_machine(shared, &mut lists, p, true);
    }
    if unwatched {
        return wake::start_machine(shared, &mut lists, p, false);
    }
    shared.idle.release(&mut lists, p);
}

/// This M, inside, gives its P away, if it has one.
pub(crate) fn give_up_processor(shared: &'static Shared, m: ThisM) {
    if let Some(p) = m.held() {
        m.release_p();
        hand_off_or_retire(shared, p.processor());
    }
}
