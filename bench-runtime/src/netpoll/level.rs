//! Reading without a last trial in vain: when a pipe is watched by level.
//!
//! An edge tells once of what came, so that who reads goes on until nothing is
//! left. Of a pipe whose messages are read one by one every other read is in
//! vain then. A watch by level also tells of what was left: after a read its
//! owner may wait at once, and if there is more the next poll says so. The
//! kernel looks at the descriptor once more for that, which costs less than a
//! read of nothing.
//!
//! 1. *It is a guess that nothing is left*, and a wrong one waits for a poll. So
//!    [`Level`] keeps how often a trial right after a read was in vain, and has
//!    one made from time to time.
//! 2. *No poller spins*: what is there and nobody waits for would end each poll
//!    at once. After a few such events the watch is by edge again, and longer
//!    each time before it is tried anew.
//! 3. *No wake is lost.* See the table.
//!
//! # States
//!
//! | `fd`     | `on`  | the kernel watches          | who read something and nothing since |
//! |----------|-------|-----------------------------|--------------------------------------|
//! | `NONE`   | any   | not at all, or another file | nobody reads                         |
//! | a number | false | by edge, or just now by level | tries until it is in vain          |
//! | a number | true  | by level                    | may wait at once ([`Slot::set_dry`]) |
//!
//! `fd` is a registration's: [`Level::open`] before the watch begins, and
//! [`Level::close`] after it has ended and before the number may be another
//! file's. Between the two `on` and the watch change together, under the lock of
//! `fd`, by whoever finds cause:
//!
//! 1. To level, a reader whose trial was in vain: the watch, then `on`.
//! 2. To edge, a poller or a reader after events for nobody or for nothing: `on`,
//!    then the watch. Where something can be read this change is an event itself.
//!
//! So who sees `on` set at a tick, and waits for a later one, gets it. Either the
//! watch is by level, and what was left is an event in each poll; or it is by edge
//! again and something was left when that changed: an event that came after `on`
//! was cleared, so that who knows its tick sees `on` clear. A change that comes
//! after the watch has ended fails: the number has no watch, also where it stands
//! for a file that is closed for all who hold it.
//!
//! Its model, `tests/loom/netpoll/level_model.rs`, runs this with the records, the
//! slots and the reader's steps around it.
//!
//! [`Slot::set_dry`]: super::slot::Slot::set_dry
//!
//! Only for descriptors that are read and not written: by level a socket would
//! be writable in each poll.

use std::os::fd::RawFd;

use crate::shim::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::util::lock::Lock;

/// From this share of [`FULL`] on a trial right after a read is left out: where
/// it is in vain two times of three.
const LIKELY: u8 = 128;
const FULL: u8 = u8::MAX;

/// One trial is made after so many guesses.
const GUESSES: u8 = 15;

/// So many events in a row for nobody, or for nothing, end the watch by level: a
/// few come where one M polls while another is about to read.
const VAIN: u8 = if cfg!(rt_loom) { 1 } else { 4 };

/// Trials in vain before the watch is by level again, doubled each time.
const FIRST_PAUSE: u32 = 64;
const LONGEST_PAUSE: u32 = 1 << 16;

/// The number of no descriptor.
const NONE: RawFd = -1;

const NEVER: u64 = u64::MAX;

/// See the module. All but `fd` are guesses to decide by: who reads, mostly one
/// at a time, loads and stores them.
#[derive(Debug)]
pub(super) struct Level {
    /// The kernel watches by level.
    on: AtomicBool,
    /// How likely a trial right after a read is in vain.
    likely: AtomicU8,
    /// Trials left out since the last one that was in vain.
    guesses: AtomicU8,
    /// Events in a row that helped nobody.
    vain: AtomicU8,
    /// Trials in vain to go before it may be on again.
    pause: AtomicU32,
    /// What `pause` will be the next time.
    next_pause: AtomicU32,
    /// The tick of the last read.
    read_at: AtomicU64,
    /// The descriptor, while it is watched.
    fd: Lock<RawFd>,
}

/// What comes of a trial that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Stay,
    ByLevel,
    ByEdge,
}

impl Level {
    pub(super) fn new() -> Self {
        Self {
            on: AtomicBool::new(false),
            likely: AtomicU8::new(0),
            guesses: AtomicU8::new(0),
            vain: AtomicU8::new(0),
            pause: AtomicU32::new(0),
            next_pause: AtomicU32::new(FIRST_PAUSE),
            read_at: AtomicU64::new(NEVER),
            fd: Lock::new(NONE),
        }
    }

    /// Makes it new, for a descriptor that is about to be watched by edge.
    pub(super) fn open(&self, fd: RawFd) {
        self.on.store(false, Ordering::Relaxed);
        self.likely.store(0, Ordering::Relaxed);
        self.guesses.store(0, Ordering::Relaxed);
        self.vain.store(0, Ordering::Relaxed);
        self.pause.store(0, Ordering::Relaxed);
        self.next_pause.store(FIRST_PAUSE, Ordering::Relaxed);
        self.read_at.store(NEVER, Ordering::Relaxed);
        *self.fd.lock() = fd;
    }

    /// From here on nobody changes how it is watched.
    pub(super) fn close(&self) {
        *self.fd.lock() = NONE;
    }

    /// Changes how it is watched by `watch`, unless it is no longer. `watch` says
    /// whether that worked.
    #[cold]
    pub(super) fn change(&self, by_level: bool, watch: impl FnOnce(RawFd) -> bool) {
        let fd = self.fd.lock();
        if *fd == NONE || by_level == self.on.load(Ordering::Relaxed) {
            return;
        }
        if by_level {
            let done = watch(*fd);
            // Release: pairs with the Acquire in `is_on`.
            self.on.store(done, Ordering::Release);
            if !done {
                self.rest();
            }
        } else {
            // Release: the edge that follows moves a tick, and who sees that
            // one sees this.
            self.on.store(false, Ordering::Release);
            self.rest();
            // It fails where the watch has ended.
            let _ = watch(*fd);
        }
    }

    fn rest(&self) {
        let pause = self.next_pause.load(Ordering::Relaxed);
        self.pause.store(pause, Ordering::Relaxed);
        self.next_pause
            .store((pause * 2).min(LONGEST_PAUSE), Ordering::Relaxed);
        self.vain.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        // Acquire: pairs with the Release in `change`.
        self.on.load(Ordering::Acquire)
    }

    /// Notes a read that got something, at this tick; true if the next one is
    /// to be left out.
    #[inline]
    pub(super) fn has_read(&self, tick: u64, waited: bool) -> bool {
        if !waited && self.read_at.load(Ordering::Relaxed) == tick {
            let likely = self.likely.load(Ordering::Relaxed);
            self.likely.store(likely - likely / 4, Ordering::Relaxed);
        }
        self.read_at.store(tick, Ordering::Relaxed);
        if !self.is_on() {
            return false;
        }
        self.vain.store(0, Ordering::Relaxed);
        let guesses = self.guesses.load(Ordering::Relaxed);
        let leave_out = self.likely.load(Ordering::Relaxed) >= LIKELY && guesses < GUESSES;
        if leave_out {
            self.guesses.store(guesses + 1, Ordering::Relaxed);
        }
        leave_out
    }

    /// Notes a trial that found nothing, at this tick.
    pub(super) fn has_tried(&self, tick: u64, waited: bool) -> Advice {
        if waited {
            return match self.is_vain() {
                true => Advice::ByEdge,
                false => Advice::Stay,
            };
        }
        if self.read_at.load(Ordering::Relaxed) != tick {
            return Advice::Stay;
        }
        let likely = self.likely.load(Ordering::Relaxed);
        let likely = likely + (FULL - likely) / 8;
        self.likely.store(likely, Ordering::Relaxed);
        self.guesses.store(0, Ordering::Relaxed);
        if self.is_on() || likely < LIKELY {
            return Advice::Stay;
        }
        match self.pause.load(Ordering::Relaxed) {
            0 => Advice::ByLevel,
            pause => {
                self.pause.store(pause - 1, Ordering::Relaxed);
                Advice::Stay
            }
        }
    }

    /// Notes an event that helped nobody; true if a watch by level is to end.
    pub(super) fn is_vain(&self) -> bool {
        if !self.is_on() {
            return false;
        }
        let vain = self.vain.load(Ordering::Relaxed).saturating_add(1);
        self.vain.store(vain, Ordering::Relaxed);
        vain >= VAIN
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    /// One that is watched by level, and so many trials that it took.
    fn learned() -> (Level, u32) {
        let level = Level::new();
        level.open(0);
        let trials = learn(&level);
        level.change(true, |_| true);
        assert!(level.is_on());
        (level, trials)
    }

    fn learn(level: &Level) -> u32 {
        for trials in 1.. {
            assert!(!level.has_read(1, true));
            if level.has_tried(1, false) == Advice::ByLevel {
                return trials;
            }
        }
        unreachable!()
    }

    /// Messages of which the first is read after a wait and all others are found.
    fn read_many(level: &Level, messages: u32) -> u32 {
        let mut waits = 0;
        let mut waited = true;
        for _ in 0..messages {
            waited = level.has_read(1, waited);
            waits += u32::from(waited);
        }
        waits
    }

    #[test]
    fn trial_after_a_read_is_left_out_once_it_was_in_vain_and_made_now_and_then() {
        let (level, trials) = learned();
        assert!(trials < 10, "{trials}");
        for _ in 0..3 {
            let left_out = (0..).take_while(|_| level.has_read(1, true)).count();
            assert_eq!(left_out, GUESSES as usize);
            assert_eq!(level.has_tried(1, false), Advice::Stay);
        }
    }

    #[test]
    fn reader_that_finds_more_after_each_read_soon_tries_each_time() {
        let (level, _) = learned();
        let waits = read_many(&level, 1_000);
        assert!(waits <= u32::from(GUESSES), "{waits}");
        assert_eq!(read_many(&level, 1_000), 0);
    }

    #[test]
    fn reader_that_finds_more_half_of_the_time_is_never_watched_by_level() {
        let level = Level::new();
        level.open(0);
        for round in 0..1_000 {
            assert!(!level.has_read(round, true));
            assert!(!level.has_read(round, false));
            assert_eq!(level.has_tried(round, false), Advice::Stay);
        }
    }

    #[test]
    fn trial_after_an_event_teaches_nothing() {
        let level = Level::new();
        level.open(0);
        for tick in 0..100 {
            assert!(!level.has_read(tick, true));
            assert_eq!(level.has_tried(tick + 1, false), Advice::Stay);
            assert_eq!(level.has_tried(tick + 1, true), Advice::Stay);
        }
    }

    #[test]
    fn events_for_nobody_end_the_watch_by_level_for_longer_each_time() {
        let (level, mut before) = learned();
        for _ in 0..3 {
            assert!((1..VAIN).all(|_| !level.is_vain()));
            assert!(level.is_vain());
            level.change(false, |_| true);
            assert!(!level.is_on());
            let trials = learn(&level);
            assert!(trials > before + 10, "{trials} after {before}");
            before = trials;
            level.change(true, |_| true);
        }
    }

    #[test]
    fn read_between_events_for_nobody_forgives_them() {
        let (level, _) = learned();
        for _ in 0..10 {
            assert!((1..VAIN).all(|_| !level.is_vain()));
            level.has_read(1, true);
        }
    }

    #[test]
    fn events_for_nothing_end_the_watch_by_level() {
        let (level, _) = learned();
        let advices: Vec<_> = (0..VAIN).map(|_| level.has_tried(1, true)).collect();
        assert_eq!(advices.last(), Some(&Advice::ByEdge));
        assert!(!advices[..advices.len() - 1].contains(&Advice::ByEdge));
    }

    #[test]
    fn watch_that_has_ended_or_is_refused_is_not_by_level() {
        let level = Level::new();
        level.open(0);
        level.change(true, |_| false);
        assert!(!level.is_on());
        level.close();
        level.change(true, |_| panic!("the number may be another file's"));
        assert!(!level.is_on());
    }
}
