//! The flight recorder's parts, which know no scheduler: rings, events, the format that
//! Perfetto opens. `crate::sched::trace` decides what is recorded when.

pub(crate) mod chrome;
pub(crate) mod event;
pub(crate) mod ring;

use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use self::event::{Event, Kind};
use self::ring::Ring;
use crate::goroutine::Goroutine;
use crate::util::lock::Lock;

/// Events that a ring keeps: at a million switches a second, two events each,
/// the last two milliseconds. Its pages are not touched before they are
/// written.
const EVENTS: usize = 4096;

/// A longer text of name and labels is cut: eight bytes a word.
pub(crate) const NAME_WORDS: usize = 16;

/// In [`watch`](crate::sched::processor::Processor::watch): each switch is recorded.
pub(crate) const SWITCHES: u8 = 1;
/// In [`watch`](crate::sched::processor::Processor::watch): the next goroutine that becomes runnable is timed
/// (see [`crate::sched::latency`]).
pub(crate) const SAMPLE: u8 = 2;

/// In [`watch`](crate::sched::processor::Processor::watch): any of them.
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
    /// Events that are rare and cost far more than their recording: threads,
    /// thefts, retakes, polls.
    #[default]
    Coarse,
    /// Also every spawn, ready, switch and end, which takes a switch several
    /// times as long.
    Switches,
}

impl Level {
    /// The level that `THREADBARE_TRACE` names.
    pub(crate) fn of_environment() -> Option<Self> {
        match std::env::var("THREADBARE_TRACE").ok()?.trim() {
            "coarse" => Some(Self::Coarse),
            "switches" => Some(Self::Switches),
            _ => None,
        }
    }
}

/// The part of the recorder that all Ps of a runtime share.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) level: AtomicU8,
    /// Events without a P.
    pub(crate) others: Lock<Ring>,
}

impl Recorder {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level: AtomicU8::new(level as u8),
            others: Lock::new(new_ring()),
        }
    }

    pub(crate) fn watch(&self) -> u8 {
        match self.level.load(Ordering::Relaxed) == Level::Switches as u8 {
            true => SWITCHES,
            false => 0,
        }
    }
}

/// An empty ring whose memory is not used yet.
pub(crate) fn new_ring() -> Ring {
    let words = Box::<[AtomicU64]>::new_zeroed_slice(2 * EVENTS);
    // SAFETY: zero is a value of this atomic.
    Ring::new(unsafe { words.assume_init() })
}

pub(crate) fn id_of(g: &Goroutine) -> u64 {
    g.id.load(Ordering::Relaxed)
}

pub(crate) fn site_event(at_ns: u64, site: &'static Location<'static>) -> Event {
    Event {
        at_ns,
        kind: Kind::Site,
        word: std::ptr::from_ref(site) as u64,
    }
}
