//! sysmon: one thread a runtime. It holds no P and watches the Ms that do.
//!
//! Each round, while any P runs:
//!
//! 1. a P in the same time slice for [`TIME_SLICE_NS`] while work waits is retaken, and
//!    its goroutine is a hog if it used the CPU meanwhile;
//! 2. a goroutine in `run_next` since the last round is moved to other Ps, and
//!    the runtime becomes eager for a while (see [`super::migrating`]);
//! 3. due timers of Ps that do not run are fired;
//! 4. fds are polled if no M has done so for as long, or for a round while a P
//!    is idle; a goroutine found in this way makes the runtime eager, too. In a pinned runtime
//!    those of an M whose goroutine has run for a time slice are polled as well;
//! 5. once a second GOMAXPROCS follows the affinity and the quota, unless it was set explicitly;
//! 6. each [`Watch`] checks what is its own: stacks of goroutines that have been parked for
//!    long, threads that are blocked for long, deadlocks.
//!
//! When no P has run for a while it sleeps until one does, or until a watch is due.

use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::machine::{Machine, TIME_SLICE_NS};
use super::newproc::Admission;
use super::processor::{Processor, ProcessorStatus, ThisP};
use super::shared::Shared;
use super::{hand_off, ready, scheduler, this_m, wakers};
use crate::goroutine::{Goroutine, Parkable};
use crate::recorder::event::Kind;
use crate::sys::clock;

/// A round, in nanoseconds: a tenth of a time slice, so that a due goroutine waits for a hog
/// 12 ms at most.
pub(crate) const ROUND_NS: u64 = TIME_SLICE_NS / 10;
/// How often a round tries to take a P. From an M that was inside the runtime for nine tenths of
/// the time, three tries of ten took it.
const RETAKE_TRIES: u32 = 8;
/// Rounds without a running P before the deep sleep, two time slices: a burst may begin again
/// soon. They are as short as others, for a hog that begins in one of them
/// must be seen at once.
const IDLE_ROUNDS: u64 = 2 * TIME_SLICE_NS / ROUND_NS;
/// Rounds for which the runtime stays eager, or records that there are hogs. Chosen, not measured.
const EAGER_ROUNDS: u32 = 100;

/// The state of a P in the last round.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slices: u32,
    since_ns: u64,
    /// Of its M's thread, a round after that.
    cpu_ns: Option<u64>,
    picks: u32,
    next: *mut Goroutine,
}

/// The CPU time of the thread whose M holds this P.
fn cpu_ns_of_holder(shared: &Shared, p: &Processor) -> Option<u64> {
    shared.owner_of(p)?.cpu_clock.get()?.now_ns()
}

fn any_running(shared: &'static Shared) -> bool {
    let mut any = false;
    shared.for_each_processor(|p| any |= p.status() == ProcessorStatus::Running);
    any
}

/// What a round of sysmon has seen.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) now_ns: u64,
    /// A P runs.
    pub(crate) running: bool,
    /// A P may have picked a goroutine since the last round.
    pub(crate) picked: bool,
}

/// What is done by sysmon's thread, and is no part of the scheduler.
pub(crate) trait Watch {
    /// How long sysmon may sleep before the next check is due, while no P runs; `None`: for
    /// ever.
    fn pause(&self, shared: &'static Shared, now_ns: u64) -> Option<Duration>;

    /// Checks, if it is time. Called at the end of each round.
    fn check(&mut self, shared: &'static Shared, round: &Round);
}

/// The body of the thread.
pub(crate) fn sysmon(shared: &'static Shared, mut watches: Vec<Box<dyn Watch>>) {
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle_rounds = 0;
    let mut eager_rounds = 0u32;
    let mut hog_rounds = 0u32;
    let mut last_read_ns = clock::now_ns();
    while !shared.is_stopping() {
        if idle_rounds >= IDLE_ROUNDS {
            // With a timeout if stacks must be swept, a check is due, or a timer that no M
            // waits for.
            let now = clock::now_ns();
            let pauses = watches.iter().map(|watch| watch.pause(shared, now));
            let pauses = pauses.chain([pause_for_timer(shared)]);
            let is_idle = || !any_running(shared) && !shared.is_stopping();
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
        let mut rescued = false;
        let mut hog_found = false;
        // The goroutines of a P may not have started.
        let Some(admission) = Admission::begin(shared) else {
            break;
        };
        shared.for_each_processor(|p| {
            let index = p.id;
            let fresh = Seen {
                slices: p.slices.load(Ordering::Relaxed),
                since_ns: now,
                cpu_ns: None,
                picks: p.picks.load(Ordering::Relaxed),
                next: p.run_next.load(Ordering::Acquire),
            };
            while seen.len() <= index {
                picked = true;
                seen.push(fresh);
            }
            let last = seen[index];
            picked |= last.picks != fresh.picks;
            let mut keep = fresh;
            if p.status() == ProcessorStatus::Running {
                running = true;
                if shared.is_test() {
                    return;
                }
                if last.slices == fresh.slices {
                    keep.since_ns = last.since_ns;
                    keep.cpu_ns = last.cpu_ns.or_else(|| cpu_ns_of_holder(shared, p));
                }
                // A round less: this one may have come late.
                let is_long = now - keep.since_ns >= TIME_SLICE_NS - ROUND_NS;
                if is_long {
                    poll_for_holder(shared, p);
                }
                if is_long && work_waits(shared, p) {
                    // It computes if it has used a fifth of the time: other threads
                    // may use the CPU too. A goroutine that waits for the kernel has used
                    // less.
                    let hogged = match (keep.cpu_ns, cpu_ns_of_holder(shared, p)) {
                        (Some(then), Some(now)) => now.saturating_sub(then) >= TIME_SLICE_NS / 5,
                        _ => true,
                    };
                    if retake(shared, p, fresh.slices, hogged) {
                        keep.since_ns = now;
                        keep.cpu_ns = None;
                        hog_found |= hogged;
                    }
                } else if !fresh.next.is_null()
                    && last.next == fresh.next
                    && last.picks == fresh.picks
                    && shared.idle.processors_count() != 0
                {
                    rescued |= rescue_next(shared, p);
                }
            } else if !shared.is_test() {
                fire_for(shared, p);
            }
            seen[index] = keep;
        });
        drop(admission);
        rescued |= poll_for_others(shared);
        let eager = count_down(&mut eager_rounds, rescued);
        shared.eager.store(eager, Ordering::Relaxed);
        let hogs_about = count_down(&mut hog_rounds, hog_found);
        shared.hogs_about.store(hogs_about, Ordering::Relaxed);
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

/// True for [`EAGER_ROUNDS`] after `again` was true.
fn count_down(rounds: &mut u32, again: bool) -> bool {
    *rounds = if again {
        EAGER_ROUNDS
    } else {
        rounds.saturating_sub(1)
    };
    *rounds > 0
}

/// True if something waits that could run on this P.
fn work_waits(shared: &'static Shared, p: &'static Processor) -> bool {
    let timers = p.timers.next_ns();
    p.id >= shared.procs()
        || p.has_work()
        // Others wait for the M that holds it, and can run nowhere else.
        || shared.owner_of(p).is_some_and(Machine::has_pinned_work)
        || !shared.global.is_empty()
        || shared.idle.p_waiters_count() != 0
        || (timers != u64::MAX && timers <= shared.now_ns())
        || (shared.netpoll.waiters_count() != 0
            && !shared.poller.is_taken()
            && shared.idle.processors_count() == 0)
}

/// Takes a P from the M that runs a goroutine's code on it.
/// `slices`: the time slice in which it was seen. `hogged`: that goroutine computes, and does not wait.
fn retake(shared: &'static Shared, p: &'static Processor, slices: u32, hogged: bool) -> bool {
    let Some(m) = shared.owner_of(p) else {
        return false;
    };
    if shared.retaken_count.get() as usize >= shared.threads.max_hogs()
        && !(shared.settings.reads_files && m.is_asleep())
    {
        // A hog keeps its P: the threads would not last, and it ends. A
        // goroutine that waits for something outside may wait for another
        // goroutine.
        return false;
    }
    let held_ns = m.holds_for_ns();
    let before_ns = clock::now_ns();
    let is_retaken = (0..RETAKE_TRIES).any(|_| {
        // Another time slice is no longer that of the goroutine which was seen.
        p.slices.load(Ordering::Relaxed) == slices
            && m.retake(p, || {
                this_m::mark_retaken(shared, m);
                m.note_retaken(hogged, held_ns);
            })
    });
    if !is_retaken {
        return false;
    }
    shared.metrics.retakes_count.fetch_add(1, Ordering::Relaxed);
    shared.record_retake(p, m, before_ns);
    if hogged {
        // SAFETY: it was retaken, and no M has it.
        super::pick::end_long_turn(unsafe { ThisP::new(p) });
        shared
            .metrics
            .hog_retakes_count
            .fetch_add(1, Ordering::Relaxed);
        scheduler::hogged(shared, m);
    }
    hand_off::hand_off_or_retire(shared, p);
    true
}

/// Gives the goroutine in `run_next` to others.
fn rescue_next(shared: &'static Shared, p: &'static Processor) -> bool {
    let Some(m) = shared.owner_of(p) else {
        return false;
    };
    let mut next = ptr::null_mut();
    m.borrow(p, || {
        next = p.run_next.swap(ptr::null_mut(), Ordering::AcqRel)
    });
    // SAFETY: records are type-stable; we took it out of the slot.
    let Some(g) = (unsafe { next.as_ref() }) else {
        return false;
    };
    shared.metrics.rescues_count.fetch_add(1, Ordering::Relaxed);
    shared
        .recorder
        .record(Kind::Rescue, g.id.load(Ordering::Relaxed), 0);
    ready::submit(shared, g);
    true
}

/// How long it is to the first timer, if no M waits for it.
fn pause_for_timer(shared: &'static Shared) -> Option<Duration> {
    if shared.is_test() || shared.poller.is_taken() {
        return None;
    }
    let first = shared.first_timer_ns();
    (first != u64::MAX).then(|| Duration::from_nanos(first.saturating_sub(shared.now_ns())))
}

/// Fires due timers of a P that does not run.
fn fire_for(shared: &'static Shared, p: &'static Processor) {
    let next = p.timers.next_ns();
    // The M in the netpoller does it, if there is one.
    if next == u64::MAX || next > shared.now_ns() || shared.poller.is_taken() {
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

/// Polls if no M does; true if a goroutine waited for that although a P was idle.
fn poll_for_others(shared: &'static Shared) -> bool {
    let now = shared.now_ns();
    let idle = shared.idle.processors_count() != 0;
    // As in Go, while none is.
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

/// In a pinned runtime: polls for the M that holds this P and has had no time to do so.
fn poll_for_holder(shared: &'static Shared, p: &'static Processor) {
    if let Some(m) = shared.owner_of(p)
        && m.has_own_fds()
        && let Some(own) = m.own_netpoll()
    {
        ready_taken(shared, |ready| own.poll(Some(Duration::ZERO), ready));
    }
}

/// Readies all that `take` takes out of a timer heap or the netpoller; true if there
/// was any. The deadlock check sees them neither there nor in a queue meanwhile, so
/// `sysmon_ready_seq` is odd.
fn ready_taken(shared: &'static Shared, take: impl FnOnce(&mut Vec<Parkable>)) -> bool {
    shared.sysmon_ready_seq.fetch_add(1, Ordering::SeqCst);
    let mut ready = Vec::new();
    take(&mut ready);
    let any = !ready.is_empty();
    let mut wakers = Vec::new();
    for who in ready {
        super::readied::ready_later(who, &mut wakers);
    }
    // Not here: a waker is the program's code, and may take long.
    for waker in wakers {
        wakers::wake_in_goroutine(shared, waker);
    }
    shared.sysmon_ready_seq.fetch_add(1, Ordering::SeqCst);
    any
}
