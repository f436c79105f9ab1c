//! The scheduler whose goroutines stay with the M that they have started on. Only goroutines that
//! have not started are in the Ps' queues, from which other Ps steal.
//!
//! | a goroutine that is              | goes to                                   |
//! |----------------------------------|-------------------------------------------|
//! | spawned by `go`                  | the end of the P's queue                  |
//! | spawned otherwise (see [`super::migrating`]) | the list of its class in the global queue |
//! | readied on its own M             | the M's `run_next`; the one that was there, to the M's list |
//! | found by its M's poll, or yields | the end of the M's list                   |
//! | readied by another thread        | its M's inbox, which goes to the end of the M's list at the M's next pick |
//! | a hog, at its next call, while other goroutines of its M wait | the M's list of hogs |
//! | known to compute for long        | starts on an M of its own ([`super::sites`]) |
//! | known to serve a connection      | starts on a sleeping M with fewer goroutines, if there is one ([`super::sites`]) |
//!
//! Goroutines that sysmon's polls find count as readied by another thread.
//!
//! If an M has goroutines of its own to run, but no P, it joins the queue for a P.

use std::ptr;
use std::sync::atomic::Ordering;

use super::current::machine_of_started;
use super::machine::Machine;
use super::processor::ThisP;
use super::queues::{
    STREAK_CHECK, begin_slice, push_back, push_back_quietly, push_global, streak_ends,
    submit_global,
};
use super::shared::Shared;
use super::sites::key_of;
use super::steal::steal_from;
use super::this_m::ThisM;
use super::wake;
use crate::debug::inspect;
use crate::goroutine::header::header_of_started;
use crate::goroutine::{
    CLAIMED_BIT, FLAG_COMPACTED, FLAG_CPU_BOUND, FRESH, Goroutine, Priority, RUNNING_BIT, unwinding,
};
use crate::stack::{StackHeader, header_of};
use crate::sys::clock;
use crate::threads::ThreadEnd;
use crate::threads::idle::SPIN_NS;
use crate::threads::spin::{SLEEP_COST_NS, SPIN_CHECK};

/// Puts a new goroutine at the end of the P's queue.
#[inline(always)]
pub(super) fn spawned(m: ThisM, p: ThisP, g: &'static Goroutine) {
    push_back_quietly(p, g);
    wake::wake_one_if_it_pays(m.shared());
}

/// Not inlined, so that it is a leaf: for a goroutine of this M it calls no function, and need not
/// save registers.
#[inline(never)]
pub(super) fn ready(m: ThisM, p: ThisP, g: &'static Goroutine) {
    // Acquire: as in `header_of_started`.
    let context = g.context.load(Ordering::Acquire);
    if context == FRESH || g.has_flag(FLAG_COMPACTED) {
        return ready_special(m, p, g);
    }
    match header_of(context & !(RUNNING_BIT | CLAIMED_BIT)) {
        // SAFETY: slots are never unmapped.
        Some(header) if ptr::eq(unsafe { header.as_ref() }.machine.get().cast(), m.machine()) => {
            m.queues().set_run_next(g);
        }
        _ => ready_special(m, p, g),
    }
}

/// For a goroutine that has not started, has started on another M, or has a compacted stack.
#[cold]
#[inline(never)]
fn ready_special(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match machine_of_started(g) {
        Some(own) if ptr::eq(own, m.machine()) => m.queues().set_run_next(g),
        Some(other) => {
            other.push_to_inbox(g);
            wake::notify_machine(m.shared(), other);
        }
        None if Priority::of(g) != Priority::Normal => submit_global(m.shared(), g),
        None => push_back(m, p, g),
    }
}

/// As [`ready`], but behind the goroutines that wait already. No M is woken if the goroutine
/// belongs to this M.
pub(super) fn ready_in_turn(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match machine_of_started(g) {
        Some(own) if ptr::eq(own, m.machine()) => m.queues().runnable.push(g),
        _ => ready_special(m, p, g),
    }
}

pub(super) fn submit(shared: &'static Shared, g: &'static Goroutine) {
    match machine_of_started(g) {
        Some(m) => {
            m.push_to_inbox(g);
            wake::notify_machine(shared, m);
        }
        None => submit_global(shared, g),
    }
}

/// The goroutine is still leaving its stack. If it has started, only this M may run it.
pub(super) fn requeue(m: ThisM, g: &'static Goroutine) {
    match header_of_started(g) {
        Some(_) => m.queues().runnable.push(g),
        None => push_global(m.shared(), g),
    }
}

/// The most frequent picks are inlined and call no function.
#[inline(always)]
pub(super) fn next(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    if m.has_inbox() || m.shared().order.is_some() {
        return next_slow(m, p);
    }
    let own = p.own();
    let queues = m.queues();
    let next = queues.run_next.load(Ordering::Relaxed);
    if next.is_none() {
        if !p.queue.is_empty() {
            return pick_by_turns(m, p);
        }
        own.streak.set(0);
        begin_slice(&p);
        return queues.runnable.pop();
    }
    let streak = own.streak.get().wrapping_add(1);
    if streak.is_multiple_of(STREAK_CHECK) {
        return next_slow(m, p);
    }
    own.streak.set(streak);
    queues.run_next.store(None, Ordering::Relaxed);
    next
}

/// [`next`] in all cases.
#[inline(never)]
fn next_slow(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    let own = p.own();
    let queues = m.queues();
    m.take_inbox(&queues.runnable);
    if let Some(order) = &m.shared().order
        // A random number is drawn only if there are several goroutines to pick from. Otherwise a
        // seeded order would depend on how often an idle M has searched.
        && queues.runnable.len() > 1
    {
        let mut rng = order.lock();
        for _ in 0..rng.below(queues.runnable.len().min(16) as u32) {
            if let Some(g) = queues.runnable.pop() {
                queues.runnable.push(g);
            }
        }
    }
    if let Some(next) = queues.run_next.load(Ordering::Relaxed) {
        queues.run_next.store(None, Ordering::Relaxed);
        own.streak.set(own.streak.get().wrapping_add(1));
        if !own.streak.get().is_multiple_of(STREAK_CHECK) || !streak_ends(m, own) {
            return Some(next);
        }
        queues.runnable.push(next);
    }
    pick_by_turns(m, p)
}

/// After `run_next`: picks by turns a goroutine that has started here and a fresh goroutine.
#[inline(never)]
fn pick_by_turns(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    let own = p.own();
    own.streak.set(0);
    begin_slice(&p);
    // Every other pick begins with fresh goroutines, so neither kind starves. But fresh goroutines
    // are left for another M that comes for them: a goroutine that starts here stays here, even if
    // its partners are on another M.
    let other_m_takes = || {
        let idle = &m.shared().idle;
        idle.spinning_count.load(Ordering::Relaxed) != 0
            || (idle.processors_count() != 0 && idle.wakes_pay())
    };
    let pop_started = || m.queues().runnable.pop();
    let found = match own.fresh_first.get() && !other_m_takes() {
        true => p.pop().or_else(pop_started),
        false => pop_started().or_else(|| p.pop()),
    };
    own.fresh_first.set(own.fresh_first.get() ^ found.is_some());
    found
}

#[inline(always)]
pub(super) fn joiner_may_wait(m: ThisM, joiner: *const Goroutine) -> bool {
    let queues = m.queues();
    queues.run_next.is(joiner, Ordering::Relaxed) && !m.has_inbox() && queues.runnable.len() == 0
}

/// For an M without work: spins with its P, if another M or a helper is likely to ready one of its
/// goroutines soon. It spins for [`SLEEP_COST_NS`], or for [`SPIN_NS`] if a spinning helper took the
/// last call of `blocking` from this M. True if a goroutine was readied. Blocks the thread.
pub(super) fn spin_for_inbox(m: ThisM, p: ThisP, sees_work: impl Fn() -> bool) -> bool {
    let shared = m.shared();
    if !m.inbox_spin.should_spin() || shared.is_test() {
        return false;
    }
    let awaits_helper = m.helper_was_spinning.swap(false, Ordering::Relaxed);
    let spin_ns = if awaits_helper {
        SPIN_NS
    } else {
        SLEEP_COST_NS
    };
    let until = clock::now_ns() + spin_ns;
    loop {
        let other_m_runs = shared.idle.processors_count() as usize + 1 < shared.procs();
        if !other_m_runs && !awaits_helper {
            // No other M runs that could ready a goroutine.
            return false;
        }
        for _ in 0..SPIN_CHECK {
            if m.has_inbox() {
                m.inbox_spin.note_spin(true);
                return true;
            }
            std::hint::spin_loop();
        }
        if shared.is_stopping()
            || p.notice.load(Ordering::Relaxed)
            || shared.idle.p_waiters_count() != 0
            || sees_work()
        {
            return false;
        }
        if clock::now_ns() >= until {
            m.inbox_spin.note_spin(false);
            return false;
        }
    }
}

/// The goroutine that runs on `m` is a hog, whose P was just retaken.
pub(super) fn learn_hog(shared: &Shared, m: &Machine) {
    if let Some(site) = m.current_goroutine().and_then(inspect::site_of) {
        shared.sites.learn_hog(key_of(site));
    }
}

/// The running goroutine waits for an accepted connection.
pub(super) fn learn_connection(m: ThisM) {
    let site = m.current_goroutine().and_then(Goroutine::site);
    if let Some(site) = site {
        m.shared().sites.learn_handler(key_of(site));
    }
}

/// See [`super::scheduler::starts_elsewhere`].
#[inline(always)]
pub(super) fn starts_elsewhere(
    shared: &Shared,
    m: &Machine,
    g: &Goroutine,
    ended_but_counted: usize,
) -> bool {
    shared.sites.any() && starts_elsewhere_slow(shared, m, g, ended_but_counted)
}

#[cold]
fn starts_elsewhere_slow(
    shared: &Shared,
    m: &Machine,
    g: &Goroutine,
    ended_but_counted: usize,
) -> bool {
    if shared.is_test() || m.started_count() == ended_but_counted {
        return false;
    }
    if is_handler(shared, g) {
        return shared.idle.processors_count() != 0
            && has_emptier_machine(shared, m.started_count() - ended_but_counted);
    }
    let has_room = || {
        shared.threads.machines_count() < most_machines(shared, false)
            || shared.idle.lock().vacant_machine().is_some()
    };
    let has_credit = || {
        g.site()
            .is_some_and(|site| shared.sites.spend(key_of(site)))
    };
    (g.has_flag(FLAG_CPU_BOUND) || has_credit()) && has_room()
}

/// So many Ms may be made for goroutines of this kind. Ms never end, and a hog that waits leaves its
/// M idle. Half of the threads are left for other uses.
fn most_machines(shared: &Shared, is_handler: bool) -> usize {
    let procs = shared.procs();
    let most = if is_handler { procs } else { 2 * procs + 6 };
    most.min(shared.threads.max_hogs())
}

/// True if it serves a connection. If it was spawned as CPU-bound too, it gets an M of its own.
fn is_handler(shared: &Shared, g: &Goroutine) -> bool {
    let has_handlers = |site| shared.sites.has_handlers(key_of(site));
    !g.has_flag(FLAG_CPU_BOUND) && g.site().is_some_and(has_handlers)
}

/// True if a sleeping M, or one that may be made, has two goroutines fewer than `count`.
fn has_emptier_machine(shared: &Shared, count: usize) -> bool {
    let lists = shared.idle.lock();
    let least = match shared.threads.machines_count() < most_machines(shared, true) {
        true => Some(0),
        false => (lists.emptiest_machine()).map(|at| lists.machines[at].started_count()),
    };
    least.is_some_and(|least| least + 1 < count)
}

/// Wakes an M for the goroutine, with an idle P. If no P is idle, a hog gets this M's P. A goroutine
/// that serves a connection takes a batch of the overflow along, or half of the queue, which may
/// hold more such goroutines. If the P or the M that [`starts_elsewhere`] found is gone, the
/// goroutine is queued again. Called on g0.
pub(super) fn start_elsewhere(m: ThisM, p: ThisP, g: &'static Goroutine) {
    let shared = m.shared();
    let mut lists = shared.idle.lock();
    if shared.is_stopping() {
        // It never starts: the shutdown drops it.
        return;
    }
    let is_handler = is_handler(shared, g);
    let may_make_one = shared.threads.machines_count() < most_machines(shared, is_handler);
    let emptiest = || {
        lists
            .emptiest_machine()
            .filter(|_| is_handler && !may_make_one)
    };
    let target = lists.vacant_machine().or_else(emptiest);
    let has_p = !is_handler || shared.idle.processors_count() != 0;
    if !has_p || (target.is_none() && !may_make_one) {
        drop(lists);
        return match Priority::of(g) {
            Priority::Normal => push_back_quietly(p, g),
            _ => push_global(shared, g),
        };
    }
    let target = target.and_then(|at| lists.machines.remove(at));
    let idle = shared.idle.acquire(&mut lists);
    drop(lists);
    if idle.is_none() {
        wake::stop_spinning(shared, m.machine());
        m.release_p();
    }
    // SAFETY: this M has taken it from the list, or has released it; no other has it before the wake.
    let given = unsafe { ThisP::new(idle.unwrap_or(p.processor())) };
    if is_handler && let Some(first) = steal_from(&p, &given) {
        push_back_quietly(given, first);
    }
    // The goroutine is the first that runs there: no check of the global queue comes before.
    given.own().sched_tick.set(0);
    begin_slice(&given);
    let m = target.unwrap_or_else(|| wake::new_machine(shared));
    m.set_first(g);
    m.wake(Some(given.processor()));
}

/// For a goroutine that may be unwinding. Other goroutines of its thread may run during `f`.
pub(super) fn reacquire_unwinding<R>(f: impl FnOnce() -> R) -> R {
    match std::thread::panicking() {
        true => unwinding::without_panics(f),
        false => f(),
    }
}

/// A call on the thread itself would delay the other goroutines of the thread.
pub(super) fn blocks_on_helper(header: &StackHeader) -> bool {
    header.pins.get() == 0
}

/// If goroutines that started on the thread have not ended, it keeps its thread-locals: those
/// goroutines may have lent them to other threads.
pub(super) fn thread_end(m: &Machine) -> ThreadEnd {
    match m.started_count() {
        0 => ThreadEnd::Usual,
        _ => ThreadEnd::KeepsLocals,
    }
}
