//! Waking: the W steps of [`super::idle`], and the threads that are woken or started.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::current;
use super::idle::{Lists, take};
use super::machine::Machine;
use super::processor::Processor;
use super::shared::Shared;
use crate::recorder::event::Kind;
use crate::stack::{Class, Stack};
use crate::sys::{affinity, barrier, thread_end};
use crate::threads::count::ThreadKind;
use crate::threads::{self, HELPER_STACK, THREAD_STACK, ThreadEnd};

/// Wakes a sleeping M with this P, or starts a new one.
pub(super) fn start_machine(
    shared: &'static Shared,
    lists: &mut Lists,
    p: &'static Processor,
    spinning: bool,
) {
    let m = sleeping_or_new(shared, lists);
    m.spinning.store(spinning, Ordering::Relaxed);
    m.wake(Some(p));
}

fn sleeping_or_new(shared: &'static Shared, lists: &mut Lists) -> &'static Machine {
    let asleep = lists.machines.pop_back();
    asleep.unwrap_or_else(|| new_machine(shared))
}

/// Makes an M, whose thread sleeps until it is woken with a P.
pub(super) fn new_machine(shared: &'static Shared) -> &'static Machine {
    let m = add_machine(shared);
    start_thread(shared, ThreadKind::Machine, name_of(m), move || {
        (shared.entries.machine)(m)
    });
    m
}

fn add_machine(shared: &'static Shared) -> &'static Machine {
    let mut machines = shared.machines.lock();
    let m: &'static Machine = Box::leak(Box::new(Machine::new(
        machines.len(),
        ptr::from_ref(shared).cast(),
    )));
    machines.push(m);
    drop(machines);
    shared.recorder.record(Kind::ThreadStart, m.id as u64, 0);
    m
}

fn name_of(m: &Machine) -> String {
    format!("m{}", m.id)
}

/// Starts the Ms of a new runtime: one for each P, but at most one for each CPU, and for half of
/// the threads that the runtime may have. Waits until they sleep, for [`MOST_START`] at most. An M
/// that is started by one that computes mostly gets that one's CPU, and shares it for milliseconds:
/// SPEED.md, "The second P". If the kernel refuses a thread, one is started when it is needed; if it
/// is refused again, the process ends.
pub(crate) fn start_machines(shared: &'static Shared) {
    if threads::is_bound() || !has_room_to_start() {
        // The threads would inherit what a goroutine has changed, or this stack is too small.
        return;
    }
    let most = affinity::cpus().len().min(shared.threads.max_hogs());
    // The first one is there: `resize_to` has woken it.
    for _ in shared.threads.machines_count()..shared.procs().min(most) {
        let m = add_machine(shared);
        shared.threads.begin(ThreadKind::Machine);
        let body = thread_body(shared, ThreadKind::Machine, move || {
            (shared.entries.machine)(m)
        });
        if threads::start(&name_of(m), THREAD_STACK, body).is_err() {
            // The M without a thread stays: nothing wakes it.
            shared.threads.end(ThreadKind::Machine);
            break;
        }
        let mut lists = shared.idle.lock();
        match shared.idle.acquire(&mut lists) {
            Some(p) => m.wake(Some(p)),
            None => lists.machines.push_back(m),
        }
    }
    let begin = Instant::now();
    // An idle P is not enough: its M may be between S1 and S4, where nobody can wake it.
    let sleeps = || shared.idle.lock().machines.len() >= shared.threads.machines_count();
    while !sleeps() && begin.elapsed() < MOST_START {
        // Not a spin: the threads need this thread's CPU.
        thread::sleep(Duration::from_micros(20));
    }
}

/// A thread takes some 50 µs to start and to rest.
const MOST_START: Duration = Duration::from_millis(1);

/// Bytes of stack with which libc can start a thread. It needs a few KiB, mostly for the loader,
/// which saves the vector registers. Chosen.
const START_STACK: usize = 32 << 10;

fn has_room_to_start() -> bool {
    current::header()
        .is_none_or(|header| Stack::from_header(NonNull::from(header)).usable() >= START_STACK)
}

/// Called before goroutines with stacks of this class start. If these stacks are too small to
/// start a thread, another thread starts those that such goroutines need.
pub(crate) fn prepare_for(class: Class) {
    if class.usable() < START_STACK {
        threads::starter();
    }
}

pub(super) fn start_thread(
    shared: &'static Shared,
    kind: ThreadKind,
    name: String,
    body: impl FnOnce() -> ThreadEnd + Send + 'static,
) {
    let running = shared.threads.begin(kind);
    let stack = match kind {
        ThreadKind::Machine => THREAD_STACK,
        ThreadKind::Helper => HELPER_STACK,
    };
    threads::on_clean_thread(!has_room_to_start(), move || {
        if let Err(error) = threads::start(&name, stack, thread_body(shared, kind, body)) {
            crate::fatal::fatal!("{error}; {running} exist for goroutines");
        }
    });
}

fn thread_body(
    shared: &'static Shared,
    kind: ThreadKind,
    body: impl FnOnce() -> ThreadEnd + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    let user = shared.user();
    move || {
        let end = body();
        (shared.entries.thread_ends)(shared, kind);
        drop(user);
        if end == ThreadEnd::KeepsLocals {
            thread_end::end_without_destructors();
        }
    }
}

/// Steps W2 and W3 of [`super::idle`].
#[inline(always)]
pub(super) fn wake_one(shared: &'static Shared) {
    wake_if_idle(shared, false);
}

/// As [`wake_one`], by a goroutine that spawns by `go`, or by sysmon in its place: whether the wake
/// pays is noted.
#[inline(always)]
pub(super) fn wake_one_noted(shared: &'static Shared) {
    wake_if_idle(shared, true);
}

#[inline(always)]
fn wake_if_idle(shared: &'static Shared, is_noted: bool) {
    barrier::light(); // W2
    if shared.idle.processors_count() != 0
        && shared.idle.spinning_count.load(Ordering::Relaxed) == 0
    {
        wake_one_slow(shared, is_noted); // W3
    }
}

/// As [`wake_one_noted`], but wakes no M if such wakes do not pay.
#[inline(always)]
pub(super) fn wake_one_if_it_pays(shared: &'static Shared) {
    if shared.idle.wakes_pay() {
        wake_one_noted(shared);
    }
}

#[cold]
#[inline(never)]
fn wake_one_slow(shared: &'static Shared, is_noted: bool) {
    if !shared.idle.claim_spinning() {
        return;
    }
    shared.metrics.wakes_count.fetch_add(1, Ordering::Relaxed);
    let mut lists = shared.idle.lock();
    let Some(p) = shared.idle.acquire(&mut lists) else {
        shared.idle.spinning_count.fetch_sub(1, Ordering::AcqRel);
        return;
    };
    let m = sleeping_or_new(shared, &mut lists);
    m.spinning.store(true, Ordering::Relaxed);
    m.wake_is_noted.store(is_noted, Ordering::Relaxed);
    m.wake(Some(p));
}

/// Wakes an M for a goroutine that only it may run, if it sleeps. By the barriers of
/// [`super::idle`] either the M sees the goroutine in its inbox, or this function finds the M on
/// the list.
#[cold]
pub(super) fn notify_machine(shared: &'static Shared, m: &'static Machine) {
    // The caller has stored to the inbox. The M first stores `resting`, then loads its inbox, with
    // a heavy barrier between.
    barrier::light();
    let is_locked = m.locked_ready.load(Ordering::Relaxed);
    if !is_locked && !m.resting.load(Ordering::Relaxed) {
        return;
    }
    // SeqCst: the store to the inbox comes before the check of the list, which is under its lock.
    std::sync::atomic::fence(Ordering::SeqCst);
    let mut lists = shared.idle.lock();
    // A reserved M runs only its locked goroutine, and a wake means that this goroutine is ready.
    let asleep = take(&mut lists.machines, m)
        || (m.locked_ready.load(Ordering::Acquire) && take(&mut lists.reserved, m));
    if !asleep {
        return;
    }
    match shared.idle.acquire(&mut lists) {
        Some(p) => m.wake(Some(p)),
        None => {
            shared.idle.push_p_waiter(&mut lists, m);
            // If it sleeps in a poller, it leaves the poller and waits on its futex for the P.
            m.interrupt_polling();
        }
    }
}

/// Interrupts the M that waits for the first timer, if that timer is later than this one.
#[inline]
pub(super) fn timer_armed(shared: &'static Shared, when_ns: u64) {
    // The timer was armed before. The M that polls first stores `u64::MAX` as the poller's
    // deadline, then looks for timers, with a heavy barrier between.
    barrier::light();
    shared.poller.interrupt_after(when_ns);
}

/// The spinner that finds work wakes the next one.
pub(super) fn stop_spinning(shared: &'static Shared, m: &'static Machine) {
    if shared.idle.end_spinning(m) {
        wake_one(shared);
    }
}
