//! The poller's state of a descriptor: Go's `pollDesc`.
//!
//! The kernel may report an event of a descriptor that was closed meanwhile. The generation in
//! the event's token is then out of date, and the event is dropped. A close and an open right
//! after that check give the new descriptor one edge too many, which only causes a useless try.
//!
//! # Sides
//!
//! In a pinned runtime a descriptor that goroutines of several Ms use has a `PollDesc` for the
//! poller of each. If all of these reported its data, each message would wake all of these Ms. So a
//! goroutine that waits for a side (reading, or writing) that its poller does not watch moves it:
//! [`net::wait`](crate::net) calls [`PollDesc::watch_side`] for that poller, and
//! [`PollDesc::leave_side`] for the others. A poller where another goroutine waits for the side does
//! not leave it. Then several watch it, until a poller that does not watch it takes it in this way.
//! The same happens if `Netpoll::register` begins a watch, because it makes no other poller leave.
//!
//! The first poller of a descriptor watches both sides, and a further one only the side that is
//! waited for. When a further one comes, the others leave both sides: a watch of the other side alone
//! would report at once that a socket is writable.
//!
//! | bit of `sides` | `waiter` of the slot | the poller reports the side   |
//! |----------------|----------------------|-------------------------------|
//! | set            | any                  | yes, or from the next call of `epoll_ctl` on |
//! | clear          | none                 | no, or not from the next call on |
//! | clear          | some                 | not yet: its goroutine, or the thread that is leaving the side, is about to set the bit |
//!
//! A goroutine that waits registers in the slot, then reads the bit. A thread that leaves the side
//! clears the bit, then looks into the slot ([`Slot::is_free`]). Both access the slot by a
//! read-modify-write. So either the goroutine finds the bit clear, and watches the side again; or
//! that thread finds the goroutine, and sets the bit again. The kernel reports what came meanwhile,
//! because each change of a watch reports the conditions that are true.
//!
//! Its model is `tests/loom/netpoll/sides_model.rs`.

use std::os::fd::RawFd;

use super::level::{Advice, Level};
use super::slot::Slot;
use super::watch::{Side, Watch};
use crate::goroutine::Parkable;
use crate::shim::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, Ordering};
use crate::sys::poller::Interest;

#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct PollDesc {
    read: Slot,
    write: Slot,
    /// Grows with each open and each close; odd while open.
    generation: AtomicU32,
    index: u32,
    /// Set by an event that no later edge repeats; after it `is_drained` is false.
    lasting: AtomicBool,
    /// See *Sides*. Changed under the lock of `level`, except by [`Self::open`].
    sides: AtomicU8,
    level: Level,
    /// Valid while the descriptor is open.
    watch: AtomicPtr<Watch>,
}

const BOTH_SIDES: u8 = 0b11;

fn bit_of(side: Side) -> u8 {
    1 << side as u8
}

impl PollDesc {
    pub(super) fn new(index: u32) -> Self {
        Self {
            read: Slot::new(),
            write: Slot::new(),
            generation: AtomicU32::new(0),
            index,
            lasting: AtomicBool::new(false),
            sides: AtomicU8::new(BOTH_SIDES),
            level: Level::new(),
            watch: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Assigns this `PollDesc` to `fd`, which the caller will watch edge-triggered, by a poller
    /// that lives until [`Self::close`].
    pub(super) fn open(&self, watch: *const Watch, fd: RawFd) {
        self.read.reset();
        self.write.reset();
        self.lasting.store(false, Ordering::Relaxed);
        self.sides.store(BOTH_SIDES, Ordering::Relaxed);
        self.watch.store(watch.cast_mut(), Ordering::Release);
        // After the store of `watch`, because a thread that finds `fd` in `level` uses `watch`.
        self.level.open(fd);
        // Release: pairs with the Acquire in `is_current`.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Called before the poller ends, and before the number may be reused for another file.
    pub(super) fn close(&self) {
        self.level.close();
        self.generation.fetch_add(1, Ordering::Release);
    }

    #[inline]
    pub(crate) fn slot(&self, side: Side) -> &Slot {
        match side {
            Side::Read => &self.read,
            Side::Write => &self.write,
        }
    }

    #[inline]
    pub(super) fn belongs_to(&self, watch: &Watch) -> bool {
        // Relaxed: only compared. The calling thread keeps the descriptor open, and has read the
        // address of this `PollDesc` with Acquire.
        std::ptr::eq(self.watch.load(Ordering::Relaxed), watch)
    }

    /// True if a read cannot find data, or probably finds none and the watch is level-triggered.
    #[inline]
    pub(crate) fn is_drained(&self, tick: u64) -> bool {
        // Relaxed: `lasting` was set before the tick moved, and the caller
        // read the tick with Acquire.
        self.read.is_drained(tick)
            && !self.lasting.load(Ordering::Relaxed)
            && self.watches_side(Side::Read)
    }

    /// False if only other pollers report this side.
    #[inline]
    pub(crate) fn watches_side(&self, side: Side) -> bool {
        // Relaxed: `Slot::register`, called before, orders it. So does the lock of the registrations,
        // or of `level`. Otherwise it is a hint.
        self.sides.load(Ordering::Relaxed) & bit_of(side) != 0
    }

    /// Reports this side again. A condition that is already true counts as an edge. Does nothing if
    /// the watch is level-triggered.
    #[cold]
    pub(crate) fn watch_side(&self, side: Side) {
        self.level.while_by_edge(|fd| {
            // Relaxed: a thread that sees the bit before the call of `epoll_ctl` gets the edge after
            // it.
            let before = self.sides.fetch_or(bit_of(side), Ordering::Relaxed);
            if before & bit_of(side) == 0 {
                // This fails if the watch has ended.
                let _ = self.change(fd, self.edges());
            }
        });
    }

    /// Leaves a side to other pollers.
    pub(crate) fn leave_side(&self, side: Side) {
        self.leave(bit_of(side));
    }

    pub(crate) fn leave_both_sides(&self) {
        self.leave(BOTH_SIDES);
    }

    /// Does not report these sides any more, except for those that a goroutine waits for here. Does
    /// nothing if the watch is level-triggered.
    #[cold]
    fn leave(&self, bits: u8) {
        self.level.while_by_edge(|fd| {
            // Relaxed: `is_free` orders it.
            let mut left = self.sides.fetch_and(!bits, Ordering::Relaxed) & bits;
            for side in [Side::Read, Side::Write] {
                if left & bit_of(side) != 0 && !self.slot(side).is_free() {
                    self.sides.fetch_or(bit_of(side), Ordering::Relaxed);
                    left &= !bit_of(side);
                }
            }
            if left != 0 {
                // This fails if the watch has ended.
                let _ = self.change(fd, self.edges());
            }
        });
    }

    fn edges(&self) -> Interest {
        Interest::Edges {
            read: self.watches_side(Side::Read),
            write: self.watches_side(Side::Write),
        }
    }

    /// Called under the lock of `level`, while it has the descriptor.
    fn change(&self, fd: RawFd, interest: Interest) -> bool {
        // SAFETY: `close` removes the descriptor from `level` under its lock before the poller ends.
        let watch = unsafe { &*self.watch.load(Ordering::Acquire) };
        watch.poller.change(fd, self.token(), interest).is_ok()
    }

    /// Notes a read at this tick that got data, of a descriptor that is never written. `waited`:
    /// it was the first read after a wait.
    #[inline]
    pub(crate) fn note_read(&self, tick: u64, waited: bool) {
        if self.level.note_read(tick, waited) {
            self.read.set_drained(tick);
        }
    }

    /// Notes a read that found no data.
    pub(crate) fn note_empty_read(&self, tick: u64, waited: bool) {
        match self.level.note_empty_read(tick, waited) {
            Advice::Stay => {}
            Advice::ByLevel => self.watch_anew(true),
            Advice::ByEdge => self.watch_anew(false),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_watched_by_level(&self) -> bool {
        self.level.is_on()
    }

    /// Acts as if many reads had each been followed by an empty one.
    #[cfg(test)]
    pub(crate) fn watch_by_level(&self) {
        for _ in 0..100 {
            let tick = self.read.tick();
            self.note_read(tick, true);
            self.note_empty_read(tick, false);
        }
    }

    #[cold]
    fn watch_anew(&self, by_level: bool) {
        self.level.change(by_level, |fd| match by_level {
            true => self.watches_side(Side::Read) && self.change(fd, Interest::Data),
            false => self.change(fd, self.edges()),
        });
    }

    /// Handles an event: adds the waiters that it ends to `ready`. Returns how many.
    pub(super) fn on_event(
        &self,
        event: crate::sys::poller::Event,
        ready: &mut Vec<Parkable>,
    ) -> usize {
        let before = ready.len();
        if event.is_lasting() {
            // Before the tick: see `is_drained`.
            self.lasting.store(true, Ordering::Relaxed);
        }
        if event.is_readable() {
            match self.read.notify() {
                Some(who) => ready.push(who),
                None if self.level.note_useless_event() => self.watch_anew(false),
                None => {}
            }
        }
        if event.is_writable() {
            ready.extend(self.write.notify());
        }
        ready.len() - before
    }

    /// Ends the wait of `waiter`, at its deadline or because its future does not wait any more.
    /// True if it still waited: no other thread readies it then.
    pub(crate) fn expire(&self, side: Side, waiter: Parkable) -> bool {
        let taken = self.slot(side).withdraw(waiter);
        if taken {
            // SAFETY: `waiter` waited until now and is not readied yet. So its socket is alive,
            // and keeps this `PollDesc` open.
            let watch = unsafe { &*self.watch.load(Ordering::Acquire) };
            watch.stopped_waiting(1);
        }
        taken
    }

    pub(super) fn token(&self) -> u64 {
        // Relaxed: the descriptor is open during the call, so its generation does not change.
        let generation = self.generation.load(Ordering::Relaxed);
        u64::from(generation) << 32 | u64::from(self.index)
    }

    pub(super) fn is_current(&self, token: u64) -> bool {
        // Acquire: pairs with the Release in `open`.
        self.generation.load(Ordering::Acquire) == (token >> 32) as u32
    }
}
