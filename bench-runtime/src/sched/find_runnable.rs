//! What an M runs next, and how it comes to rest if there is nothing.
//!
//! At each pick on its own stack, an M searches in this order:
//!
//! 1. It gives up its P if GOMAXPROCS shrank. It runs a hog if it is the hogs' turn. Once in
//!    [`SCHED_TICKS`] picks, and at each pick while it has only hogs, it gives its P to the first M
//!    that queues for one, if it has held the P for longer than that M's
//!    [`fair_wait_ns`](super::machine::Machine::fair_wait_ns).
//! 2. It fires the due timers of its P.
//! 3. Once in [`SCHED_TICKS`] picks it checks the global queue before steps 4 and 5, so that no
//!    goroutine starves. By turns it takes a goroutine of the normal class and the oldest of the P's
//!    overflow. Every other time it first tries the low class, unless there was a hog lately. If it
//!    finds none, step 5 comes before step 4.
//! 4. It takes a goroutine of the high class.
//! 5. It takes `run_next` while the time slice of its chain lasts, then the first goroutine of the
//!    P's queue; in a pinned runtime also from the M's inbox and list.
//! 6. By turns it takes the newest batch of the P's overflow and a share of the normal class from
//!    the global queue, or else a hog. If there is none, it gives the P to an M that queues for one.
//! 7. It polls the netpoller, without waiting.
//! 8. In a pinned runtime it spins for its inbox for a short time. Then it spins: it searches the
//!    queues of other Ps, unless too many Ms do so already. Last, it fires their due timers.
//! 9. It takes a goroutine of the low class.
//! 10. It rests: steps S1 to S4 of [`super::idle`].
//!
//! The goroutines of steps 1 and 3 to 6 are picked in [`super::pick`]. A goroutine that parks does
//! step 5 alone, on its own stack ([`super::pick::pick_fast`]). It switches to g0 if step 5 finds
//! none, every [`SCHED_TICKS`] picks, when its P has a notice, and while goroutines of the high
//! class wait.

use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::global_queue::GlobalClass;
use super::idle::{Lists, take};
use super::pick::{self, SCHED_TICKS};
use super::processor::{Processor, ThisP};
use super::queues::begin_slice;
use super::shared::Shared;
use super::this_m::{self, ThisM};
use super::{hand_off, poll, scheduler, steal, wake};
use crate::goroutine::Goroutine;
use crate::netpoll::Netpoll;
use crate::recorder::event;
use crate::sys::{barrier, clock};

/// Returns the goroutine that this M runs next; `None` if the runtime shuts down. Blocks the thread
/// while there is none.
pub(crate) fn find_runnable(shared: &'static Shared, m: ThisM) -> Option<&'static Goroutine> {
    loop {
        if shared.is_stopping() {
            return None;
        }
        let Some(p) = m.held() else {
            this_m::unmark_retaken(shared, m.machine());
            wait_for_processor(shared, m);
            continue;
        };
        if p.notice.swap(false, Ordering::Acquire) && !hand_off::handle_notice(shared, m, p) {
            continue;
        }
        Processor::count(&p.picks, 1);
        let tick_due = p.own().sched_tick.get() >= SCHED_TICKS;
        if let Some(g) = pick::pick_in_hog_turn(shared, m, p, tick_due) {
            wake::stop_spinning(shared, m.machine());
            return Some(g);
        }
        let has_only_hogs =
            || m.queues().has_hogs() && !m.has_work_besides_hogs() && !p.has_stealable_work();
        if shared.idle.p_waiters_count() != 0
            && (tick_due || has_only_hogs())
            && give_to_p_waiter_if_fair(shared, m, p, tick_due)
        {
            continue;
        }
        poll::fire_timers(shared, m, p, p.processor());
        if let Some(g) = pick::pick_on_g0(shared, m, p, tick_due) {
            // Only a pick that found a goroutine counts: a seeded order must not depend on how
            // often an idle M has searched.
            let tick = &p.own().sched_tick;
            tick.set(tick.get() + 1);
            wake::stop_spinning(shared, m.machine());
            return Some(g);
        }
        if shared.idle.p_waiters_count() != 0 && give_to_p_waiter(shared, m, p) {
            continue;
        }
        if poll::poll_net(shared, m, p) {
            continue;
        }
        if !m.spinning.load(Ordering::Relaxed) {
            shared.idle.note_wake(m.machine(), || m.holds_for_ns());
        }
        // The first part of step 8. This M is not counted as spinning yet: an M that is counted
        // must wake another M when it finds work.
        if scheduler::rest(m, p, || sees_work(shared, m)) {
            continue;
        }
        if let Some(g) = pick_elsewhere(shared, m, p) {
            wake::stop_spinning(shared, m.machine());
            return Some(g);
        }
        if p.has_work() || m.has_pinned_work() {
            continue;
        }
        if (shared.entries.on_idle)(shared) {
            continue;
        }
        rest(shared, m, p);
    }
}

/// Steps 8 and 9, without the spin for the inbox.
fn pick_elsewhere(shared: &'static Shared, m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    let busy = (shared.procs() as u32).saturating_sub(shared.idle.processors_count());
    let spins = m.spinning.load(Ordering::Relaxed);
    let may_spin = spins || 2 * shared.idle.spinning_count.load(Ordering::Relaxed) < busy;
    if shared.procs() > 1 && may_spin {
        if !spins {
            shared.idle.begin_spinning(m.machine());
        }
        if let Some(g) = steal::steal(shared, p) {
            begin_slice(&p);
            return Some(g);
        }
    }
    shared.procs.for_each_timed(|other| {
        if !ptr::eq(other, p.processor()) {
            poll::fire_timers(shared, m, p, other);
        }
    });
    if p.has_work() || m.has_pinned_work() {
        return None;
    }
    shared.global.pop_one(GlobalClass::Low)
}

/// Gives the P to the first M that queues for one, if this M has held the P for longer than that
/// M's [`fair_wait_ns`](super::machine::Machine::fair_wait_ns). If picks were counted instead, an M
/// with a hog would get nearly all of the time. `tick_due`: [`SCHED_TICKS`] picks have passed.
fn give_to_p_waiter_if_fair(shared: &'static Shared, m: ThisM, p: ThisP, tick_due: bool) -> bool {
    let own = p.own();
    let held_ns = m.holds_for_ns();
    let mut lists = shared.idle.lock();
    let is_fair = lists
        .p_waiters
        .front()
        .is_some_and(|first| shared.is_test() || first.fair_wait_ns() < held_ns);
    if !is_fair || (tick_due && own.p_given_at_tick.get()) {
        return false;
    }
    own.p_given_at_tick
        .set(own.p_given_at_tick.get() | tick_due);
    m.set_last_hold_ns(held_ns);
    give_to_first_p_waiter(shared, m, p, &mut lists)
}

/// Gives a P without work to the first M that queues for one.
fn give_to_p_waiter(shared: &'static Shared, m: ThisM, p: ThisP) -> bool {
    m.set_last_hold_ns(0);
    give_to_first_p_waiter(shared, m, p, &mut shared.idle.lock())
}

fn give_to_first_p_waiter(shared: &'static Shared, m: ThisM, p: ThisP, lists: &mut Lists) -> bool {
    let Some(first) = shared.idle.pop_p_waiter(lists) else {
        return false;
    };
    shared.idle.end_spinning(m.machine());
    m.release_p();
    first.wake(Some(p.processor()));
    true
}

/// Step 10, the first half of S1: releases the P. [`wait_for_processor`] does the second half of
/// S1, and S2 to S4.
fn rest(shared: &'static Shared, m: ThisM, p: ThisP) {
    let now = clock::now_ns();
    p.trim_stacks((now / 1_000_000) as u32);
    let mut lists = shared.idle.lock();
    if shared.is_stopping() || !shared.global.is_empty() || p.notice.load(Ordering::Relaxed) {
        return;
    }
    shared.idle.note_wake(m.machine(), || 0);
    m.rests_since_ns.store(now, Ordering::Relaxed);
    m.set_last_hold_ns(0);
    m.release_p();
    shared.idle.release(&mut lists, p.processor()); // S1
}

/// The second half of S1, and S2 to S4, of [`super::idle`]. An M with goroutines that only it may
/// run queues for a P; other Ms sleep. Blocks the thread.
fn wait_for_processor(shared: &'static Shared, m: ThisM) {
    m.resting.store(true, Ordering::Relaxed);
    wait_resting(shared, m);
    m.resting.store(false, Ordering::Relaxed);
    // If the inbox ended the sleep, a spin might have replaced it. Any other sleep counts as long.
    let rested_ns = match m.has_inbox() {
        true => clock::now_ns() - m.rests_since_ns.load(Ordering::Relaxed),
        false => u64::MAX,
    };
    m.inbox_spin.note_sleep(rested_ns);
}

fn wait_resting(shared: &'static Shared, m: ThisM) {
    let was_spinning = shared.idle.end_spinning(m.machine()); // S1
    let waits_for_timer = claim_polling(shared, m);
    // An M with goroutines that only it may run queues for a P instead.
    let polls = waits_for_timer || (m.awaited_netpoll().is_some() && !m.has_pinned_work());
    let polls = polls.then(|| m.begin_polling());
    barrier::heavy(); // S2
    if sees_work(shared, m) {
        // S3
        let mut lists = shared.idle.lock();
        if let Some(p) = shared.idle.acquire(&mut lists) {
            cease_polling(shared, m, waits_for_timer);
            drop(lists);
            m.acquire_p(p);
            if was_spinning {
                shared.idle.begin_spinning(m.machine());
            }
            return;
        }
    }
    // S4
    if let Some(netpoll) = polls {
        return rest_polling(shared, m, netpoll, waits_for_timer);
    }
    let mut lists = shared.idle.lock();
    if shared.is_stopping() {
        return;
    }
    if m.has_pinned_work() {
        return m.acquire_or_wait(lists);
    }
    lists.machines.push_back(m.machine());
    drop(lists);
    (shared.entries.on_rest)(shared);
    m.sleep();
}

/// S3: true if there is something that this M could run, or a due timer.
fn sees_work(shared: &'static Shared, m: ThisM) -> bool {
    let mut running = shared.idle.running.members(0, shared.procs.made_count());
    !shared.global.is_empty()
        || m.has_pinned_work()
        || running.any(|id| (shared.procs.get(id)).is_some_and(Processor::has_stealable_work))
        || shared.is_due(shared.first_timer_ns())
}

/// False if another M waits in the netpoller, this M has goroutines that only it may run, or there
/// is nothing to wait for. Also false if a timer is due while no P is idle.
fn claim_polling(shared: &'static Shared, m: ThisM) -> bool {
    let first = shared.first_timer_ns();
    if first <= shared.now_ns() && shared.idle.processors_count() == 0 {
        // A running M or sysmon fires the due timer. A wait here would return at once, again and
        // again.
        return false;
    }
    (shared.netpoll.waiters_count() != 0 || first != u64::MAX)
        && !m.has_pinned_work()
        && shared.poller.claim(m.machine())
}

/// Called under the lock of the lists, so the deadlock check sees the M either polling or awake.
fn cease_polling(shared: &Shared, m: ThisM, waits_for_timer: bool) {
    if waits_for_timer {
        shared.poller.release();
    }
    m.set_polls_in(None);
}

/// S4: waits for descriptors, for a wake, and until the first timer if `waits_for_timer`. Blocks
/// the thread.
fn rest_polling(shared: &'static Shared, m: ThisM, netpoll: &Netpoll, waits_for_timer: bool) {
    {
        let mut lists = shared.idle.lock();
        if shared.is_stopping() || m.has_pinned_work() {
            return cease_polling(shared, m, waits_for_timer);
        }
        // Other Ms are woken before this one: leaving the netpoller costs more.
        lists.machines.push_front(m.machine());
    }
    // The claim came before the heavy barrier of S2. So a thread that has armed an earlier timer
    // since then saw the claim and interrupts; this scan sees a timer that was armed before.
    let mut first = u64::MAX;
    if waits_for_timer {
        first = shared.first_timer_ns();
        shared.poller.set_until_ns(first);
    }
    let now = shared.now_ns();
    let timeout = (first != u64::MAX).then(|| Duration::from_nanos(first.saturating_sub(now)));
    let mut ready = std::mem::take(&mut *shared.poller.found.lock());
    netpoll.poll(timeout, &mut ready);
    let now = shared.now_ns();
    shared.poller.note_poll(now);
    if waits_for_timer {
        shared.poller.set_until_ns(0);
    }

    // The lock is held until the M is off the list.
    let mut lists = shared.idle.lock();
    cease_polling(shared, m, waits_for_timer);
    let due = !ready.is_empty() || first <= now;
    let was_off_list = !take(&mut lists.machines, m.machine());
    let p = match !was_off_list && (due || m.has_pinned_work()) {
        true => shared.idle.acquire(&mut lists),
        false => None,
    };
    drop(lists);
    if let Some(p) = p.map(|p| m.acquire_p(p)) {
        if !ready.is_empty() {
            p.recorder
                .record(event::Kind::Netpoll, ready.len() as u64, 0);
        }
        poll::ready_all(shared, m, p, &mut ready);
        // While this M runs goroutines, no M waits in the netpoller. If that takes long, sysmon
        // polls; in an eager runtime another M is woken at once.
        if due && shared.eager.load(Ordering::Relaxed) {
            wake::wake_one(shared);
        }
    }
    // If this M got no P, the goroutines that it found must not wait until it has one.
    ready.drain(..).for_each(super::readied::ready);
    *shared.poller.found.lock() = ready;
    if was_off_list {
        // Another thread took this M off the list. That thread wakes the M, or has put it into the
        // queue for a P.
        m.sleep();
    }
}
