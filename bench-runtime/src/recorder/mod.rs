//! The parts of the flight recorder that do not depend on the scheduler. `crate::runtime::trace`
//! decides which events are recorded.

pub(crate) mod chrome;
pub(crate) mod event;
pub(crate) mod latency;
pub(crate) mod part;
pub(crate) mod ring;

use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use self::event::{Event, Kind};
use self::latency::Sample;
use self::ring::Ring;
use crate::goroutine::Goroutine;
use crate::sys::clock;
use crate::util::lock::Lock;

/// The events that a ring keeps: at a million switches a second, with two events each, those of the
/// last two milliseconds. Pages of the ring use no memory before they are written.
const EVENTS: usize = 4096;

/// How many words, of eight bytes each, the recorder keeps of a goroutine's name and labels.
const NAME_WORDS: usize = 16;

/// In [`watch`](part::Part): each switch is recorded.
pub(crate) const SWITCHES: u8 = 1;
/// In [`watch`](part::Part): the next goroutine that becomes runnable is timed.
pub(crate) const SAMPLE: u8 = 2;

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
    /// Events that are rare and cost far more than their recording: starts and ends of threads,
    /// steals, retakes, polls.
    #[default]
    Coarse,
    /// Also every spawn, ready, switch and end. A switch then takes several times as long.
    Switches,
}

impl Level {
    pub(crate) fn of_environment() -> Option<Self> {
        match std::env::var("THREADBARE_TRACE").ok()?.trim() {
            "coarse" => Some(Self::Coarse),
            "switches" => Some(Self::Switches),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) level: AtomicU8,
    /// Events of threads that hold no P.
    pub(crate) others: Lock<Ring>,
    sample: Sample,
}

impl Recorder {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level: AtomicU8::new(level as u8),
            others: Lock::new(new_ring()),
            sample: Sample::default(),
        }
    }

    pub(crate) fn watch(&self) -> u8 {
        match self.level.load(Ordering::Relaxed) == Level::Switches as u8 {
            true => SWITCHES,
            false => 0,
        }
    }

    /// For a goroutine that was spawned from outside. No other thread can see it yet.
    pub(crate) fn note_spawn(&self, g: &'static Goroutine) {
        if self.watch() == 0 {
            return;
        }
        let ring = self.others.lock();
        let at_ns = clock::now_ns();
        ring.push(Event::new(at_ns, Kind::Spawn, id_of(g), 0).pack());
        if let Some(site) = g.site() {
            ring.push(site_event(at_ns, site).pack());
        }
        let text = g.details().and_then(|details| details.text());
        for eight in text
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

    /// For a goroutine that became runnable from outside. It is in no queue yet.
    pub(crate) fn note_ready(&self, g: &'static Goroutine) {
        self.sample.begin(g);
        if self.watch() != 0 {
            self.record(Kind::Ready, id_of(g), 0);
        }
    }

    /// For a thread that holds no P.
    #[cold]
    pub(crate) fn record(&self, kind: Kind, subject: u64, detail: u64) {
        // The clock is read under the lock, so the events are in order of time.
        let ring = self.others.lock();
        ring.push(Event::new(clock::now_ns(), kind, subject, detail).pack());
    }

    /// As [`Sample::end`].
    pub(crate) fn end_timing(&self, g: &'static Goroutine) -> Option<u64> {
        self.sample.end(g)
    }
}

fn new_ring() -> Ring {
    let words = Box::<[AtomicU64]>::new_zeroed_slice(2 * EVENTS);
    // SAFETY: zero is a value of this atomic.
    Ring::new(unsafe { words.assume_init() })
}

pub(crate) fn id_of(g: &Goroutine) -> u64 {
    g.id.load(Ordering::Relaxed)
}

fn site_event(at_ns: u64, site: &'static Location<'static>) -> Event {
    Event {
        at_ns,
        kind: Kind::Site,
        word: std::ptr::from_ref(site) as u64,
    }
}
