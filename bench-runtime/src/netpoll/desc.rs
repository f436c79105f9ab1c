//! The poller's state of a descriptor: Go's `pollDesc`.
//!
//! The kernel may report an event of a descriptor that was closed meanwhile. The generation in
//! the event's token is then out of date, and the event is dropped. A close and an open right
//! after that check give the new descriptor one edge too many, which only causes a useless try.

use std::os::fd::RawFd;

use super::level::{Advice, Level};
use super::slot::Slot;
use super::watch::{Side, Watch};
use crate::goroutine::Parkable;
use crate::shim::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

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
    level: Level,
    /// Valid while the descriptor is open.
    watch: AtomicPtr<Watch>,
}

impl PollDesc {
    pub(super) fn new(index: u32) -> Self {
        Self {
            read: Slot::new(),
            write: Slot::new(),
            generation: AtomicU32::new(0),
            index,
            lasting: AtomicBool::new(false),
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
        self.read.is_drained(tick) && !self.lasting.load(Ordering::Relaxed)
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
        self.level.change(by_level, |fd| {
            // SAFETY: called under the lock of `Level::fd`. `close` clears `fd` under this lock
            // before the poller ends.
            let watch = unsafe { &*self.watch.load(Ordering::Acquire) };
            watch.poller.change(fd, self.token(), by_level).is_ok()
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
