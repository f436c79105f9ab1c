//! Due timers and ready descriptors: an M with a P readies their goroutines.

use std::ptr;
use std::time::Duration;

use super::processor::{Processor, ThisP};
use super::ready::begin_ready;
use super::shared::Shared;
use super::this_m::ThisM;
use super::{readied, scheduler, wake};
use crate::goroutine::{Goroutine, Kind, Parkable};
use crate::recorder::event;

/// The timers' goroutines go where [`scheduler::ready_in_turn`] puts them. Goroutines readied by a
/// timer's function go where [`scheduler::ready`] puts them.
pub(super) fn fire_timers(shared: &'static Shared, m: ThisM, p: ThisP, from: &'static Processor) {
    if !shared.is_due(from.timers.next_ns()) {
        return;
    }
    let mut ready = p.own().ready.take();
    from.timers.poll(shared.now_ns(), &mut ready);
    p.recorder
        .record(event::Kind::Timers, from.id as u64, ready.len() as u64);
    ready_all(shared, m, p, &mut ready);
    *p.own().ready.borrow_mut() = ready;
}

/// Step 7: returns whether something became runnable.
pub(super) fn poll_net(shared: &'static Shared, m: ThisM, p: ThisP) -> bool {
    let Some(netpoll) = scheduler::known_netpoll(m) else {
        return false;
    };
    let other_m_polls = ptr::eq(netpoll, &raw const shared.netpoll) && shared.poller.is_taken();
    if netpoll.waiters_count() == 0 || other_m_polls {
        return false;
    }
    let mut ready = p.own().ready.take();
    shared.poller.note_poll(shared.now_ns());
    netpoll.poll(Some(Duration::ZERO), &mut ready);
    let any = !ready.is_empty();
    if any {
        p.recorder
            .record(event::Kind::Netpoll, ready.len() as u64, 0);
    }
    ready_all(shared, m, p, &mut ready);
    *p.own().ready.borrow_mut() = ready;
    any
}

/// Makes all of `ready` runnable, in their order, behind the goroutines that wait already. If the
/// P's queue then has only one goroutine, this M runs it and wakes no other M.
pub(super) fn ready_all(shared: &'static Shared, m: ThisM, p: ThisP, ready: &mut Vec<Parkable>) {
    for who in ready.drain(..) {
        match who.head().kind {
            Kind::Thread | Kind::Future => readied::ready_non_goroutine(who),
            Kind::Goroutine => {
                let g = Goroutine::of(who);
                if begin_ready(m, p, g) {
                    scheduler::ready_in_turn(m, p, g);
                }
            }
        }
    }
    if p.queued_count() > 1 {
        wake::wake_one(shared);
    }
}
