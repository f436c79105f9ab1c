//! The thread of an M: Go's `mstart` and `schedule`.

use std::sync::atomic::Ordering;

use super::machine::Machine;
use super::processor::ThisP;
use super::shared::Shared;
use super::switch::{mcall, ready_context, resume};
use super::this_m::{self, ThisM};
use super::{current, find_runnable, hand_off, scheduler};
use crate::goroutine::Goroutine;
use crate::recorder::event::Kind;
use crate::sys::clock::CpuClock;
use crate::sys::thread::ThreadId;
use crate::threads::ThreadEnd;

/// Returns how the thread ends.
pub(crate) fn machine_main(m: &'static Machine) -> ThreadEnd {
    // SAFETY: this thread was started for this M.
    let m = unsafe { ThisM::new(m) };
    current::set_thread_machine(Some(m));
    let _guard = match crate::stack::overflow::install_for_thread() {
        Ok(guard) => guard,
        Err(error) => crate::fatal::fatal!("cannot give a thread its signal stack: {error}"),
    };
    if let Some(clock) = CpuClock::of_this_thread() {
        let _ = m.cpu_clock.set(clock);
    }
    let _ = m.thread_id.set(ThreadId::of_this_thread());
    let shared = m.shared();
    m.own().g0_fiber.begin();
    m.sleep();
    while let Some(g) = find_runnable::find_runnable(shared, m) {
        let p = held(m);
        let mut request = match ready_context(m, p, g) {
            Ok(context) => resume(m, &m.own().g0, context),
            Err(request) => request,
        };
        while request == mcall::STOP_LOCKED {
            // `None`: the runtime stops, which `find_runnable` sees next.
            request = stop_locked(shared, m).unwrap_or(mcall::SCHEDULE);
        }
        match request {
            mcall::SCHEDULE => {}
            mcall::EXIT_THREAD => {
                hand_off::give_up_processor(shared, m);
                break;
            }
            fresh => {
                // SAFETY: any other request is the address of a record, which is type-stable.
                let fresh = unsafe { &*(fresh as *const Goroutine) };
                scheduler::start_elsewhere(m, held(m), fresh);
            }
        }
    }
    let end = scheduler::thread_end(shared, &m);
    // From here on it is a plain thread: it may drop values of the program, which call the runtime.
    current::set_thread_machine(None);
    shared.idle.end_spinning(m.machine());
    this_m::unmark_retaken(shared, m.machine());
    shared.recorder.record(Kind::ThreadEnd, m.id as u64, 0);
    end
}

fn held(m: ThisM) -> ThisP {
    match m.held() {
        Some(p) => p,
        None => crate::fatal::fatal!("an M found work without a P"),
    }
}

/// After the goroutine locked to this M has parked: gives the P away and sleeps until the
/// goroutine is readied and there is a P; then runs it. Returns the next request; `None`: the
/// runtime shuts down.
fn stop_locked(shared: &'static Shared, m: ThisM) -> Option<usize> {
    hand_off::give_up_processor(shared, m);
    loop {
        if shared.is_stopping() {
            return None;
        }
        let mut lists = shared.idle.lock();
        if m.locked_ready.swap(false, Ordering::AcqRel) {
            m.acquire_or_wait(lists);
            break;
        }
        lists.reserved.push_back(m.machine());
        drop(lists);
        m.sleep();
        if m.held().is_some() {
            m.locked_ready.store(false, Ordering::Release);
            break;
        }
    }
    let p = m.held()?;
    // The goroutine stored itself before it parked.
    let g = m.locked.load(Ordering::Acquire)?;
    loop {
        if let Ok(context) = ready_context(m, p, g) {
            return Some(resume(m, &m.own().g0, context));
        }
    }
}
