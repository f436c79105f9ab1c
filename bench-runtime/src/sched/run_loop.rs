//! Running goroutines: from an M's own stack to a goroutine's, from one
//! goroutine's to the next, and back.
//!
//! An M's thread runs [`machine_main`] on its own stack, *g0* as in Go. It resumes a
//! goroutine; from then on goroutines resume each other directly as they park
//! or end. A goroutine that finds no next one switches to g0; the payload of that
//! switch says what g0 is to do.
//!
//! The stack of an ended goroutine goes back to the P's cache while the code
//! still runs on it: only the P's holder uses the cache, this M holds the P until it
//! leaves the runtime, and by then it is on another stack.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::claim;
use super::current::{self, goroutine_of, machine_of};
use super::fiber;
use super::machine::Machine;
use super::os_threads::ThreadEnd;
use super::pick::{pick_ahead, pick_fast};
use super::processor::Processor;
use super::runtime::Shared;
use super::trace::SWITCHES;
use crate::arch;
use crate::goroutine::body::without_panic;
use crate::goroutine::{
    FLAG_COMPACTED, FLAG_LOCKED, FLAG_TIMED, FRESH, Goroutine, JOIN_DETACHED, JOIN_DONE, JOIN_LOST,
    JOIN_OPEN, Parkable, RUNNING_BIT, Status, WATCHED_BIT,
};
use crate::stack::{Stack, StackHeader};
use crate::sys::clock::CpuClock;
use crate::sys::thread::ThreadId;

/// Payloads of a switch to g0: what to do there, as the function in Go's `mcall`.
pub(crate) mod mcall {
    /// Run another goroutine.
    pub(crate) const SCHEDULE: usize = 0;
    /// The goroutine that just left is locked to this M: wait for it, as Go's
    /// `stoplockedm`.
    pub(crate) const STOP_LOCKED: usize = 1;
    /// The goroutine that just ended was locked: the thread ends with it.
    pub(crate) const EXIT_THREAD: usize = 2;
}

/// How long to wait for a goroutine that is still leaving its stack on another
/// CPU, in loads; it is on its last few instructions unless the kernel has
/// taken the CPU from it.
const LEAVING_SPINS: u32 = 1_000;

/// How many fresh goroutines may run before a joiner that is in `run_next`. It has
/// mostly started a batch and joins one after the other: if it ran after each of them,
/// that would be two switches and a stack each time.
const AHEAD: u32 = 16;

/// The body of an M's thread. Says how the thread is to end.
pub(crate) fn machine_main(m: &'static Machine) -> ThreadEnd {
    current::set_thread_machine(Some(m));
    let _guard = match crate::stack::overflow::install_for_thread() {
        Ok(guard) => guard,
        Err(error) => crate::fatal::fatal!("cannot give a thread its signal stack: {error}"),
    };
    if let Some(clock) = CpuClock::of_this_thread() {
        let _ = m.cpu_clock.set(clock);
    }
    let _ = m.thread_id.set(ThreadId::of_this_thread());
    let shared = m.shared;
    m.g0_fiber.begin();
    m.sleep();
    while let Some(g) = shared.find_runnable(m) {
        let Some(p) = m.held() else {
            crate::fatal::fatal!("an M found work without a P")
        };
        let Some(context) = ready_context(m, p, g) else {
            continue;
        };
        let mut request = resume(m, &m.g0, context);
        while request == mcall::STOP_LOCKED {
            let Some(next) = shared.stop_locked(m) else {
                break;
            };
            request = next;
        }
        if request == mcall::EXIT_THREAD {
            shared.give_up_processor(m);
            break;
        }
    }
    // Other threads may still use what goroutines lent out of this thread's locals.
    let lends = shared.pinned && m.started_count() != 0;
    // From here on it is a plain thread: what the runtime still holds of the
    // program's may be dropped next.
    current::set_thread_machine(None);
    shared.machine_ends(m);
    match lends {
        true => ThreadEnd::KeepsLocals,
        false => ThreadEnd::Usual,
    }
}

/// Saves the running context in `save` and resumes `context`. Returns the payload of
/// the switch that resumes this context.
#[inline(always)]
fn resume(m: &'static Machine, save: &AtomicUsize, context: usize) -> usize {
    fiber::leave(save, context);
    // SAFETY: `context` came from `ready_context`, so it is ours to resume.
    unsafe { arch::switch(save.as_ptr(), context, ptr::from_ref(m) as usize) }
}

/// The first step of a resumed goroutine, on its own stack: it stores its M and the
/// address of its header, which would take the resumer longer to find. Returns the M
/// that it runs on now, from the payload.
#[inline(always)]
fn arrive(header: &'static StackHeader, g: &Goroutine, payload: usize) -> &'static Machine {
    header.machine.set(payload as *mut ());
    claim::arrive(&g.context, ptr::from_ref(header) as usize);
    // SAFETY: the thread that resumes a goroutine passes its own M; Ms live as long as
    // their runtime has goroutines.
    unsafe { &*(payload as *const Machine) }
}

/// Makes a dequeued goroutine this M's current one: binds a stack if it never
/// ran. What it returns is to be resumed at once. `None`: it cannot run now
/// and was dealt with.
#[inline(always)]
pub(crate) fn ready_context(
    m: &'static Machine,
    p: &'static Processor,
    g: &'static Goroutine,
) -> Option<usize> {
    let mut context = claim::look(&g.context);
    let odd_or_watched = context & (RUNNING_BIT | WATCHED_BIT) != 0;
    if context == FRESH || odd_or_watched || g.has_flag(FLAG_COMPACTED | FLAG_TIMED) {
        context = ready_context_slow(m, p, g, context)?;
    }
    claim::resume(&g.context, context);
    g.set_status(Status::Running);
    if p.watches(SWITCHES) {
        p.note_switch(m, Some(g));
    }
    m.current
        .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
    Some(context)
}

#[inline(never)]
fn ready_context_slow(
    m: &'static Machine,
    p: &'static Processor,
    g: &'static Goroutine,
    mut context: usize,
) -> Option<usize> {
    let mut spins = 0;
    while context & RUNNING_BIT != 0 {
        spins += 1;
        if spins > LEAVING_SPINS {
            // The kernel took the CPU from it: let others go first.
            m.shared.requeue(m, g);
            std::thread::yield_now();
            return None;
        }
        std::hint::spin_loop();
        context = claim::look_again(&g.context);
    }
    if context == FRESH {
        if set_aside(m, g, 0) {
            return None;
        }
        end_timing(m, p, g);
        return bind(m, p, g);
    }
    end_timing(m, p, g);
    if g.has_flag(FLAG_COMPACTED) {
        super::stacks::restore(g, context);
    }
    // A dump that reads its stack sees this in `context`.
    Some(claim::saved(context))
}

/// A goroutine that waited to run begins to run: records how long, if it is timed.
#[inline(always)]
fn end_timing(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) {
    if g.has_flag(FLAG_TIMED) {
        m.shared.end_timing(p, g);
    }
}

/// Sets a fresh goroutine aside if it is to start on an M of its own: then the caller
/// switches to g0, which starts it there. `ended`: how many of the goroutines counted
/// as started on this M have ended.
#[inline(always)]
fn set_aside(m: &'static Machine, g: &'static Goroutine, ended: usize) -> bool {
    let apart = m.shared.needs_own_machine(m, g, ended);
    if apart {
        m.set_aside
            .store(ptr::from_ref(g).cast_mut(), Ordering::Relaxed);
    }
    apart
}

/// Gives a goroutine its stack, for its first run.
fn bind(m: &'static Machine, p: &'static Processor, g: &'static Goroutine) -> Option<usize> {
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    match own.stacks.take(m.shared.stack_class(g)) {
        Ok(stack) => {
            own.streak = 0;
            m.count_started(1);
            stack.header().g.set(ptr::from_ref(g).cast_mut().cast());
            fiber::begin(stack.header());
            // SAFETY: no other thread uses the stack.
            Some(unsafe { arch::prepare(stack.top(), goroutine_main) })
        }
        Err(error) => {
            m.shared.refuse_stack(p, g, error);
            None
        }
    }
}

/// The outermost frame of a stack: runs the goroutine bound to it, and then
/// every fresh one that comes next, on the same stack.
unsafe extern "C" fn goroutine_main(payload: usize) -> ! {
    let Some(header) = current::header() else {
        crate::fatal::fatal!("a goroutine began outside every stack")
    };
    let mut m = arrive(header, goroutine_of(header), payload);
    // The joiner that the last goroutine here readied, and how many fresh goroutines
    // may still run before it.
    let (mut joiner, mut ahead) = (ptr::null(), 0);
    loop {
        let g = goroutine_of(header);
        m.leave(false);
        // SAFETY: its first and only run.
        unsafe { (g.vtable().run)(g) };
        let dropped = is_detached(g);
        if dropped {
            drop_outcome(g);
        }
        // After the outcome, whose destructor may use them.
        crate::local::drop_all(header, g);
        let mut p;
        (m, p) = enter_for_good(header);
        let (locked, readied);
        (m, p, locked, readied) = finish(header, m, p, g, dropped);
        if !readied.is_null() {
            (joiner, ahead) = (readied, AHEAD);
        }
        if locked {
            m.count_started(-1);
            put_stack(p, header);
            jump_to_g0(m, mcall::EXIT_THREAD);
        }
        let next = match ahead {
            0 => None,
            _ => pick_ahead(m, p, joiner),
        };
        match next.inspect(|_| ahead -= 1).or_else(|| pick_fast(m, p)) {
            // It takes over the stack, and the place in the count of the started.
            Some(next) if is_fresh_alike(m, next, header) => {
                if set_aside(m, next, 1) {
                    m.count_started(-1);
                    put_stack(p, header);
                    jump_to_g0(m, mcall::SCHEDULE);
                }
                header.g.set(ptr::from_ref(next).cast_mut().cast());
                claim::arrive(&next.context, ptr::from_ref(header) as usize);
                next.set_status(Status::Running);
                end_timing(m, p, next);
                if p.watches(SWITCHES) {
                    m.current.store(ptr::null_mut(), Ordering::Relaxed);
                    p.note_switch(m, Some(next));
                }
                m.current
                    .store(ptr::from_ref(next).cast_mut(), Ordering::Relaxed);
            }
            Some(next) => {
                m.count_started(-1);
                // It has ended, and its record may be another's.
                m.current.store(ptr::null_mut(), Ordering::Relaxed);
                // Our stack goes to the cache after the next has its own.
                let context = ready_context(m, p, next);
                put_stack(p, header);
                match context {
                    Some(context) => {
                        fiber::end(context);
                        // SAFETY: from `ready_context`; nothing on this stack
                        // is used again.
                        unsafe { arch::jump(context, ptr::from_ref(m) as usize) }
                    }
                    None => jump_to_g0(m, mcall::SCHEDULE),
                }
            }
            None => {
                m.count_started(-1);
                put_stack(p, header);
                jump_to_g0(m, mcall::SCHEDULE);
            }
        }
    }
}

/// True if a goroutine has never run and takes the same kind of stack.
#[inline(always)]
fn is_fresh_alike(m: &'static Machine, g: &Goroutine, header: &'static StackHeader) -> bool {
    g.context.load(Ordering::Acquire) == FRESH
        && m.shared.stack_class(g) == Stack::from_header(ptr::NonNull::from(header)).class()
}

#[inline(always)]
fn put_stack(p: &'static Processor, header: &'static StackHeader) {
    // SAFETY: we hold P inside the runtime; see the top of this file for why
    // the stack may go back while we stand on it.
    unsafe { p.own() }
        .stacks
        .put(Stack::from_header(ptr::NonNull::from(header)));
}

fn jump_to_g0(m: &'static Machine, request: usize) -> ! {
    m.note_end();
    m.current.store(ptr::null_mut(), Ordering::Relaxed);
    let g0 = m.g0.load(Ordering::Relaxed);
    m.g0_fiber.end();
    // SAFETY: g0's context was saved by the switch that resumed the first goroutine of
    // this round; only this thread resumes it, and this stack is done with.
    unsafe { arch::jump(g0, request) }
}

/// Enters the runtime at the end of a goroutine, with a P. May block the goroutine.
#[inline(always)]
fn enter_for_good(header: &'static StackHeader) -> (&'static Machine, &'static Processor) {
    let m = machine_of(header);
    match m.enter().0 {
        Some(p) => (m, p),
        None => {
            let p = super::preempt::reacquire_p(header);
            // It may have moved us.
            (machine_of(header), p)
        }
    }
}

#[inline(always)]
fn is_detached(g: &'static Goroutine) -> bool {
    // Acquire: pairs with the Release of a handle that let go.
    g.join.load(Ordering::Acquire) == JOIN_DETACHED
}

/// Unbinds the stack of a goroutine that ends, and says whether its thread ends too.
#[inline(always)]
fn unbind(header: &'static StackHeader, m: &'static Machine, g: &'static Goroutine) -> bool {
    // The next goroutine on this stack is bound to nothing.
    header.pins.set(0);
    // In a pinned runtime others are bound to the thread too.
    g.has_flag(FLAG_LOCKED) && !m.shared.pinned
}

/// Ends a goroutine: its outcome is in its body, unless it was dropped. Returns the M
/// and P that its stack is on now, whether the thread ends, and the joiner that was
/// readied, which may be a thread.
#[inline(always)]
fn finish(
    header: &'static StackHeader,
    m: &'static Machine,
    p: &'static Processor,
    g: &'static Goroutine,
    dropped: bool,
) -> (&'static Machine, &'static Processor, bool, *const Goroutine) {
    let locked = unbind(header, m, g);
    g.set_status(Status::Dead);
    Processor::count(&p.ended_count);
    if dropped {
        m.shared.recycle(p, g);
        return (m, p, locked, ptr::null());
    }
    // Before the handle may free the record for another.
    // AcqRel: pairs with the Acquire of the handle, which reads the outcome,
    // and with the Release of a handle that let go.
    match g.join.swap(JOIN_DONE, Ordering::AcqRel) {
        JOIN_OPEN | JOIN_LOST => (m, p, locked, ptr::null()),
        JOIN_DETACHED => {
            let (m, p, locked) = discard(header, m, g);
            (m, p, locked, ptr::null())
        }
        waiting => {
            // SAFETY: by the table of `join`, else it is a parkable's head.
            let who =
                unsafe { Parkable::from_head(ptr::NonNull::new_unchecked(waiting as *mut _)) };
            super::park::ready_inside(m, p, who);
            (m, p, locked, waiting as *const Goroutine)
        }
    }
}

/// The handle was dropped while the goroutine ended: the outcome is dropped as the
/// goroutine's own code, outside the runtime, because a destructor may do anything.
#[cold]
#[inline(never)]
fn discard(
    header: &'static StackHeader,
    m: &'static Machine,
    g: &'static Goroutine,
) -> (&'static Machine, &'static Processor, bool) {
    m.leave(false);
    drop_outcome(g);
    crate::local::drop_all(header, g);
    let (m, p) = enter_for_good(header);
    let locked = unbind(header, m, g);
    g.set_status(Status::Dead);
    m.shared.recycle(p, g);
    (m, p, locked)
}

/// Drops the outcome of a goroutine without a handle.
fn drop_outcome(g: &'static Goroutine) {
    // SAFETY: it ended and no handle exists; this happens once.
    without_panic(|| unsafe { (g.vtable().drop_outcome)(g) });
}

/// Parks the goroutine on this stack: steps 3 of [`crate::goroutine::waiter`].
/// It is inside, and enqueued where a ready will find it. Returns when it is resumed,
/// still inside, with the M that it is on now. Blocks the goroutine.
#[inline(always)]
pub(crate) fn leave_stack(
    header: &'static StackHeader,
    m: &'static Machine,
    p: Option<&'static Processor>,
    g: &'static Goroutine,
) -> &'static Machine {
    if g.has_flag(FLAG_LOCKED) {
        return leave_locked(header, m, g);
    }
    let Some(p) = p else {
        return leave_for_g0(header, m, g);
    };
    match pick_fast(m, p) {
        Some(next) => leave_stack_for(header, m, p, g, next),
        None => leave_for_g0(header, m, g),
    }
}

/// As [`leave_stack`], with the next goroutine already picked.
#[inline(always)]
pub(crate) fn leave_stack_for(
    header: &'static StackHeader,
    m: &'static Machine,
    p: &'static Processor,
    g: &'static Goroutine,
    next: &'static Goroutine,
) -> &'static Machine {
    if ptr::eq(next, g) {
        // Readied already, and it picked itself.
        end_timing(m, p, g);
        g.set_status(Status::Running);
        return m;
    }
    match ready_context(m, p, next) {
        Some(context) => arrive(header, g, resume(m, &g.context, context)),
        None => leave_for_g0(header, m, g),
    }
}

/// Leaves the stack for g0.
#[inline(never)]
pub(crate) fn leave_for_g0(
    header: &'static StackHeader,
    m: &'static Machine,
    g: &'static Goroutine,
) -> &'static Machine {
    m.note_leave();
    m.current.store(ptr::null_mut(), Ordering::Relaxed);
    switch_to_g0(header, m, g, mcall::SCHEDULE)
}

/// In a migrating runtime: leaves the stack for an M that waits for this goroutine
/// and runs no other: it is locked to the thread, or it is unwinding,
/// and the count of panics is the thread's.
#[cold]
#[inline(never)]
fn leave_locked(
    header: &'static StackHeader,
    m: &'static Machine,
    g: &'static Goroutine,
) -> &'static Machine {
    m.note_leave();
    m.locked
        .store(ptr::from_ref(g).cast_mut(), Ordering::Release);
    m.current.store(ptr::null_mut(), Ordering::Relaxed);
    switch_to_g0(header, m, g, mcall::STOP_LOCKED)
}

/// Switches from the stack of `g`, the running goroutine, to g0.
#[inline(always)]
fn switch_to_g0(
    header: &'static StackHeader,
    m: &'static Machine,
    g: &'static Goroutine,
    request: usize,
) -> &'static Machine {
    let g0 = m.g0.load(Ordering::Relaxed);
    m.g0_fiber.leave_for(&g.context);
    // SAFETY: see `jump_to_g0`; `context` is ours while we run.
    let payload = unsafe { arch::switch(g.context.as_ptr(), g0, request) };
    arrive(header, g, payload)
}

impl Shared {
    /// On g0, after the goroutine locked to this M has parked: gives the P away
    /// and sleeps until the goroutine is readied and there is a P; then runs
    /// it. Returns the next request; `None`: the runtime shuts down.
    fn stop_locked(&'static self, m: &'static Machine) -> Option<usize> {
        self.give_up_processor(m);
        loop {
            if self.is_stopping() {
                return None;
            }
            let mut lists = self.idle.lock();
            if m.locked_ready.swap(false, Ordering::AcqRel) {
                match self.idle.acquire(&mut lists) {
                    Some(p) => {
                        drop(lists);
                        m.set_p(Some(p));
                        self.wake_sysmon();
                    }
                    None => {
                        self.idle.wait_for_p(&mut lists, m);
                        drop(lists);
                        m.sleep();
                    }
                }
                break;
            }
            lists.reserved.push(m);
            drop(lists);
            m.sleep();
            if m.held().is_some() {
                m.locked_ready.store(false, Ordering::Release);
                break;
            }
        }
        let p = m.held()?;
        let g = m.locked.load(Ordering::Acquire);
        // SAFETY: set by the goroutine before it parked; records are
        // type-stable and it has not ended.
        let g: &'static Goroutine = unsafe { &*g };
        loop {
            if let Some(context) = ready_context(m, p, g) {
                return Some(resume(m, &m.g0, context));
            }
        }
    }
}
