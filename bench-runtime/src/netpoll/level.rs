//! Level-triggered pipes: reading without the empty read after each message.
//!
//! An edge reports new data once, so a reader reads until it finds none. If the messages of a
//! pipe are read one by one, every other read is then empty. A level-triggered watch also reports
//! data that was left: after a read the goroutine waits at once, and the next poll reports the
//! rest. This extra check of the kernel costs less than an empty read.
//!
//! 1. The reader guesses that no data is left, and a wrong guess costs a wait until the next
//!    poll. So [`Level`] keeps the share of reads right after a read that were empty. From time
//!    to time such a read is made, to learn the share.
//! 2. No poller spins: data without a waiter would end each poll at once. After a few such events
//!    the watch is edge-triggered again, for longer each time.
//! 3. No wake-up is lost: see the table.
//!
//! # States
//!
//! | `fd`     | `on`  | the kernel's watch            | a reader that has just got data      |
//! |----------|-------|-------------------------------|--------------------------------------|
//! | `NONE`   | any   | none, or of another file      | there is no reader                   |
//! | a number | false | by edge, or already by level  | reads until a read is empty          |
//! | a number | true  | by level                      | may wait at once ([`Slot::set_drained`]) |
//!
//! [`Level::open`] sets `fd` before the watch begins. [`Level::close`] clears it after the watch
//! has ended and before the number may be another file's. In between, `on` and the watch change
//! together, under the lock of `fd`:
//!
//! 1. To level, by a reader after an empty read: the watch, then `on`.
//! 2. To edge, by a poller or a reader after useless events: `on`, then the watch. This change
//!    itself reports data that was left.
//!
//! While edge-triggered, the watch also changes alone, under the same lock ([`super::desc`],
//! *Sides*).
//!
//! So if a goroutine reads `on` as set at a tick, and waits for a later tick while data is left,
//! the later tick comes. If the watch is still level-triggered, each poll reports the data. If it
//! is edge-triggered again, the change reported the data after `on` was cleared: a goroutine that
//! has read the tick of that event reads `on` as clear, and does not wait.
//!
//! A change after the watch has ended fails, because the number has no watch any more. That is so
//! even if `net::fd` has closed the file: the number then belongs to the file of `sys::fd::dead`.
//!
//! Its model is `tests/loom/netpoll/level_model.rs`.
//!
//! [`Slot::set_drained`]: super::slot::Slot::set_drained
//!
//! Only descriptors that are read and not written become level-triggered: a level-triggered socket
//! would be writable in each poll.

use std::os::fd::RawFd;

use crate::shim::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::util::lock::Lock;

/// Reads right after a read are skipped if at least this share of them, about two of three, was
/// empty.
const MOSTLY_EMPTY: u8 = 128;
const RATE_MAX: u8 = u8::MAX;

/// After this many skipped reads a read is made.
const SKIPPED_READS: u8 = 15;

/// This many events in a row without a waiter, or without data, end the level-triggered
/// watch. A few come if one M polls while another is about to read.
const USELESS_EVENTS: u8 = if cfg!(rt_loom) { 1 } else { 4 };

/// The number of empty reads before the watch may be by level again. It doubles each time.
const FIRST_PAUSE: u32 = 64;
const LONGEST_PAUSE: u32 = 1 << 16;

const NONE: RawFd = -1;

const NEVER: u64 = u64::MAX;

/// All fields except `on` and `fd` are hints: an update may be lost.
#[derive(Debug)]
pub(super) struct Level {
    on: AtomicBool,
    empty_rate: AtomicU8,
    skipped_reads: AtomicU8,
    useless_events: AtomicU8,
    /// Empty reads that are left before `on` may be set again.
    pause: AtomicU32,
    next_pause: AtomicU32,
    /// The tick of the last read.
    read_at: AtomicU64,
    /// The descriptor, while it is watched.
    fd: Lock<RawFd>,
}

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
            empty_rate: AtomicU8::new(0),
            skipped_reads: AtomicU8::new(0),
            useless_events: AtomicU8::new(0),
            pause: AtomicU32::new(0),
            next_pause: AtomicU32::new(FIRST_PAUSE),
            read_at: AtomicU64::new(NEVER),
            fd: Lock::new(NONE),
        }
    }

    /// For a descriptor that is about to be watched by edge.
    pub(super) fn open(&self, fd: RawFd) {
        self.on.store(false, Ordering::Relaxed);
        self.empty_rate.store(0, Ordering::Relaxed);
        self.skipped_reads.store(0, Ordering::Relaxed);
        self.useless_events.store(0, Ordering::Relaxed);
        self.pause.store(0, Ordering::Relaxed);
        self.next_pause.store(FIRST_PAUSE, Ordering::Relaxed);
        self.read_at.store(NEVER, Ordering::Relaxed);
        *self.fd.lock() = fd;
    }

    /// From here on the watch is not changed.
    pub(super) fn close(&self) {
        *self.fd.lock() = NONE;
    }

    /// Changes the watch by calling `watch`, unless the watch has ended. `watch` returns whether
    /// that worked.
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
                self.back_off();
            }
        } else {
            // Release: the edge that follows increments a tick, and a thread that
            // reads that tick sees this store.
            self.on.store(false, Ordering::Release);
            self.back_off();
            // This fails if the watch has ended.
            let _ = watch(*fd);
        }
    }

    /// Calls `f` with the descriptor, under the lock, unless the watch has ended or is by level.
    pub(super) fn while_by_edge(&self, f: impl FnOnce(RawFd)) {
        let fd = self.fd.lock();
        if *fd != NONE && !self.on.load(Ordering::Relaxed) {
            f(*fd);
        }
    }

    fn back_off(&self) {
        let pause = self.next_pause.load(Ordering::Relaxed);
        self.pause.store(pause, Ordering::Relaxed);
        self.next_pause
            .store((pause * 2).min(LONGEST_PAUSE), Ordering::Relaxed);
        self.useless_events.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        // Acquire: pairs with the Release in `change`.
        self.on.load(Ordering::Acquire)
    }

    /// Notes a read that got data, at this tick; true if the next read can be skipped.
    #[inline]
    pub(super) fn note_read(&self, tick: u64, waited: bool) -> bool {
        if !waited && self.read_at.load(Ordering::Relaxed) == tick {
            let empty_rate = self.empty_rate.load(Ordering::Relaxed);
            self.empty_rate
                .store(empty_rate - empty_rate / 4, Ordering::Relaxed);
        }
        self.read_at.store(tick, Ordering::Relaxed);
        if !self.is_on() {
            return false;
        }
        self.useless_events.store(0, Ordering::Relaxed);
        let skipped_reads = self.skipped_reads.load(Ordering::Relaxed);
        let skip = self.empty_rate.load(Ordering::Relaxed) >= MOSTLY_EMPTY
            && skipped_reads < SKIPPED_READS;
        if skip {
            self.skipped_reads
                .store(skipped_reads + 1, Ordering::Relaxed);
        }
        skip
    }

    pub(super) fn note_empty_read(&self, tick: u64, waited: bool) -> Advice {
        if waited {
            return match self.note_useless_event() {
                true => Advice::ByEdge,
                false => Advice::Stay,
            };
        }
        if self.read_at.load(Ordering::Relaxed) != tick {
            return Advice::Stay;
        }
        let empty_rate = self.empty_rate.load(Ordering::Relaxed);
        let empty_rate = empty_rate + (RATE_MAX - empty_rate) / 8;
        self.empty_rate.store(empty_rate, Ordering::Relaxed);
        self.skipped_reads.store(0, Ordering::Relaxed);
        if self.is_on() || empty_rate < MOSTLY_EMPTY {
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

    /// Notes an event without a waiter or without data; true if the level-triggered watch
    /// should end.
    pub(super) fn note_useless_event(&self) -> bool {
        if !self.is_on() {
            return false;
        }
        let useless = self
            .useless_events
            .load(Ordering::Relaxed)
            .saturating_add(1);
        self.useless_events.store(useless, Ordering::Relaxed);
        useless >= USELESS_EVENTS
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    /// A pipe that has become level-triggered, and the number of empty reads that this took.
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
            assert!(!level.note_read(1, true));
            if level.note_empty_read(1, false) == Advice::ByLevel {
                return trials;
            }
        }
        unreachable!()
    }

    /// The first read comes after a wait. Returns the number of skipped reads, each of which is a
    /// wait.
    fn read_many(level: &Level, messages: u32) -> u32 {
        let mut waits = 0;
        let mut waited = true;
        for _ in 0..messages {
            waited = level.note_read(1, waited);
            waits += u32::from(waited);
        }
        waits
    }

    #[test]
    fn read_after_a_read_is_skipped_once_most_were_empty_and_made_now_and_then() {
        let (level, trials) = learned();
        assert!(trials < 10, "{trials}");
        for _ in 0..3 {
            let left_out = (0..).take_while(|_| level.note_read(1, true)).count();
            assert_eq!(left_out, SKIPPED_READS as usize);
            assert_eq!(level.note_empty_read(1, false), Advice::Stay);
        }
    }

    #[test]
    fn reader_that_finds_more_after_each_read_soon_reads_each_time() {
        let (level, _) = learned();
        let waits = read_many(&level, 1_000);
        assert!(waits <= u32::from(SKIPPED_READS), "{waits}");
        assert_eq!(read_many(&level, 1_000), 0);
    }

    #[test]
    fn reader_that_finds_more_half_of_the_time_is_never_watched_by_level() {
        let level = Level::new();
        level.open(0);
        for round in 0..1_000 {
            assert!(!level.note_read(round, true));
            assert!(!level.note_read(round, false));
            assert_eq!(level.note_empty_read(round, false), Advice::Stay);
        }
    }

    #[test]
    fn empty_read_after_an_event_is_not_counted() {
        let level = Level::new();
        level.open(0);
        for tick in 0..100 {
            assert!(!level.note_read(tick, true));
            assert_eq!(level.note_empty_read(tick + 1, false), Advice::Stay);
            assert_eq!(level.note_empty_read(tick + 1, true), Advice::Stay);
        }
    }

    #[test]
    fn events_without_a_waiter_end_the_watch_by_level_for_longer_each_time() {
        let (level, mut before) = learned();
        for _ in 0..3 {
            assert!((1..USELESS_EVENTS).all(|_| !level.note_useless_event()));
            assert!(level.note_useless_event());
            level.change(false, |_| true);
            assert!(!level.is_on());
            let trials = learn(&level);
            assert!(trials > before + 10, "{trials} after {before}");
            before = trials;
            level.change(true, |_| true);
        }
    }

    #[test]
    fn read_between_events_without_a_waiter_resets_their_count() {
        let (level, _) = learned();
        for _ in 0..10 {
            assert!((1..USELESS_EVENTS).all(|_| !level.note_useless_event()));
            level.note_read(1, true);
        }
    }

    #[test]
    fn events_without_data_end_the_watch_by_level() {
        let (level, _) = learned();
        let advices: Vec<_> = (0..USELESS_EVENTS)
            .map(|_| level.note_empty_read(1, true))
            .collect();
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
