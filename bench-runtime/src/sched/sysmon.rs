//! sysmon: one thread of each runtime. It holds no P and watches the Ms that do.
//!
//! In each round, while any P runs:
//!
//! 1. a P that has been in the same time slice for [`TIME_SLICE_NS`] while work waits is retaken.
//!    Its goroutine is a hog if it used the CPU meanwhile. If the M's thread waits for a CPU, the P
//!    is left to it for some 40 ms longer ([`EXCUSES_MOST`]);
//! 2. a goroutine that has been in `run_next` since the last round is moved to other Ps, and the
//!    runtime becomes eager for a while ([`super::migrating`]). In a pinned runtime an M is woken if
//!    a goroutine is in a queue while a P is idle ([`super::idle`]);
//! 3. due timers of Ps that do not run are fired. If a timer of a running P is due while a P is
//!    idle and no M waits for timers, an M is woken for it;
//! 4. descriptors are polled if no M has polled for a time slice, or for a round while a P is
//!    idle: a goroutine found then makes the runtime eager, too. In a pinned runtime sysmon also
//!    polls for an M whose goroutine has run for a time slice;
//! 5. once a second GOMAXPROCS follows the affinity and the quota, unless it was set explicitly;
//! 6. each [`Watch`] makes its own checks.
//!
//! When no P has run for a while, sysmon sleeps until a P runs or a watch is due.

use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{mem, ptr};

use super::machine::{Machine, TIME_SLICE_NS};
use super::processor::{Processor, ProcessorStatus, ThisP};
use super::shared::{Admission, Shared};
use super::{hand_off, ready, scheduler, this_m, wake, wakers};
use crate::goroutine::{Goroutine, Parkable};
use crate::recorder::event::Kind;
use crate::sys::clock;
use crate::sys::thread::State;

/// A tenth of a time slice: a goroutine waits for a hog for 12 ms at most, if the hog's thread and
/// sysmon get a CPU.
pub(crate) const ROUND_NS: u64 = TIME_SLICE_NS / 10;
/// With an M that was inside the runtime for nine tenths of the time, three tries of ten succeeded,
/// so one of eight nearly always does.
const RETAKE_TRIES: u32 = 8;
/// Rounds without a running P before sysmon sleeps for longer: two time slices, because a burst
/// may begin again soon.
const IDLE_ROUNDS: u64 = 2 * TIME_SLICE_NS / ROUND_NS;
/// Rounds for which the runtime stays eager, or records that there are hogs. Chosen.
///
/// Eager readying, measured by `sched_figures readied` (migrating, five interleaved repeats with it
/// and without, two CPUs that other programs used too): how late a goroutine runs that was readied
/// by a goroutine that computes. Median of the five repeats, and range.
///
/// | delay  | with                | without             |
/// |--------|---------------------|---------------------|
/// | median | 25 µs (5 to 32)     | 579 µs (429 to 599) |
/// | p90    | 72 µs (57 to 960)   | 2.0 ms (2.0 to 3.0) |
const EAGER_ROUNDS: u32 = 100;

/// An M whose thread got little CPU time although it is runnable keeps its P for [`EXCUSE_NS`] more,
/// at most so many times, until it has used a fifth of a time slice. If other programs use the CPUs,
/// or the quota is used up, another M would mostly run no earlier. Goroutines of a pinned runtime that
/// start on another M meanwhile stay there, and then the two Ms share the P: an HTTP service used up
/// to 20% more CPU time. Both numbers are chosen, not measured. Excuses are counted, not time, because
/// a quota stops sysmon too.
const EXCUSES_MOST: u32 = 10;
const EXCUSE_NS: u64 = 4 * ROUND_NS;

/// A P, as a round saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slices: u64,
    /// The round in which this time slice was seen first.
    since_ns: u64,
    /// The CPU time of its M's thread, a round after `since_ns`.
    cpu_ns: Option<u64>,
    /// The number of the M that holds it.
    owner: Option<usize>,
    /// How often the M was excused, and until when it is.
    excuses: u32,
    excused_ns: u64,
    picks: u64,
    next: *const Goroutine,
}

fn cpu_ns_of_holder(shared: &Shared, p: &Processor) -> Option<u64> {
    shared.owner_of(p)?.cpu_clock.get()?.now_ns()
}

/// True if the M keeps the P for now: an excuse lasts, or its thread is runnable and has excuses left,
/// of which this call uses up one.
fn is_excused(shared: &Shared, p: &Processor, seen: &mut Seen, now_ns: u64) -> bool {
    if now_ns < seen.excused_ns {
        return true;
    }
    let state = || shared.owner_of(p).map(|m| shared.thread_state_of(m));
    let is_excused = seen.excuses < EXCUSES_MOST && state() == Some(State::Runnable);
    if is_excused {
        seen.excuses += 1;
        seen.excused_ns = now_ns + EXCUSE_NS;
    }
    is_excused
}

#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) now_ns: u64,
    pub(crate) running: bool,
    /// A P may have picked a goroutine since the last round.
    pub(crate) picked: bool,
}

/// A check that sysmon's thread makes, and that is no part of the scheduler.
pub(crate) trait Watch {
    /// How long sysmon may sleep before the next check, while no P runs; `None`: without limit.
    fn pause(&self, shared: &'static Shared, now_ns: u64) -> Option<Duration>;

    /// Called at the end of each round.
    fn check(&mut self, shared: &'static Shared, round: &Round);
}

// Not inlined: `tests/instructions.rs` leaves its instructions out by its name.
#[inline(never)]
pub(crate) fn sysmon(shared: &'static Shared, mut watches: Vec<Box<dyn Watch>>) {
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle_rounds = 0;
    let mut eager_rounds = 0u32;
    let mut hog_rounds = 0u32;
    let mut last_read_ns = clock::now_ns();
    while !shared.is_stopping() {
        if idle_rounds >= IDLE_ROUNDS {
            // Sleeps until a watch is due, or a timer for which no M waits.
            let now = clock::now_ns();
            let pauses = watches.iter().map(|watch| watch.pause(shared, now));
            let pauses = pauses.chain([pause_for_timer(shared)]);
            let runs = |p: &Processor| p.status() == ProcessorStatus::Running;
            let is_idle = || !shared.processors().any(runs) && !shared.is_stopping();
            if shared.sysmon_wait.sleep(pauses.flatten().min(), is_idle) {
                idle_rounds = 0;
                seen.clear();
                continue;
            }
        } else {
            std::thread::sleep(Duration::from_nanos(ROUND_NS));
        }
        let now = clock::now_ns();
        let mut running = false;
        let mut picked = false;
        let mut has_queued = false;
        let mut late_found = false;
        let mut hog_found = false;
        // Sysmon may queue goroutines that have not started.
        let Some(admission) = Admission::begin(shared) else {
            break;
        };
        let has_overflow = shared.processors().any(|p| !p.overflow.is_empty());
        for p in shared.processors() {
            let current = Seen {
                slices: p.slices.load(Ordering::Relaxed),
                since_ns: now,
                cpu_ns: None,
                owner: p.owner(),
                excuses: 0,
                excused_ns: 0,
                picks: p.picks.load(Ordering::Relaxed),
                next: p
                    .run_next
                    .load(Ordering::Acquire)
                    .map_or(ptr::null(), ptr::from_ref),
            };
            if seen.len() == p.id {
                picked = true;
                seen.push(current);
            }
            let keep = &mut seen[p.id];
            let last = mem::replace(keep, current);
            picked |= last.picks != current.picks;
            if p.status() != ProcessorStatus::Running {
                fire_timers_of(shared, p);
                continue;
            }
            running = true;
            has_queued |= p.has_stealable_work();
            if shared.is_test() {
                continue;
            }
            // If another M has it now, that M's time counts from now on.
            let is_same = last.slices == current.slices && last.owner == current.owner;
            if is_same {
                *keep = Seen {
                    cpu_ns: last.cpu_ns.or_else(|| cpu_ns_of_holder(shared, p)),
                    picks: current.picks,
                    next: current.next,
                    ..last
                };
            }
            // Less a round, because the time slice began before the round that saw it first.
            let is_long = now - keep.since_ns >= TIME_SLICE_NS - ROUND_NS;
            if is_long {
                poll_for_holder(shared, p);
            }
            let may_retake = is_long && (has_overflow || work_waits(shared, p));
            // A fifth, because other threads may use the CPU too. A goroutine that waits for the
            // kernel uses less.
            let hogged = may_retake
                && match (keep.cpu_ns, cpu_ns_of_holder(shared, p)) {
                    (Some(then), Some(now)) => now.saturating_sub(then) >= TIME_SLICE_NS / 5,
                    _ => true,
                };
            // Only if its CPU time was read in an earlier round of this time slice.
            let may_excuse = !hogged && is_same && last.cpu_ns.is_some();
            if may_retake && !(may_excuse && is_excused(shared, p, keep, now)) {
                if retake(shared, p, current.slices, hogged) {
                    keep.since_ns = now;
                    keep.cpu_ns = None;
                    hog_found |= hogged;
                }
            } else if !current.next.is_null()
                && last.next == current.next
                && last.picks == current.picks
                && shared.idle.processors_count() != 0
            {
                late_found |= rescue_next(shared, p);
            }
        }
        has_queued |= !shared.global.is_empty();
        if has_queued && scheduler::may_skip_wakes(shared) {
            // If a P is idle: the spawner may have woken no M.
            wake::wake_one_noted(shared);
        }
        if shared.idle.processors_count() != 0
            && !shared.is_test()
            && !shared.poller.is_taken()
            && shared.is_due(shared.first_timer_ns())
            // A thread is not worth it: the P is retaken after its time slice.
            && !shared.idle.lock().machines.is_empty()
        {
            // A running P's own M fires them at its next pick, which may be far away.
            wake::wake_one(shared);
        }
        drop(admission);
        late_found |= poll_runtime_netpoll(shared);
        let eager = count_down(&mut eager_rounds, late_found);
        shared.eager.store(eager, Ordering::Relaxed);
        let has_recent_hog = count_down(&mut hog_rounds, hog_found);
        shared
            .has_recent_hog
            .store(has_recent_hog, Ordering::Relaxed);
        let round = Round {
            now_ns: now,
            running,
            picked,
        };
        watches
            .iter_mut()
            .for_each(|watch| watch.check(shared, &round));
        idle_rounds = match running {
            true => 0,
            false => (idle_rounds + 1).min(IDLE_ROUNDS),
        };
        if running && shared.procs.follow_host() && now - last_read_ns >= 1_000_000_000 {
            last_read_ns = now;
            if let Some(_admission) = Admission::begin(shared) {
                hand_off::follow_host(shared);
            }
        }
    }
}

/// True if `again` was true in one of the last [`EAGER_ROUNDS`] calls.
fn count_down(rounds: &mut u32, again: bool) -> bool {
    *rounds = match again {
        true => EAGER_ROUNDS,
        false => rounds.saturating_sub(1),
    };
    *rounds > 0
}

fn work_waits(shared: &'static Shared, p: &'static Processor) -> bool {
    p.id >= shared.procs()
        || p.has_work()
        // Goroutines that only the M of this P may run.
        || shared.owner_of(p).is_some_and(Machine::has_pinned_work)
        || !shared.global.is_empty()
        || shared.idle.p_waiters_count() != 0
        || shared.is_due(p.timers.next_ns())
        || (shared.netpoll.waiters_count() != 0
            && !shared.poller.is_taken()
            && shared.idle.processors_count() == 0)
}

/// `slices`: the time slice in which the P was seen.
fn retake(shared: &'static Shared, p: &'static Processor, slices: u64, hogged: bool) -> bool {
    let Some(m) = shared.owner_of(p) else {
        return false;
    };
    if shared.retaken_count.get() as usize >= shared.threads.max_hogs()
        && shared.thread_state_of(m) != State::Asleep
    {
        // Too many threads have lost their P, so this one keeps it, unless it sleeps: then it may
        // wait for a goroutine that needs the P.
        return false;
    }
    let held_ns = m.holds_for_ns();
    let before_ns = clock::now_ns();
    let is_retaken = (0..RETAKE_TRIES).any(|_| {
        // In another time slice another goroutine runs.
        p.slices.load(Ordering::Relaxed) == slices
            && m.retake(p, || {
                this_m::mark_retaken(shared, m);
                m.note_retaken(hogged, held_ns);
                shared.idle.note_wake(m, || held_ns);
            })
    });
    if !is_retaken {
        return false;
    }
    shared.metrics.retakes_count.fetch_add(1, Ordering::Relaxed);
    shared.record_retake(p, m, before_ns);
    if hogged {
        // SAFETY: it was retaken, and no M has it.
        super::pick::delay_hog_turn(unsafe { ThisP::new(p) });
        shared
            .metrics
            .hog_retakes_count
            .fetch_add(1, Ordering::Relaxed);
        scheduler::hogged(shared, m);
    }
    hand_off::hand_off(shared, p);
    true
}

/// Moves `run_next` to the global queue; false if it is empty by now.
fn rescue_next(shared: &'static Shared, p: &'static Processor) -> bool {
    let Some(m) = shared.owner_of(p) else {
        return false;
    };
    let mut next = None;
    m.borrow(p, || next = p.run_next.swap(None, Ordering::AcqRel));
    let Some(g) = next else {
        return false;
    };
    shared.metrics.rescues_count.fetch_add(1, Ordering::Relaxed);
    shared
        .recorder
        .record(Kind::Rescue, g.id.load(Ordering::Relaxed), 0);
    ready::submit(shared, g);
    true
}

/// The time until the first timer, if no M waits for it.
fn pause_for_timer(shared: &'static Shared) -> Option<Duration> {
    if shared.is_test() || shared.poller.is_taken() {
        return None;
    }
    let first = shared.first_timer_ns();
    (first != u64::MAX).then(|| Duration::from_nanos(first.saturating_sub(shared.now_ns())))
}

fn fire_timers_of(shared: &'static Shared, p: &'static Processor) {
    // The M in the netpoller fires them, if there is one.
    if shared.is_test() || !shared.is_due(p.timers.next_ns()) || shared.poller.is_taken() {
        return;
    }
    ready_taken(shared, |ready| {
        for waker in wakers::collecting(|| p.timers.poll(shared.now_ns(), ready)) {
            wakers::wake_in_goroutine(shared, waker);
        }
        shared
            .recorder
            .record(Kind::Timers, p.id as u64, ready.len() as u64);
    });
}

/// True if it found a goroutine while a P was idle.
fn poll_runtime_netpoll(shared: &'static Shared) -> bool {
    let now = shared.now_ns();
    let idle = shared.idle.processors_count() != 0;
    // Without an idle P: Go's figure.
    let limit_ns = if idle { ROUND_NS } else { TIME_SLICE_NS };
    if shared.netpoll.waiters_count() == 0
        || shared.poller.is_taken()
        || now.saturating_sub(shared.poller.polled_ns()) < limit_ns
    {
        return false;
    }
    shared.poller.note_poll(now);
    let any = ready_taken(shared, |ready| {
        shared.netpoll.poll(Some(Duration::ZERO), ready);
        if !ready.is_empty() {
            shared.recorder.record(Kind::Netpoll, ready.len() as u64, 0);
        }
    });
    any && idle
}

/// In a pinned runtime: polls for the M that holds this P, and whose goroutine has run for long.
fn poll_for_holder(shared: &'static Shared, p: &'static Processor) {
    if let Some(own) = shared.owner_of(p).and_then(Machine::awaited_netpoll) {
        ready_taken(shared, |ready| own.poll(Some(Duration::ZERO), ready));
    }
}

/// Readies all that `take` takes out of timers or a poller; true if there was any. Until then they
/// are in no queue, so `sysmon_ready_seq` is odd for the deadlock check.
fn ready_taken(shared: &'static Shared, take: impl FnOnce(&mut Vec<Parkable>)) -> bool {
    shared.sysmon_ready_seq.fetch_add(1, Ordering::SeqCst);
    let mut ready = Vec::new();
    take(&mut ready);
    let any = !ready.is_empty();
    let mut wakers = Vec::new();
    for who in ready {
        super::readied::ready_later(who, &mut wakers);
    }
    // Not on this thread: a waker is the program's code, and may take long.
    for waker in wakers {
        wakers::wake_in_goroutine(shared, waker);
    }
    shared.sysmon_ready_seq.fetch_add(1, Ordering::SeqCst);
    any
}
