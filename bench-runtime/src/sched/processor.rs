//! P: the right to run goroutines, and what goes with it: a run queue, caches
//! and timers. There are GOMAXPROCS of them.
//!
//! | `status`  | its holder                                                  |
//! |-----------|-------------------------------------------------------------|
//! | `Idle`    | the idle list                                               |
//! | `Running` | one M; `owner` names it                                     |
//! | `Dead`    | none: its number is not below GOMAXPROCS                    |

use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use super::latency;
use super::run_queue::RunQueue;
use super::trace::event::{Event, Kind};
use super::trace::recorder::{self, Recorder, SAMPLE, SWITCHES, id_of, site_event};
use super::trace::ring::Ring;
use crate::goroutine::{Goroutine, Parkable, slab};
use crate::stack::pool::StackCache;
use crate::sys::clock;
use crate::timer::Timers;
use crate::util::rng::Rng;

/// See the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ProcessorStatus {
    Idle,
    Running,
    Dead,
}

/// In [`Processor::owner`]: none.
const NO_OWNER: usize = usize::MAX;

/// A P.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Processor {
    pub(crate) id: usize,
    /// The goroutine to run before all in the queue; it inherits the time
    /// slice of the goroutine that readied it. Only the owner touches it, with plain
    /// loads and stores; when an M holds its P too long, the whole P is
    /// retaken, and this with it.
    pub(crate) run_next: AtomicPtr<Goroutine>,
    /// A request to the owner to call `handle_notice` before its next pick.
    pub(crate) notice: AtomicBool,
    /// What is recorded or timed beyond the usual; only the owner touches it.
    pub(crate) watch: AtomicU8,
    status: AtomicU8,
    /// Grows with each pick. The owner stores, sysmon reads.
    pub(crate) picks: AtomicU32,
    /// Grows with each pick that begins a new time slice. The owner stores,
    /// sysmon reads.
    pub(crate) slices: AtomicU32,
    /// The number of the M that holds it, while it is running, or [`NO_OWNER`].
    owner: AtomicUsize,
    own: UnsafeCell<Own>,
    /// Spawned through this P, in all.
    pub(crate) spawned_count: AtomicU64,
    /// Ended on this P, in all.
    pub(crate) ended_count: AtomicU64,
    /// Taken from other Ps, in all.
    pub(crate) stolen_count: AtomicU64,
    /// How often, in all.
    pub(crate) thefts_count: AtomicU64,
    /// What the queues held from which they were taken, in all.
    pub(crate) thefts_found_count: AtomicU64,
    pub(crate) queue: RunQueue<Goroutine>,
    /// Its part of the flight recorder. Only the owner writes.
    pub(crate) ring: Ring,
    pub(crate) sample: latency::Sample,
    pub(crate) latencies: latency::Counts,
    /// Used again after the P's end: see [`super::lifetime`].
    pub(crate) timers: &'static Timers,
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.timers.give_back();
    }
}

// SAFETY: `own` is reached only by the M that holds the P; see `own`.
unsafe impl Sync for Processor {}
// SAFETY: as above.
unsafe impl Send for Processor {}

/// What only the M that holds the P touches.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) stacks: StackCache,
    pub(crate) records: slab::Cache,
    pub(crate) next_id: u64,
    pub(crate) end_id: u64,
    /// Picks since the last turn of looking elsewhere first.
    pub(crate) sched_tick: u32,
    /// The P was given to the first of its queue at this tick already: that M makes the
    /// check itself, or the P would go round and no goroutine run.
    pub(crate) given_at_tick: bool,
    /// Turns of looking elsewhere first so far.
    pub(crate) turns: u32,
    /// The last pick of two began with the P's queue; in a pinned runtime.
    pub(crate) fresh_first: bool,
    /// The last pick was of mail; in a pinned runtime.
    pub(crate) mail_had_turn: bool,
    /// Picks of `run_next` in the slice that all of them share.
    pub(crate) streak: u32,
    /// When that slice began, if it is some picks old.
    pub(crate) streak_began_ns: u64,
    /// When one that runs for long last came before others, in nanoseconds.
    pub(crate) long_turn_ns: u64,
    /// How often that was so.
    pub(crate) long_turns: u32,
    pub(crate) rng: Rng,
    /// Empty between uses; kept for its memory.
    pub(crate) ready: Vec<Parkable>,
}

impl Processor {
    pub(crate) fn new(id: usize) -> Self {
        Self {
            id,
            run_next: AtomicPtr::new(ptr::null_mut()),
            notice: AtomicBool::new(true),
            // The notice makes it what the level asks for.
            watch: AtomicU8::new(SAMPLE),
            status: AtomicU8::new(ProcessorStatus::Dead as u8),
            picks: AtomicU32::new(0),
            slices: AtomicU32::new(0),
            owner: AtomicUsize::new(NO_OWNER),
            own: UnsafeCell::new(Own {
                stacks: StackCache::new(),
                records: slab::Cache::new(),
                next_id: 0,
                end_id: 0,
                sched_tick: 0,
                given_at_tick: false,
                turns: 0,
                fresh_first: false,
                mail_had_turn: false,
                streak: 0,
                streak_began_ns: 0,
                long_turn_ns: 0,
                long_turns: 0,
                rng: Rng::new(id as u64),
                ready: Vec::new(),
            }),
            spawned_count: AtomicU64::new(0),
            ended_count: AtomicU64::new(0),
            stolen_count: AtomicU64::new(0),
            thefts_count: AtomicU64::new(0),
            thefts_found_count: AtomicU64::new(0),
            queue: RunQueue::new(),
            ring: recorder::new_ring(),
            sample: latency::Sample::default(),
            latencies: latency::Counts::new(),
            timers: Timers::take(),
        }
    }

    /// What belongs to the holder.
    ///
    /// # Safety
    ///
    /// The caller's M holds this P and is inside the runtime, so that sysmon
    /// can retake it; no other reference from here is in use.
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "exclusive by the caller's promise")]
    pub(crate) unsafe fn own(&self) -> &mut Own {
        // SAFETY: exclusive by the caller's promise.
        unsafe { &mut *self.own.get() }
    }

    /// The number of the M that holds it; stale once it is read.
    pub(crate) fn owner(&self) -> Option<usize> {
        // Acquire: pairs with the Release in `set_owner`.
        let id = self.owner.load(Ordering::Acquire);
        (id != NO_OWNER).then_some(id)
    }

    /// Notes the M that is about to take it up, or that none has it.
    pub(crate) fn set_owner(&self, id: Option<usize>) {
        self.owner.store(id.unwrap_or(NO_OWNER), Ordering::Release);
    }

    pub(crate) fn status(&self) -> ProcessorStatus {
        // Acquire: pairs with the Release in `set_status`.
        match self.status.load(Ordering::Acquire) {
            0 => ProcessorStatus::Idle,
            1 => ProcessorStatus::Running,
            _ => ProcessorStatus::Dead,
        }
    }

    pub(crate) fn set_status(&self, status: ProcessorStatus) {
        // Release: pairs with the Acquire in `status`; a thread that sees the P dead
        // sees all that its last holder did with it.
        self.status.store(status as u8, Ordering::Release);
    }

    /// Adds one to a counter that only the owner writes.
    #[inline(always)]
    pub(crate) fn count(counter: &AtomicU64) {
        Self::count_many(counter, 1);
    }

    /// Adds so many.
    #[inline(always)]
    pub(crate) fn count_many(counter: &AtomicU64, more: u32) {
        let sum = counter.load(Ordering::Relaxed).wrapping_add(more.into());
        counter.store(sum, Ordering::Relaxed);
    }

    /// True if something here waits to run.
    pub(crate) fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.run_next.load(Ordering::Acquire).is_null()
    }

    // What is recorded or timed here: only by the M that holds this P, inside.

    /// True if this is to be recorded, or timed.
    #[inline(always)]
    pub(crate) fn watches(&self, what: u8) -> bool {
        self.watch.load(Ordering::Relaxed) & what != 0
    }

    /// The next goroutine that becomes runnable here is timed.
    pub(crate) fn watch_next(&self) {
        let watch = self.watch.load(Ordering::Relaxed);
        self.watch.store(watch | SAMPLE, Ordering::Relaxed);
    }

    /// Does what the level of the runtime asks for, from now on.
    pub(crate) fn follow_level(&self, recorder: &Recorder) {
        let watch = self.watch.load(Ordering::Relaxed) & SAMPLE;
        self.watch
            .store(watch | recorder.watch(), Ordering::Relaxed);
    }

    /// Records an event that is happening now.
    pub(crate) fn record(&self, kind: Kind, subject: u64, detail: u64) {
        self.record_at(Event::new(clock::now_ns(), kind, subject, detail));
    }

    pub(crate) fn record_at(&self, event: Event) {
        self.ring.push(event.pack());
    }

    /// One that [`Self::watches`] for anything has spawned a goroutine, which
    /// no other thread knows of yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_spawn(&self, g: &'static Goroutine) {
        self.time_ready(g);
        if self.watches(SWITCHES) {
            let at_ns = clock::now_ns();
            self.record_at(Event::new(at_ns, Kind::Spawn, id_of(g), 0));
            if let Some(site) = g.site() {
                self.record_at(site_event(at_ns, site));
            }
        }
    }

    /// The same for one that was readied, and is in no queue yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_ready(&self, g: &'static Goroutine) {
        self.time_ready(g);
        if self.watches(SWITCHES) {
            self.record(Kind::Ready, id_of(g), 0);
        }
    }

    fn time_ready(&self, g: &'static Goroutine) {
        let watch = self.watch.load(Ordering::Relaxed);
        if watch & SAMPLE != 0 {
            self.watch.store(watch & !SAMPLE, Ordering::Relaxed);
            self.sample.begin(g);
        }
    }

    /// One that records switches goes from the current goroutine, which is none
    /// if it ended, to `next`.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_switch(&self, last: Option<&Goroutine>, next: Option<&'static Goroutine>) {
        let at_ns = clock::now_ns();
        if let Some(last) = last {
            // It stands until the goroutine itself goes on, which it cannot
            // while we stand on its stack.
            let reason = last.head.reason.load(Ordering::Relaxed);
            let kind = if reason == 0 { Kind::Yield } else { Kind::Park };
            self.record_at(Event::new(at_ns, kind, id_of(last), reason.into()));
        }
        if let Some(next) = next {
            self.record_at(Event::new(at_ns, Kind::Run, id_of(next), 0));
        }
    }
}
