//! The scheduler whose goroutines stay with the M that they have started on. Its queues
//! are those of the Ms; only goroutines that have never started are in the Ps' queues,
//! from which others steal.
//!
//! | a goroutine that is              | goes to                                   |
//! |----------------------------------|-------------------------------------------|
//! | spawned by `go`                  | the end of the P's queue                  |
//! | spawned otherwise (see [`super::migrating`]) | the list of its class in the global queue |
//! | readied on its own M             | the M's `run_next`; what was there to its list |
//! | found by its M's poll, or yields | the end of the M's list                   |
//! | readied elsewhere                | its M's inbox, which goes to the end of the M's list at the M's next pick |
//! | a hog, at its next call, while others of its M wait | the M's list of hogs   |
//! | known to compute for long        | starts on an M of its own ([`super::hogs`]) |
//!
//! A poll finds the goroutines that a descriptor or a deadline readies. A timer of a channel
//! sends within the poll: the goroutine that receives is readied on the M that polls. The polls
//! of sysmon ready from elsewhere.
//!
//! An M that has such work and no P queues for one.

use std::ptr;
use std::sync::atomic::Ordering;

use super::global_queue::Priority;
use super::locate::machine_of_started;
use super::machine::Machine;
use super::processor::ThisP;
use super::queues::{
    STREAK_CHECK, begin_slice, push_back, push_global, streak_ends, submit_global,
};
use super::shared::Shared;
use super::this_m::ThisM;
use super::wake;
use crate::debug::inspect;
use crate::goroutine::header::header_of_started;
use crate::goroutine::{
    CLAIMED_BIT, FLAG_COMPACTED, FLAG_CPU_BOUND, FRESH, Goroutine, RUNNING_BIT, unwinding,
};
use crate::stack::{StackHeader, header_of};
use crate::sys::clock;
use crate::threads::ThreadEnd;
use crate::threads::idle::SPIN_NS;
use crate::threads::spin::{SLEEP_COST_NS, SPIN_CHECK};

/// Puts a goroutine into `run_next` of this M, or into another queue if it belongs there.
/// Mostly it has started on this M. Not inlined: it calls no other function for a goroutine
/// of this M, so it saves no register.
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

/// For a goroutine that has not started, or on another M, or whose stack is compacted.
#[cold]
#[inline(never)]
fn ready_special(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match machine_of_started(g) {
        Some(own) if ptr::eq(own, m.machine()) => m.queues().set_run_next(g),
        Some(other) => {
            other.deliver(g);
            wake::notify_machine(m.shared(), other);
        }
        None if Priority::of(g) != Priority::Normal => submit_global(m.shared(), g),
        None => push_back(m, p, g),
    }
}

/// As [`ready`], but behind the others. A goroutine of this M wakes no M. One of another M wakes
/// that M, and one that has not started an idle M.
pub(super) fn ready_in_turn(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match machine_of_started(g) {
        Some(own) if ptr::eq(own, m.machine()) => m.queues().runnable.push(g),
        _ => ready_special(m, p, g),
    }
}

/// Queues a goroutine without a P.
pub(super) fn submit(shared: &'static Shared, g: &'static Goroutine) {
    match machine_of_started(g) {
        Some(m) => {
            m.deliver(g);
            wake::notify_machine(shared, m);
        }
        None => submit_global(shared, g),
    }
}

/// Puts a goroutine back that is still leaving its stack: only its own M dequeues one
/// that has started.
pub(super) fn requeue(m: ThisM, g: &'static Goroutine) {
    match header_of_started(g) {
        Some(_) => m.queues().runnable.push(g),
        None => push_global(m.shared(), g),
    }
}

/// The next goroutine of this M. The most frequent picks are inlined and call no function:
/// an empty inbox, and `run_next` within its time slice, or only goroutines that have
/// started here.
#[inline(always)]
pub(super) fn next(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    if m.has_inbox() || m.shared().order.is_some() {
        return next_slow(m, p);
    }
    let own = p.own();
    let queues = m.queues();
    let next = queues.run_next.load(Ordering::Relaxed);
    if next.is_null() {
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
    queues.run_next.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: records are type-stable.
    Some(unsafe { &*next })
}

/// [`next`], whatever waits. What came from other threads goes to the end of the list.
#[inline(never)]
fn next_slow(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    let own = p.own();
    let queues = m.queues();
    m.take_inbox();
    if let Some(order) = &m.shared().order
        // An M that only checks draws no number.
        && queues.runnable.len() > 1
    {
        let mut rng = order.lock();
        for _ in 0..rng.below(queues.runnable.len().min(16) as u32) {
            if let Some(g) = queues.runnable.pop() {
                queues.runnable.push(g);
            }
        }
    }
    let next = queues.run_next.load(Ordering::Relaxed);
    // SAFETY: null or a record, which is type-stable.
    if let Some(next) = unsafe { next.as_ref() } {
        queues.run_next.store(ptr::null_mut(), Ordering::Relaxed);
        own.streak.set(own.streak.get().wrapping_add(1));
        if !own.streak.get().is_multiple_of(STREAK_CHECK) || !streak_ends(m, own) {
            return Some(next);
        }
        queues.runnable.push(next);
    }
    pick_by_turns(m, p)
}

/// After `run_next`: goroutines that have started and others.
#[inline(never)]
fn pick_by_turns(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    let own = p.own();
    own.streak.set(0);
    begin_slice(&p);
    // Those that have not started come from the P's queue; every other pick
    // begins there, so that neither side starves the other. But while another M
    // can take them they are left for it: a goroutine that starts here stays
    // here, with or without the ones that it exchanges messages with.
    let others_take = || {
        let idle = &m.shared().idle;
        idle.processors_count() != 0 || idle.spinning_count.load(Ordering::Relaxed) != 0
    };
    let started = || m.queues().runnable.pop();
    // SAFETY: entries are records, which are type-stable.
    let fresh = || p.queue.pop().map(|g| unsafe { g.as_ref() });
    let found = match own.fresh_first.get() && !others_take() {
        true => fresh().or_else(started),
        false => started().or_else(fresh),
    };
    own.fresh_first.set(own.fresh_first.get() ^ found.is_some());
    found
}

/// True if `joiner` is next and a fresh goroutine may run before it.
#[inline(always)]
pub(super) fn may_run_before(m: ThisM, joiner: *const Goroutine) -> bool {
    let queues = m.queues();
    ptr::eq(queues.run_next.load(Ordering::Relaxed), joiner)
        && !m.has_inbox()
        && queues.runnable.len() == 0
}

/// For an M with nothing to do: keeps its P for as long as a sleep and a wake cost, if another
/// M or a helper is likely to ready a goroutine of it within that time. A round trip between
/// goroutines on two Ms then takes 0.4 µs, not 24, on a quiet host with two CPUs. True if one
/// was readied. Blocks the thread.
pub(super) fn spin_for_inbox(m: ThisM, p: ThisP, sees_work: impl Fn() -> bool) -> bool {
    let shared = m.shared();
    if !m.inbox_spin.should_spin() || shared.is_test() {
        return false;
    }
    let is_helped = m.helper_was_spinning.swap(false, Ordering::Relaxed);
    let spin_ns = if is_helped { SPIN_NS } else { SLEEP_COST_NS };
    let until = clock::now_ns() + spin_ns;
    loop {
        let others = shared.idle.processors_count() as usize + 1 < shared.procs();
        if !others && !is_helped {
            // No other M runs that could ready one.
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

/// Records the goroutine whose P was just retaken from `m`.
pub(super) fn learn_hog(shared: &Shared, m: &Machine) {
    let hog = m.current_goroutine();
    if let Some(site) = hog.and_then(inspect::site_of) {
        shared.hogs.learn_from(site);
    }
}

/// Whether a fresh goroutine, about to start on `m`, must start on an M of its own.
/// `ended`: how many of the goroutines counted as started on `m` have ended.
#[inline(always)]
pub(super) fn needs_own_machine(shared: &Shared, m: &Machine, g: &Goroutine, ended: usize) -> bool {
    shared.hogs.any() && needs_own_machine_slow(shared, m, g, ended)
}

#[cold]
fn needs_own_machine_slow(shared: &Shared, m: &Machine, g: &Goroutine, ended: usize) -> bool {
    if shared.is_test() || m.started_count() == ended {
        return false;
    }
    // Not another M for each hog that waits for something in between. Ms never end.
    let has_room = || {
        shared.threads.machines_count() < 2 * shared.procs() + 6
            || shared.idle.lock().vacant_machine().is_some()
    };
    let apart =
        g.has_flag(FLAG_CPU_BOUND) || g.site().is_some_and(|site| shared.hogs.spend_of(site));
    apart && has_room()
}

/// On g0: starts a fresh goroutine on an M to which no other is pinned, with an idle P, or
/// else with this M's P.
pub(super) fn start_apart(m: ThisM, p: ThisP, g: &'static Goroutine) {
    let shared = m.shared();
    let mut lists = shared.idle.lock();
    if shared.is_stopping() {
        // It never starts: `stop` drops it.
        return;
    }
    let target = lists.take_vacant_machine();
    let other = shared.idle.acquire(&mut lists);
    drop(lists);
    if other.is_none() {
        wake::stop_spinning(shared, m.machine());
        m.release_p();
    }
    let p = other.unwrap_or(p.processor());
    begin_slice(p);
    wake::start_on(shared, target, p, g);
}

/// Calls `f` while a goroutine unwinds: others of its thread run meanwhile.
pub(super) fn reacquire_unwinding<R>(f: impl FnOnce() -> R) -> R {
    match std::thread::panicking() {
        true => unwinding::without_panics(f),
        false => f(),
    }
}

/// True if a call runs on a helper: others of the thread would wait for it.
pub(super) fn blocks_on_helper(header: &StackHeader) -> bool {
    header.pins.get() == 0
}

/// How the thread ends: other threads may still use values of its thread-locals that
/// goroutines have lent.
pub(super) fn thread_end(m: &Machine) -> ThreadEnd {
    match m.started_count() {
        0 => ThreadEnd::Usual,
        _ => ThreadEnd::KeepsLocals,
    }
}
