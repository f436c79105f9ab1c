//! sysmon: one thread a runtime. It holds no P and watches the Ms that do.
//!
//! Each round, while any P runs:
//!
//! 1. a P in the same time slice for [`SLICE_NS`] while work waits is retaken, and
//!    its goroutine is a hog if it used the CPU meanwhile;
//! 2. a goroutine in `run_next` since the last round is given to others, and
//!    the runtime becomes eager for a while (see [`super::ready`]);
//! 3. due timers of Ps that do not run are fired;
//! 4. fds are polled if no M has done so for [`POLL_NS`], or for a round while
//!    a P is idle; a goroutine found so makes the runtime eager, too;
//! 5. stacks of goroutines that have been parked for long are trimmed or
//!    compacted, a few at a time (see [`super::stacks`]);
//! 6. once a second GOMAXPROCS follows the affinity and the quota, unless it
//!    was set by hand;
//! 7. a line about all of it is written, if the environment asks for it (see
//!    [`super::schedtrace`]).
//!
//! 8. a warning is written about a thread that its goroutine has blocked for long
//!    (see [`super::blocked`]).
//!
//! When no P has run for a while it sleeps until one does, but for a look at
//! the stacks from time to time while some are to be trimmed.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::machine::Machine;
use super::pending;
use super::processor::{Processor, ProcessorStatus};
use super::runtime::Shared;
use super::schedtrace::Schedtrace;
use super::trace::event::Kind;
use crate::goroutine::{Goroutine, Parkable};
use crate::sys::{barrier, clock, futex};

/// Found by the aim that a goroutine which is due waits for a hog 12 ms at
/// most: this, and a round on either side.
const SLICE_NS: u64 = 9_000_000;
/// The least CPU time by which a goroutine that ran all that time is a hog: a
/// fifth of it, as others may want the CPU too.
const HOG_CPU_NS: u64 = 2_000_000;
const ROUND: Duration = Duration::from_nanos(ROUND_NS);
const ROUND_NS: u64 = 1_000_000;
/// How often a round tries to take a P: a goroutine that spawns in a loop is inside
/// the runtime for most of the time.
const RETAKE_TRIES: u32 = 8;
/// As in Go.
const POLL_NS: u64 = 10_000_000;
/// Rounds without a running P before the deep sleep: a burst may begin again
/// soon. They are as short as others, for a hog that begins in one of them
/// must be seen at once.
const IDLE_ROUNDS: u32 = 20;
/// Rounds that the runtime stays eager for, or remembers that there are hogs.
const EAGER_ROUNDS: u32 = 100;
const REREAD_NS: u64 = 1_000_000_000;

/// What the last round saw of a P.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slices: u32,
    since_ns: u64,
    /// Of its M's thread, a round after that.
    cpu_ns: Option<u64>,
    picks: u32,
    next: *mut Goroutine,
}

/// Whether sysmon sleeps until a P runs; Go's `sysmonwait` and `sysmonnote`.
#[derive(Debug, Default)]
pub(crate) struct SysmonWait {
    word: AtomicU32,
}

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;

/// The CPU time of the thread whose M holds this P.
fn cpu_ns_of_holder(p: &Processor) -> Option<u64> {
    // SAFETY: Ms live as long as the runtime.
    let m = unsafe { p.owner.load(Ordering::Acquire).as_ref() }?;
    m.cpu_clock.get()?.now_ns()
}

impl Shared {
    /// A P has begun to run: ends sysmon's deep sleep.
    #[inline]
    pub(crate) fn wake_sysmon(&self) {
        // SeqCst: after the P's status; see `deep_sleep`.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.sysmon_wait.word.load(Ordering::Relaxed) == ASLEEP {
            self.sysmon_wait.word.store(AWAKE, Ordering::Release);
            futex::wake(&self.sysmon_wait.word, 1);
        }
    }

    /// Sleeps until a P runs, for `timeout` at most; true if one does.
    fn deep_sleep(&'static self, timeout: Option<Duration>) -> bool {
        self.sysmon_wait.word.store(ASLEEP, Ordering::SeqCst);
        barrier::heavy();
        let asleep = || {
            self.sysmon_wait.word.load(Ordering::Acquire) == ASLEEP
                && !self.any_running()
                && !self.is_stopping()
        };
        while asleep() {
            futex::wait(&self.sysmon_wait.word, ASLEEP, timeout);
            if timeout.is_some() {
                break;
            }
        }
        let woken = !asleep();
        self.sysmon_wait.word.store(AWAKE, Ordering::Release);
        woken
    }

    fn any_running(&'static self) -> bool {
        let mut any = false;
        self.for_each_processor(|p| any |= p.status() == ProcessorStatus::Running);
        any
    }

    /// The body of the thread.
    pub(crate) fn sysmon(&'static self) {
        let mut seen: Vec<Seen> = Vec::new();
        let mut idle_rounds = 0;
        let mut sweep = super::stacks::Rounds::default();
        let mut watch = super::blocked::Watch::default();
        let mut looks = super::deadlock::Looks::default();
        let mut eager_rounds = 0u32;
        let mut hog_rounds = 0u32;
        let mut last_read_ns = clock::now_ns();
        let mut schedtrace = Schedtrace::of_environment(last_read_ns);
        while !self.is_stopping() {
            if idle_rounds >= IDLE_ROUNDS {
                // With a timeout if stacks are to be swept or a look is due.
                let line = schedtrace.as_ref().map(|line| line.pause(clock::now_ns()));
                let watch = watch.pause_ns(self, clock::now_ns());
                let watch = watch.map(Duration::from_nanos);
                let look = looks.look(self, clock::now_ns());
                let naps = [sweep.next_pass(), line, watch, look];
                if self.deep_sleep(naps.into_iter().flatten().min()) {
                    idle_rounds = 0;
                    looks = super::deadlock::Looks::default();
                    seen.clear();
                    continue;
                }
            } else {
                std::thread::sleep(ROUND);
            }
            let now = clock::now_ns();
            if let Some(line) = &mut schedtrace {
                line.tell(self, now);
            }
            let mut running = false;
            let mut picked = false;
            let mut rescued = false;
            let mut hog_found = false;
            self.for_each_processor(|p| {
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
                    if self.is_test() {
                        return;
                    }
                    if last.slices == fresh.slices {
                        keep.since_ns = last.since_ns;
                        keep.cpu_ns = last.cpu_ns.or_else(|| cpu_ns_of_holder(p));
                    }
                    if now - keep.since_ns >= SLICE_NS && self.work_waits(p) {
                        // A goroutine that waited for a CPU, or for the
                        // kernel, has used less.
                        let hogged = match (keep.cpu_ns, cpu_ns_of_holder(p)) {
                            (Some(then), Some(now)) => now.saturating_sub(then) >= HOG_CPU_NS,
                            _ => true,
                        };
                        if self.retake(p, hogged) {
                            keep.since_ns = now;
                            keep.cpu_ns = None;
                            hog_found |= hogged;
                        }
                    } else if !fresh.next.is_null()
                        && last.next == fresh.next
                        && last.picks == fresh.picks
                        && self.idle.processors_count() != 0
                    {
                        rescued |= self.rescue_next(p);
                    }
                } else if !self.is_test() {
                    self.fire_for(p);
                }
                seen[index] = keep;
            });
            watch.look(self, now);
            rescued |= self.poll_for_others();
            if rescued {
                eager_rounds = EAGER_ROUNDS;
            } else {
                eager_rounds = eager_rounds.saturating_sub(1);
            }
            self.eager
                .store(u32::from(eager_rounds > 0), Ordering::Relaxed);
            hog_rounds = match hog_found {
                true => EAGER_ROUNDS,
                false => hog_rounds.saturating_sub(1),
            };
            self.hogs_about.store(hog_rounds > 0, Ordering::Relaxed);
            sweep.saw(picked);
            self.sweep_stacks(&mut sweep, running);
            idle_rounds = match running {
                true => 0,
                false => (idle_rounds + 1).min(IDLE_ROUNDS),
            };
            if running && self.procs_follow_host() && now - last_read_ns >= REREAD_NS {
                last_read_ns = now;
                self.follow_host();
            }
        }
    }

    /// True if something waits that could run on this P.
    fn work_waits(&'static self, p: &'static Processor) -> bool {
        let timers = p.timers.next_ns();
        p.id >= self.procs()
            || p.has_work()
            || self.holder_has_pinned_work(p)
            || !self.global.is_empty()
            || self.idle.p_waiters_count() != 0
            || (timers != u64::MAX && timers <= self.now_ns())
            || (self.netpoll.waiters_count() != 0
                && self.poller.load(Ordering::Relaxed).is_null()
                && self.idle.processors_count() == 0)
    }

    /// True if others wait for the M that holds this P, and can run nowhere
    /// else.
    fn holder_has_pinned_work(&'static self, p: &'static Processor) -> bool {
        // SAFETY: Ms live as long as the runtime.
        self.pinned
            && unsafe { p.owner.load(Ordering::Acquire).as_ref() }
                .is_some_and(Machine::has_pinned_work)
    }

    /// Takes a P from the M that runs a goroutine's code on it.
    /// `hogged`: that goroutine computes, and does not wait.
    fn retake(&'static self, p: &'static Processor, hogged: bool) -> bool {
        let owner = p.owner.load(Ordering::Acquire);
        // SAFETY: Ms live as long as the runtime.
        let Some(m) = (unsafe { owner.as_ref() }) else {
            return false;
        };
        if self.retaken_count.get() as usize >= self.max_hogs() && !m.is_asleep() {
            // A hog keeps its P: the threads would not last, and it ends. One
            // that waits for something outside may wait for another goroutine.
            return false;
        }
        // Before it can have noticed and got another.
        let marked = m.mark_retaken();
        let held_ns = m.holds_for_ns();
        let before_ns = clock::now_ns();
        if !(0..RETAKE_TRIES).any(|_| m.retake(p)) {
            // If the mark is older, its P was retaken before and is being handed to
            // an M that has not taken it up yet: this M still has none.
            if marked {
                m.unmark_retaken();
            }
            return false;
        }
        m.note_retaken(hogged, held_ns);
        self.metrics.retakes_count.fetch_add(1, Ordering::Relaxed);
        self.record_retake(p, m, before_ns);
        if hogged {
            super::pick::end_long_turn(p);
            self.metrics
                .hog_retakes_count
                .fetch_add(1, Ordering::Relaxed);
            self.learn_hog(m);
        }
        self.hand_off_or_retire(p);
        true
    }

    /// Gives the goroutine in `run_next` to others.
    fn rescue_next(&'static self, p: &'static Processor) -> bool {
        let owner = p.owner.load(Ordering::Acquire);
        // SAFETY: Ms live as long as the runtime.
        let Some(m) = (unsafe { owner.as_ref() }) else {
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
        self.metrics.rescues_count.fetch_add(1, Ordering::Relaxed);
        self.record(Kind::Rescue, g.id.load(Ordering::Relaxed), 0);
        self.submit(g);
        true
    }

    /// Fires due timers of a P that does not run.
    fn fire_for(&'static self, p: &'static Processor) {
        let next = p.timers.next_ns();
        // The M in the netpoller does it, if there is one.
        if next == u64::MAX
            || next > self.now_ns()
            || !self.poller.load(Ordering::Relaxed).is_null()
        {
            return;
        }
        self.ready_taken(|ready| {
            for waker in pending::collecting(|| p.timers.poll(self.now_ns(), ready)) {
                pending::wake_in_goroutine(self, waker);
            }
            self.record(Kind::Timers, p.id as u64, ready.len() as u64);
        });
    }

    /// Polls if no M does; true if a goroutine waited for that though a P
    /// was idle.
    fn poll_for_others(&'static self) -> bool {
        let now = self.now_ns();
        let idle = self.idle.processors_count() != 0;
        let limit_ns = if idle { ROUND_NS } else { POLL_NS };
        if self.netpoll.waiters_count() == 0
            || !self.poller.load(Ordering::Relaxed).is_null()
            || now.saturating_sub(self.last_poll_ns.load(Ordering::Relaxed)) < limit_ns
        {
            return false;
        }
        self.last_poll_ns.store(now, Ordering::Relaxed);
        let any = self.ready_taken(|ready| {
            self.netpoll.poll(Some(Duration::ZERO), ready);
            if !ready.is_empty() {
                self.record(Kind::Netpoll, ready.len() as u64, 0);
            }
        });
        any && idle
    }

    /// Readies all that `take` takes out of a timer heap or the netpoller; true if there
    /// was any. The deadlock check sees them neither there nor in a queue meanwhile, so
    /// `sysmon_ready_seq` is odd.
    fn ready_taken(&'static self, take: impl FnOnce(&mut Vec<Parkable>)) -> bool {
        self.sysmon_ready_seq.fetch_add(1, Ordering::SeqCst);
        let mut ready = Vec::new();
        take(&mut ready);
        let any = !ready.is_empty();
        ready.into_iter().for_each(super::park::ready);
        self.sysmon_ready_seq.fetch_add(1, Ordering::SeqCst);
        any
    }
}
