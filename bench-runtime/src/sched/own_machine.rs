//! Starting a goroutine on an M of its own: see [`super::hogs`].

use super::machine::Machine;
use super::processor::Processor;
use super::shared::Shared;
use super::this_m::ThisM;
use super::{look, wake};
use crate::goroutine::{FLAG_CPU_BOUND, Goroutine};

/// Notes the goroutine whose P was just retaken from `m`.
pub(super) fn learn_hog(shared: &Shared, m: &Machine) {
    let hog = m.current_goroutine();
    if shared.pinned
        && let Some(site) = hog.and_then(look::site_of)
    {
        shared.hogs.learn_from(site);
    }
}

/// Whether a fresh goroutine, about to start on `m`, is to start on an M of its own.
/// `ended`: how many of the goroutines counted as started on `m` have ended.
#[inline(always)]
pub(super) fn needs_own_machine(shared: &Shared, m: &Machine, g: &Goroutine, ended: usize) -> bool {
    shared.hogs.any() && needs_own_machine_slow(shared, m, g, ended)
}

#[cold]
fn needs_own_machine_slow(shared: &Shared, m: &Machine, g: &Goroutine, ended: usize) -> bool {
    if !shared.pinned || shared.is_test() || m.started_count() == ended {
        return false;
    }
    // Not another one for each hog that waits for something in between.
    let may_grow = || shared.machines_count() < 2 * shared.procs() + 6;
    let apart =
        g.has_flag(FLAG_CPU_BOUND) || g.site().is_some_and(|site| shared.hogs.spend_of(site));
    apart && may_grow()
}

/// On g0: starts the goroutine that was set aside on another M, with an idle P, or
/// else with this M's P.
pub(super) fn start_on_own_machine(
    shared: &'static Shared,
    m: ThisM,
    p: &'static Processor,
    g: &'static Goroutine,
) {
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
        m.set_p(None);
    }
    wake::start_on(shared, target, other.unwrap_or(p), g);
}
