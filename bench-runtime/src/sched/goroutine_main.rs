//! The outermost frame of a stack: it runs one goroutine after the other, and ends them.
//!
//! The stack of an ended goroutine returns to the P's cache while this code still runs on it.
//! Only the P's holder uses the cache, and this M holds the P until it is on another stack.

use std::ptr;
use std::sync::atomic::Ordering;

use super::current::{self, machine_of};
use super::pick::{pick_ahead, pick_fast};
use super::processor::{Processor, ThisP};
use super::queues::STREAK_CHECK;
use super::switch::{arrive, end_timing, mcall, ready_context};
use super::this_m::ThisM;
use super::{preempt, readied, scheduler};
use crate::arch;
use crate::goroutine::header::goroutine_of;
use crate::goroutine::{
    FLAG_LOCKED, FRESH, Goroutine, JOIN_DETACHED, JOIN_DONE, JOIN_LOST, JOIN_OPEN, Parkable,
    Status, claim, locals,
};
use crate::recorder::SWITCHES;
use crate::recorder::event::Kind;
use crate::stack::{Stack, StackHeader, fiber};
use crate::util::panic::without_panic;

/// How many fresh goroutines may run before a joiner that is in `run_next`. Mostly the joiner has
/// spawned a batch: if it ran after each goroutine of the batch, each would cost two switches and a
/// stack. The number is that of picks of `run_next` between two readings of the clock.
const AHEAD: u32 = STREAK_CHECK;

pub(crate) unsafe extern "C" fn goroutine_main(payload: usize) -> ! {
    let Some(header) = current::header() else {
        crate::fatal::fatal!("a goroutine began outside every stack")
    };
    let mut m = arrive(header, goroutine_of(header), payload);
    // The joiner that was readied last, and how many fresh goroutines may still run before it.
    let (mut joiner, mut ahead) = (ptr::null(), 0);
    loop {
        let g = goroutine_of(header);
        m.leave(false);
        // SAFETY: its first and only run.
        unsafe { (g.vtable().run)(g) };
        // Acquire: pairs with the Release of a handle that was dropped.
        let is_detached = g.join.load(Ordering::Acquire) == JOIN_DETACHED;
        if is_detached {
            drop_outcome(g);
        }
        // After the outcome: its destructor may use goroutine-locals.
        locals::drop_all(header, g);
        let mut p;
        (m, p) = enter_with_p(header);
        let (locked, readied);
        (m, p, locked, readied) = finish(header, m, p, g, is_detached);
        if !readied.is_null() {
            (joiner, ahead) = (readied, AHEAD);
        }
        if locked {
            end_on_g0(header, m, p, mcall::EXIT_THREAD);
        }
        let next = match ahead {
            0 => None,
            _ => pick_ahead(m, p, joiner),
        };
        match next.inspect(|_| ahead -= 1).or_else(|| pick_fast(m, p)) {
            // It takes over the stack, and the ended one's place in the count of started
            // goroutines.
            Some(next) if can_take_stack(m, next, header) => {
                if scheduler::starts_elsewhere(m, next, 1) {
                    end_on_g0(header, m, p, ptr::from_ref(next) as usize);
                }
                header.g.set(ptr::from_ref(next).cast_mut().cast());
                claim::arrive(&next.context, ptr::from_ref(header) as usize);
                next.set_status(Status::Running);
                end_timing(m, p, next);
                if p.recorder.watches(SWITCHES) {
                    m.current.store(None, Ordering::Relaxed);
                    p.recorder.note_switch(None, Some(next));
                }
                m.current.store(Some(next), Ordering::Relaxed);
            }
            Some(next) => {
                m.count_started(-1);
                // The record of the ended goroutine may belong to another one by now.
                m.current.store(None, Ordering::Relaxed);
                // Our stack returns to the cache after the next goroutine has its own.
                let context = ready_context(m, p, next);
                put_stack(p, header);
                match context {
                    Ok(context) => {
                        fiber::end(context);
                        // SAFETY: from `ready_context`; nothing on this stack
                        // is used again.
                        unsafe { arch::jump(context, ptr::from_ref(m.machine()) as usize) }
                    }
                    Err(request) => jump_to_g0(m, request),
                }
            }
            None => end_on_g0(header, m, p, mcall::SCHEDULE),
        }
    }
}

#[inline(always)]
fn can_take_stack(m: ThisM, g: &Goroutine, header: &'static StackHeader) -> bool {
    g.context.load(Ordering::Acquire) == FRESH
        && m.shared().stack_class(g) == Stack::from_header(ptr::NonNull::from(header)).class()
}

#[inline(always)]
fn put_stack(p: ThisP, header: &'static StackHeader) {
    // This code still runs on the stack: see the module.
    p.put_stack(Stack::from_header(ptr::NonNull::from(header)));
}

/// Gives the stack back, and continues on g0 with `request`.
fn end_on_g0(header: &'static StackHeader, m: ThisM, p: ThisP, request: usize) -> ! {
    m.count_started(-1);
    put_stack(p, header);
    jump_to_g0(m, request)
}

fn jump_to_g0(m: ThisM, request: usize) -> ! {
    if let Some(p) = m.held()
        && p.recorder.watches(SWITCHES)
    {
        // Without the goroutine's number: its record may belong to another one by now.
        p.recorder.record(Kind::End, 0, 0);
    }
    m.current.store(None, Ordering::Relaxed);
    let g0 = m.own().g0.load(Ordering::Relaxed);
    m.own().g0_fiber.end();
    // SAFETY: g0's context was saved when this thread last left g0; only this thread resumes it,
    // and this stack is done with.
    unsafe { arch::jump(g0, request) }
}

/// Enters the runtime, and acquires a P if there is none. May block the goroutine.
#[inline(always)]
fn enter_with_p(header: &'static StackHeader) -> (ThisM, ThisP) {
    let m = machine_of(header);
    match m.enter().0 {
        Some(p) => (m, p),
        None => {
            let p = preempt::reacquire_p(header);
            // It may have moved to another M.
            (machine_of(header), p)
        }
    }
}

/// Returns whether the thread ends too.
#[inline(always)]
fn unbind(header: &StackHeader, g: &Goroutine) -> bool {
    header.pins.set(0);
    g.has_flag(FLAG_LOCKED)
}

/// Ends a goroutine. Returns the M and P that its stack is on now, whether the thread ends, and
/// the joiner that was readied, which may be a thread or a future.
#[inline(always)]
fn finish(
    header: &'static StackHeader,
    m: ThisM,
    p: ThisP,
    g: &'static Goroutine,
    is_detached: bool,
) -> (ThisM, ThisP, bool, *const Goroutine) {
    let locked = unbind(header, g);
    g.set_status(Status::Dead);
    Processor::count(&p.ended_count, 1);
    if is_detached {
        m.shared().recycle(p, g);
        return (m, p, locked, ptr::null());
    }
    // After this the handle may free the record. AcqRel: pairs with the Acquire of the handle,
    // which reads the outcome, and with the Release of a handle that was dropped.
    match g.join.swap(JOIN_DONE, Ordering::AcqRel) {
        JOIN_OPEN | JOIN_LOST => (m, p, locked, ptr::null()),
        JOIN_DETACHED => {
            let (m, p, locked) = discard(header, m, g);
            (m, p, locked, ptr::null())
        }
        waiting => {
            // SAFETY: by the table of `join`, any other value is a parkable's head.
            let who =
                unsafe { Parkable::from_head(ptr::NonNull::new_unchecked(waiting as *mut _)) };
            readied::ready_inside(m, p, who);
            (m, p, locked, waiting as *const Goroutine)
        }
    }
}

/// The handle was dropped while the goroutine ended. The outcome is dropped outside the runtime,
/// because a destructor may do anything.
#[cold]
#[inline(never)]
fn discard(header: &'static StackHeader, m: ThisM, g: &'static Goroutine) -> (ThisM, ThisP, bool) {
    m.leave(false);
    drop_outcome(g);
    locals::drop_all(header, g);
    let (m, p) = enter_with_p(header);
    let locked = unbind(header, g);
    g.set_status(Status::Dead);
    m.shared().recycle(p, g);
    (m, p, locked)
}

fn drop_outcome(g: &'static Goroutine) {
    // SAFETY: it ended and no handle exists; this happens once.
    without_panic(|| unsafe { (g.vtable().drop_outcome)(g) });
}
