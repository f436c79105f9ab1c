//! The flight recorder: what the scheduler did last, always on.
//!
//! Each P has a [`Ring`] of the last [`EVENTS`] events, which only its holder
//! writes; what happens without a P (sysmon, spawns and readies from outside)
//! goes to one ring more, behind a lock. Reading them stops no thread.
//!
//! # What is recorded when
//!
//! | level                | events                                                  |
//! |----------------------|---------------------------------------------------------|
//! | [`Level::Coarse`]    | a P starts or stops on an M, is retaken, steals; blocking calls; batches of timers, of the poller, of compaction; threads; GOMAXPROCS |
//! | [`Level::Switches`]  | those, and each spawn, ready, run, park, yield and end  |
//!
//! The coarse ones have a system call, a lock or an interval of the kernel's
//! beside them, so a reading of the clock (25 ns) does not show. A switch takes
//! about that long in all, so switches are recorded only when asked for, and
//! the default pays for the question: a load of [`Processor::watch`] and a
//! branch, at each spawn, ready and run.
//!
//! What that is, in instructions that callgrind counts of the operations in
//! `tests/instructions.rs` (Rust 1.95, x86-64, pinned and migrating), without
//! this module and [`super::latency`], with them, and with each switch recorded:
//!
//! | operation                            | without   | coarse    | switches   |
//! |--------------------------------------|-----------|-----------|------------|
//! | two yields                           | 424 / 363 | 432 / 371 | 641 / 580  |
//! | spawn and join                       | 740 / 616 | 759 / 630 | 1,088 / 962 |
//! | spawn one of a batch                 | 375 / 358 | 383 / 367 | 549 / 533  |
//! | round trip over unbuffered channels  | 960 / 804 | 981 / 829 | 1,328 / 1,172 |
//!
//! (Of the last column the readings of the clock are short of what they take:
//! under valgrind they are a system call, whose instructions do not count.)
//!
//! # Rejected
//!
//! - *The time stamp counter for each switch, always*: 20 to 25 cycles more on
//!   a switch of 100.
//! - *A coarse clock that sysmon advances*: events of one millisecond would
//!   have one time, and their order across Ps, which is what one looks for,
//!   would be lost.

mod chrome;
pub(crate) mod event;
pub(super) mod ring;
mod snapshot;

use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::machine::Machine;
use super::processor::Processor;
use super::runtime::Shared;
use crate::goroutine::Goroutine;
use crate::sys::clock;
use crate::util::lock::Lock;
use event::{Event, Kind};
use ring::Ring;
pub(crate) use snapshot::write_if_asked;
pub use snapshot::{Trace, snapshot};

/// Events that a ring keeps: at a million switches a second, two events each,
/// the last two milliseconds. Its pages are not touched before they are
/// written.
const EVENTS: usize = 4096;

/// A longer name is cut: eight bytes a word.
const NAME_WORDS: usize = 6;

/// In [`Processor::watch`]: each switch is recorded.
pub(crate) const SWITCHES: u8 = 1;
/// In [`Processor::watch`]: the next goroutine that becomes runnable is timed
/// (see [`super::latency`]).
pub(crate) const SAMPLE: u8 = 2;

/// In [`Processor::watch`]: any of them.
pub(crate) const ANY: u8 = SWITCHES | SAMPLE;

/// How much the flight recorder of a runtime records.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go, trace};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().trace(trace::Level::Switches).build() }?;
/// runtime.run(|| go(|| 1).join().unwrap());
/// runtime.set_trace(trace::Level::Coarse);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Level {
    /// What is rare beside its own cost: threads, thefts, retakes, polls.
    #[default]
    Coarse,
    /// Also every spawn, ready, switch and end, which takes a switch several
    /// times as long.
    Switches,
}

impl Level {
    /// What `THREADBARE_TRACE` asks for.
    pub(super) fn of_environment() -> Option<Self> {
        match std::env::var("THREADBARE_TRACE").ok()?.trim() {
            "coarse" => Some(Self::Coarse),
            "switches" => Some(Self::Switches),
            _ => None,
        }
    }
}

/// Changes how much the flight recorder of the current runtime records, for
/// each P from its next switch on. On a plain thread it does nothing: there is
/// [`crate::Runtime::set_trace`].
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, trace, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     trace::set_level(trace::Level::Switches);
///     yield_now(); // What is to be looked at.
///     trace::set_level(trace::Level::Coarse);
///     println!("{} events", trace::snapshot().events_count());
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_level(level: Level) {
    if let Some(shared) = super::runtime() {
        shared.set_trace(level);
    }
}

/// What all Ps of a runtime share of the recorder.
#[derive(Debug)]
pub(crate) struct Recorder {
    level: AtomicU8,
    /// What happens without a P.
    others: Lock<Ring>,
}

impl Recorder {
    pub(super) fn new(level: Level) -> Self {
        Self {
            level: AtomicU8::new(level as u8),
            others: Lock::new(new_ring()),
        }
    }

    fn watch(&self) -> u8 {
        match self.level.load(Ordering::Relaxed) == Level::Switches as u8 {
            true => SWITCHES,
            false => 0,
        }
    }
}

/// An empty ring whose memory is not touched yet.
pub(super) fn new_ring() -> Ring {
    let words = Box::<[AtomicU64]>::new_zeroed_slice(2 * EVENTS);
    // SAFETY: zero is a value of this atomic.
    Ring::new(unsafe { words.assume_init() })
}

fn id_of(g: &Goroutine) -> u64 {
    g.id.load(Ordering::Relaxed)
}

fn site_event(at_ns: u64, site: &'static Location<'static>) -> Event {
    Event {
        at_ns,
        kind: Kind::Site,
        word: std::ptr::from_ref(site) as u64,
    }
}

/// Only for the M that holds the P, inside the runtime.
impl Processor {
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

    fn record_at(&self, event: Event) {
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
    pub(crate) fn note_switch(&self, m: &Machine, next: Option<&'static Goroutine>) {
        let at_ns = clock::now_ns();
        if let Some(last) = m.current_goroutine() {
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

impl Machine {
    /// The goroutine that runs on it; for another thread a guess.
    pub(crate) fn current_goroutine(&self) -> Option<&'static Goroutine> {
        // SAFETY: null or a record, which is type-stable.
        unsafe { self.current.load(Ordering::Relaxed).as_ref() }
    }

    /// Its own thread, inside, leaves the stack of its current goroutine for
    /// its own.
    #[inline(always)]
    pub(crate) fn note_leave(&self) {
        if let Some(p) = self.held()
            && p.watches(SWITCHES)
        {
            p.note_switch(self, None);
        }
    }

    /// The same where the goroutine has ended: its record may be another's.
    #[inline(always)]
    pub(crate) fn note_end(&self) {
        if let Some(p) = self.held()
            && p.watches(SWITCHES)
        {
            p.record(Kind::End, 0, 0);
        }
    }

    /// It has taken up a P.
    pub(super) fn note_start(&self, p: &'static Processor) {
        p.record(Kind::Start, self.id as u64, 0);
        if p.watches(SWITCHES)
            && let Some(g) = self.current_goroutine()
        {
            p.record(Kind::Run, id_of(g), 0);
        }
    }
}

impl Shared {
    /// Records an event that no P's holder does.
    #[cold]
    pub(crate) fn record(&self, kind: Kind, subject: u64, detail: u64) {
        // Under the lock, so that the ring is in the order of time.
        let ring = self.recorder.others.lock();
        ring.push(Event::new(clock::now_ns(), kind, subject, detail).pack());
    }

    /// Records that a P was retaken from `m`; the caller holds the P, and did not
    /// yet at `before_ns`. That time stands, or the last thing that `m` did
    /// there: later `m` may have another P, and it has only one at a time.
    pub(super) fn record_retake(&self, p: &Processor, m: &Machine, before_ns: u64) {
        let hog = m.current_goroutine().map_or(0, id_of);
        let last = p.ring.last().and_then(Event::unpack);
        let at_ns = last.map_or(before_ns, |last| last.at_ns.max(before_ns));
        p.record_at(Event::new(at_ns, Kind::Retake, hog, m.id as u64));
    }

    /// A goroutine was spawned from outside; no other thread knows of it yet.
    pub(super) fn note_spawn_outside(&self, g: &'static Goroutine) {
        if self.recorder.watch() == 0 {
            return;
        }
        let ring = self.recorder.others.lock();
        let at_ns = clock::now_ns();
        ring.push(Event::new(at_ns, Kind::Spawn, id_of(g), 0).pack());
        if let Some(site) = g.site() {
            ring.push(site_event(at_ns, site).pack());
        }
        let name = g.details().and_then(|details| details.name());
        for eight in name
            .unwrap_or_default()
            .as_bytes()
            .chunks(8)
            .take(NAME_WORDS)
        {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            let word = u64::from_le_bytes(word);
            let kind = Kind::Name;
            ring.push(Event { at_ns, kind, word }.pack());
        }
    }

    /// A goroutine became runnable without a P, and is in no queue yet.
    pub(super) fn note_ready_outside(&self, g: &'static Goroutine) {
        self.sample.begin(g);
        if self.recorder.watch() != 0 {
            self.record(Kind::Ready, id_of(g), 0);
        }
    }

    /// Each P does as it says from its next pick on.
    pub(super) fn set_trace(&'static self, level: Level) {
        self.recorder.level.store(level as u8, Ordering::Relaxed);
        // Release: pairs with the Acquire of the M that takes the notice.
        self.for_each_processor(|p| p.notice.store(true, Ordering::Release));
    }
}
