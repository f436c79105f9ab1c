//! The interface of the two schedulers: the only file that imports both. Each function is a
//! `match`, because a table of functions could not inline the calls of a switch.

use std::io;

use super::current::{self, machine_of};
use super::machine::Machine;
use super::processor::ThisP;
use super::settings::SchedulerKind;
use super::shared::Shared;
use super::this_m::ThisM;
use super::{migrating, pinned, queues};
use crate::goroutine::{Goroutine, unwinding};
use crate::netpoll::Netpoll;
use crate::stack::StackHeader;
use crate::threads::ThreadEnd;

/// The goroutine was readied on the P of this M.
#[inline(always)]
pub(super) fn ready(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::ready(m, p, g),
        SchedulerKind::Migrating => migrating::ready(m, p, g),
    }
}

/// As [`ready`], but behind the goroutines that wait already: for a caller that readies several in
/// order. An M is woken only if the goroutine goes to another M or to the global queue or, in a
/// pinned runtime, has not started.
pub(super) fn ready_in_turn(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::ready_in_turn(m, p, g),
        SchedulerKind::Migrating => migrating::ready_in_turn(m, p, g),
    }
}

#[inline(always)]
pub(crate) fn spawned(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::spawned(m, p, g),
        SchedulerKind::Migrating => migrating::ready(m, p, g),
    }
}

/// Whether a goroutine that spawns may wake no M although a P is idle.
pub(super) fn may_skip_wakes(shared: &Shared) -> bool {
    matches!(shared.settings.kind, SchedulerKind::Pinned)
}

/// For a caller without a P.
pub(super) fn submit(shared: &'static Shared, g: &'static Goroutine) {
    match shared.settings.kind {
        SchedulerKind::Pinned => pinned::submit(shared, g),
        SchedulerKind::Migrating => migrating::submit(shared, g),
    }
}

#[inline(always)]
pub(super) fn yielded(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => m.queues().runnable.push(g),
        SchedulerKind::Migrating => migrating::yielded(m, p, g),
    }
}

/// For a goroutine that is still leaving its stack.
pub(super) fn requeue(m: ThisM, g: &'static Goroutine) {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::requeue(m, g),
        SchedulerKind::Migrating => queues::push_global(m.shared(), g),
    }
}

/// Step 5 of [`super::find_runnable`].
#[inline(always)]
pub(super) fn next(m: ThisM, p: ThisP) -> Option<&'static Goroutine> {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::next(m, p),
        SchedulerKind::Migrating => migrating::next(m, p),
    }
}

/// True if `joiner` is next and a fresh goroutine may run before it.
#[inline(always)]
pub(super) fn joiner_may_wait(m: ThisM, p: ThisP, joiner: *const Goroutine) -> bool {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::joiner_may_wait(m, joiner),
        SchedulerKind::Migrating => migrating::joiner_may_wait(m, p, joiner),
    }
}

/// Called before an M without work rests. In a pinned runtime it may spin for its inbox, which
/// blocks the thread for a short time. True if work came meanwhile.
pub(super) fn rest(m: ThisM, p: ThisP, sees_work: impl Fn() -> bool) -> bool {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::spin_for_inbox(m, p, sees_work),
        SchedulerKind::Migrating => false,
    }
}

/// True if a fresh goroutine that is about to start here is to start on another M.
/// `ended_but_counted` of the goroutines that are counted as started here have ended.
#[inline(always)]
pub(super) fn starts_elsewhere(m: ThisM, g: &Goroutine, ended_but_counted: usize) -> bool {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::starts_elsewhere(m.shared(), &m, g, ended_but_counted),
        SchedulerKind::Migrating => false,
    }
}

/// On g0. This M may have no P afterwards.
pub(super) fn start_elsewhere(m: ThisM, p: ThisP, g: &'static Goroutine) {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::start_elsewhere(m, p, g),
        SchedulerKind::Migrating => {}
    }
}

/// The running goroutine, if there is one, waits for an accepted connection, which the poller of its
/// M has not watched before.
pub(crate) fn learn_connection() {
    let Some(m) = current::header().map(machine_of) else {
        return;
    };
    match m.shared().settings.kind {
        SchedulerKind::Pinned => pinned::learn_connection(m),
        SchedulerKind::Migrating => {}
    }
}

/// The P of this M was retaken because its goroutine computes.
pub(super) fn hogged(shared: &Shared, m: &Machine) {
    match shared.settings.kind {
        SchedulerKind::Pinned => pinned::learn_hog(shared, m),
        SchedulerKind::Migrating => {}
    }
}

pub(crate) fn lock_os_thread(header: &StackHeader) {
    match machine_of(header).shared().settings.kind {
        SchedulerKind::Pinned => {}
        SchedulerKind::Migrating => migrating::lock_os_thread(header),
    }
}

pub(crate) fn unlock_os_thread(header: &StackHeader) {
    match machine_of(header).shared().settings.kind {
        SchedulerKind::Pinned => {}
        SchedulerKind::Migrating => migrating::unlock_os_thread(header),
    }
}

/// Before a wait: see [`crate::goroutine::unwinding`].
pub(super) fn prepare_unwinding_park(header: &StackHeader) {
    match machine_of(header).shared().settings.kind {
        SchedulerKind::Pinned => unwinding::prepare_park(header),
        SchedulerKind::Migrating => migrating::prepare_unwinding_park(header),
    }
}

/// Calls `f`, which yields, unless the thread runs no other goroutine.
pub(super) fn yield_unwinding(shared: &Shared, f: impl FnOnce()) {
    match shared.settings.kind {
        SchedulerKind::Pinned => unwinding::without_panics(f),
        SchedulerKind::Migrating => {}
    }
}

/// For a goroutine that may be unwinding.
pub(super) fn reacquire_unwinding<R>(shared: &Shared, f: impl FnOnce() -> R) -> R {
    match shared.settings.kind {
        SchedulerKind::Pinned => pinned::reacquire_unwinding(f),
        SchedulerKind::Migrating => f(),
    }
}

/// True if a goroutine without a P waits for a P on its thread. Otherwise it is queued, and
/// continues on another M.
pub(super) fn waits_for_p(shared: &Shared, g: &Goroutine) -> bool {
    match shared.settings.kind {
        SchedulerKind::Pinned => true,
        SchedulerKind::Migrating => migrating::waits_for_p(g),
    }
}

pub(crate) fn blocks_on_helper(header: &StackHeader, has_room: bool) -> bool {
    match machine_of(header).shared().settings.kind {
        SchedulerKind::Pinned => pinned::blocks_on_helper(header),
        SchedulerKind::Migrating => migrating::blocks_on_helper(header, has_room),
    }
}

pub(super) fn thread_end(shared: &Shared, m: &Machine) -> ThreadEnd {
    match shared.settings.kind {
        SchedulerKind::Pinned => pinned::thread_end(m),
        SchedulerKind::Migrating => ThreadEnd::Usual,
    }
}

/// The poller for goroutines that run here.
///
/// # Errors
///
/// When it has to be made and the process is out of descriptors.
pub(crate) fn netpoll(m: ThisM) -> io::Result<&'static Netpoll> {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => m.machine().make_netpoll(),
        SchedulerKind::Migrating => Ok(&m.shared().netpoll),
    }
}

/// As [`netpoll`](fn@netpoll), but makes none.
pub(super) fn known_netpoll(m: ThisM) -> Option<&'static Netpoll> {
    match m.shared().settings.kind {
        SchedulerKind::Pinned => m.machine().own_netpoll(),
        SchedulerKind::Migrating => Some(&m.shared().netpoll),
    }
}
