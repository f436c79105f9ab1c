//! Switching from an M's own stack (*g0*, as in Go) to a goroutine's, from one goroutine's to the
//! next, and back.
//!
//! Goroutines resume each other directly when they park or end. A goroutine that finds no next
//! one switches to g0. A switch to g0 passes a request, a switch to a goroutine passes the M.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::machine::Machine;
use super::pick::pick_fast;
use super::processor::ThisP;
use super::shared::Shared;
use super::this_m::ThisM;
use super::{helpers, scheduler};
use crate::arch;
use crate::goroutine::{
    FLAG_COMPACTED, FLAG_LOCKED, FLAG_TIMED, FRESH, Goroutine, RUNNING_BIT, Status, WATCHED_BIT,
    claim,
};
use crate::recorder::SWITCHES;
use crate::stack::{StackHeader, fiber};
use crate::sys::clock;

/// Requests to g0, like the function that Go's `mcall` calls there.
pub(crate) mod mcall {
    pub(crate) const SCHEDULE: usize = 0;
    /// Wait for the goroutine that just left, which is locked to this M: Go's `stoplockedm`.
    pub(crate) const STOP_LOCKED: usize = 1;
    /// End the thread: the goroutine that just ended was locked to it.
    pub(crate) const EXIT_THREAD: usize = 2;
    // Any other: the address of a fresh goroutine to be started on another M.
}

/// How often `context` is loaded while its goroutine still leaves its stack on another CPU. Only a
/// few instructions are left, unless the kernel has taken that CPU from its thread. Chosen, not
/// measured.
const LEAVING_SPINS: u32 = 1_000;

/// Saves the running context in `save` and resumes `context`. Returns when the saved context is
/// resumed, with the payload of that switch.
#[inline(always)]
pub(super) fn resume(m: ThisM, save: &AtomicUsize, context: usize) -> usize {
    fiber::leave(save, context);
    // SAFETY: `context` came from `ready_context`, so it is ours to resume.
    unsafe { arch::switch(save.as_ptr(), context, ptr::from_ref(m.machine()) as usize) }
}

/// The first step of a resumed goroutine, on its own stack: stores its M, from the payload, and
/// the address of its header.
#[inline(always)]
pub(super) fn arrive(header: &'static StackHeader, g: &Goroutine, payload: usize) -> ThisM {
    header.machine.set(payload as *mut ());
    claim::arrive(&g.context, ptr::from_ref(header) as usize);
    // SAFETY: the thread that resumes a goroutine passes its own M; Ms live as long as
    // their runtime has goroutines.
    unsafe { ThisM::new(&*(payload as *const Machine)) }
}

/// Makes a dequeued goroutine this M's current one, and binds a stack to it if it has never run.
/// The caller must resume the result at once.
///
/// # Errors
///
/// If the goroutine cannot run here and now: the request to g0.
#[inline(always)]
pub(crate) fn ready_context(m: ThisM, p: ThisP, g: &'static Goroutine) -> Result<usize, usize> {
    let mut context = claim::read(&g.context);
    let running_or_watched = context & (RUNNING_BIT | WATCHED_BIT) != 0;
    if context == FRESH || running_or_watched || g.has_flag(FLAG_COMPACTED | FLAG_TIMED) {
        context = ready_context_slow(m, p, g, context)?;
    }
    claim::resume(&g.context, context);
    g.set_status(Status::Running);
    if p.recorder.watches(SWITCHES) {
        p.recorder.note_switch(m.current_goroutine(), Some(g));
    }
    m.current.store(Some(g), Ordering::Relaxed);
    Ok(context)
}

#[inline(never)]
fn ready_context_slow(
    m: ThisM,
    p: ThisP,
    g: &'static Goroutine,
    mut context: usize,
) -> Result<usize, usize> {
    let mut spins = 0;
    while context & RUNNING_BIT != 0 {
        spins += 1;
        if spins > LEAVING_SPINS {
            // The kernel has probably taken the CPU from that thread: other goroutines run first.
            scheduler::requeue(m, g);
            std::thread::yield_now();
            return Err(mcall::SCHEDULE);
        }
        std::hint::spin_loop();
        context = claim::read_again(&g.context);
    }
    if context == FRESH {
        if scheduler::starts_elsewhere(m, g, 0) {
            return Err(ptr::from_ref(g) as usize);
        }
        end_timing(m, p, g);
        return bind(m, p, g);
    }
    end_timing(m, p, g);
    if g.has_flag(FLAG_COMPACTED) {
        crate::goroutine::stacks::restore(g, context);
    }
    // A dump that is reading the stack notices the resume: the caller stores to `context`.
    Ok(claim::saved(context))
}

/// Records how long a timed goroutine has waited to run.
#[inline(always)]
pub(super) fn end_timing(m: ThisM, p: ThisP, g: &'static Goroutine) {
    if g.has_flag(FLAG_TIMED) {
        end_timing_slow(m.shared(), p, g);
    }
}

#[cold]
#[inline(never)]
fn end_timing_slow(shared: &'static Shared, p: ThisP, g: &'static Goroutine) {
    g.clear_flag(FLAG_TIMED);
    let find_in_ps = || shared.processors().find_map(|p| p.recorder.end_timing(g));
    let since_ns = shared.recorder.end_timing(g);
    let since_ns = since_ns.or_else(|| p.recorder.end_timing(g));
    if let Some(since_ns) = since_ns.or_else(find_in_ps) {
        let waited_ns = clock::now_ns().saturating_sub(since_ns);
        p.recorder.latencies.count(waited_ns);
    }
}

fn bind(m: ThisM, p: ThisP, g: &'static Goroutine) -> Result<usize, usize> {
    match p.take_stack(m.shared().stack_class(g)) {
        Ok(stack) => {
            p.own().streak.set(0);
            m.count_started(1);
            stack.header().g.set(ptr::from_ref(g).cast_mut().cast());
            fiber::begin(stack.header());
            // SAFETY: no other thread uses the stack.
            Ok(unsafe { arch::prepare(stack.top(), m.shared().entries.goroutine) })
        }
        Err(error) => {
            helpers::refuse_stack(m.shared(), p, g, error);
            Err(mcall::SCHEDULE)
        }
    }
}

/// Parks the goroutine on this stack: step 3 of [`crate::goroutine::parkable`]. It is inside, and
/// enqueued where a thread will ready it. Returns when it is resumed, still inside, with its
/// present M. Blocks the goroutine.
#[inline(always)]
pub(crate) fn leave_stack(
    header: &'static StackHeader,
    m: ThisM,
    p: Option<ThisP>,
    g: &'static Goroutine,
) -> ThisM {
    if g.has_flag(FLAG_LOCKED) {
        return leave_locked(header, m, g);
    }
    let Some(p) = p else {
        return leave_for_g0(header, m, g, mcall::SCHEDULE);
    };
    match pick_fast(m, p) {
        Some(next) => leave_stack_for(header, m, p, g, next),
        None => leave_for_g0(header, m, g, mcall::SCHEDULE),
    }
}

/// As [`leave_stack`], with the next goroutine already picked.
#[inline(always)]
pub(crate) fn leave_stack_for(
    header: &'static StackHeader,
    m: ThisM,
    p: ThisP,
    g: &'static Goroutine,
    next: &'static Goroutine,
) -> ThisM {
    if ptr::eq(next, g) {
        // It was readied already, and has picked itself.
        end_timing(m, p, g);
        g.set_status(Status::Running);
        return m;
    }
    match ready_context(m, p, next) {
        Ok(context) => arrive(header, g, resume(m, &g.context, context)),
        Err(request) => leave_for_g0(header, m, g, request),
    }
}

#[inline(never)]
pub(crate) fn leave_for_g0(
    header: &'static StackHeader,
    m: ThisM,
    g: &'static Goroutine,
    request: usize,
) -> ThisM {
    if let Some(p) = m.held()
        && p.recorder.watches(SWITCHES)
    {
        p.recorder.note_switch(m.current_goroutine(), None);
    }
    m.current.store(None, Ordering::Relaxed);
    let g0 = m.own().g0.load(Ordering::Relaxed);
    m.own().g0_fiber.leave_for(&g.context);
    // SAFETY: see `jump_to_g0`; `context` is ours while we run.
    let payload = unsafe { arch::switch(g.context.as_ptr(), g0, request) };
    arrive(header, g, payload)
}

/// In a migrating runtime, for a goroutine that is locked to its thread, or that unwinds: its M
/// waits for it, and runs no other.
#[cold]
#[inline(never)]
fn leave_locked(header: &'static StackHeader, m: ThisM, g: &'static Goroutine) -> ThisM {
    m.locked.store(Some(g), Ordering::Release);
    leave_for_g0(header, m, g, mcall::STOP_LOCKED)
}
