//! A descriptor as the poller knows it, in memory that is never given back.
//!
//! Records are found by index, so that what the kernel hands back with an
//! event is no address. The kernel may hand back an event of a descriptor
//! that was closed since: the generation tells, and where the check itself is
//! overtaken by a close and an open, the worst is one edge too many.

use std::os::fd::RawFd;
use std::sync::Arc;

use super::level::{Advice, Level};
use super::slot::Slot;
use super::{Side, Watch};
use crate::goroutine::Parkable;
use crate::shim::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use crate::util::lock::Lock;

/// See the module.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct PollDesc {
    read: Slot,
    write: Slot,
    /// Grows with each open and each close; odd while open.
    generation: AtomicU32,
    index: u32,
    /// Something came that no later edge tells of again: never trust `is_dry`.
    lasting: AtomicBool,
    level: Level,
    /// Who polls it, alive while it is open.
    watch: AtomicPtr<Watch>,
}

impl PollDesc {
    fn new(index: u32) -> Self {
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

    /// The slot of one direction.
    #[inline]
    pub(crate) fn slot(&self, side: Side) -> &Slot {
        match side {
            Side::Read => &self.read,
            Side::Write => &self.write,
        }
    }

    /// Whether this is a descriptor of that poller.
    #[inline]
    pub(super) fn is_of(&self, watch: &Watch) -> bool {
        // Relaxed: an address to compare; whoever asks holds the descriptor
        // open, and got to know it through an Acquire.
        std::ptr::eq(self.watch.load(Ordering::Relaxed), watch)
    }

    /// True where an operation to read can only find nothing, or is expected to
    /// where the watch tells of the rest.
    #[inline]
    pub(crate) fn is_dry(&self, tick: u64) -> bool {
        // Relaxed: `lasting` was set before the tick moved, and the caller
        // read the tick with Acquire.
        self.read.is_dry(tick) && !self.lasting.load(Ordering::Relaxed)
    }

    /// Notes a read at this tick that got something, of one that is not written.
    /// `waited`: it was the trial after a wait.
    #[inline]
    pub(crate) fn has_read(&self, tick: u64, waited: bool) {
        if self.level.has_read(tick, waited) {
            self.read.set_dry(tick);
        }
    }

    /// The same for one that found nothing.
    pub(crate) fn has_read_in_vain(&self, tick: u64, waited: bool) {
        match self.level.has_tried(tick, waited) {
            Advice::Stay => {}
            Advice::ByLevel => self.watch_anew(true),
            Advice::ByEdge => self.watch_anew(false),
        }
    }

    #[cfg(test)]
    pub(crate) fn is_watched_by_level(&self) -> bool {
        self.level.is_on()
    }

    /// As after many reads that were followed by one in vain.
    #[cfg(test)]
    pub(crate) fn watch_by_level(&self) {
        for _ in 0..100 {
            let tick = self.read.tick();
            self.has_read(tick, true);
            self.has_read_in_vain(tick, false);
        }
    }

    #[cold]
    fn watch_anew(&self, by_level: bool) {
        self.level.change(by_level, |fd| {
            // SAFETY: called under the lock of the number, which a registration
            // takes out before it lets go of its watch.
            let watch = unsafe { &*self.watch.load(Ordering::Acquire) };
            watch.poller.change(fd, self.token(), by_level).is_ok()
        });
    }

    /// An event came: who was waiting for it goes to `ready`.
    pub(super) fn happened(
        &self,
        event: crate::sys::poller::Event,
        ready: &mut Vec<Parkable>,
    ) -> usize {
        let before = ready.len();
        if event.is_lasting() {
            // Before the tick: see `is_dry`.
            self.lasting.store(true, Ordering::Relaxed);
        }
        if event.is_readable() {
            match self.read.notify() {
                Some(who) => ready.push(who),
                None if self.level.is_vain() => self.watch_anew(false),
                None => {}
            }
        }
        if event.is_writable() {
            ready.extend(self.write.notify());
        }
        ready.len() - before
    }

    /// A timer's deadline has passed: true where `who` waited for that side
    /// and must be readied by the caller.
    pub(crate) fn expire(&self, side: Side, who: Parkable) -> bool {
        let taken = self.slot(side).withdraw(who);
        if taken {
            // SAFETY: `who` waited here until now and is not readied yet, so
            // the socket that it waits for is alive, which keeps this open.
            let watch = unsafe { &*self.watch.load(Ordering::Acquire) };
            watch.stopped_waiting(1);
        }
        taken
    }

    /// From here on it stays watched as it is: the watch ends.
    pub(super) fn freeze(&self) {
        self.level.close();
    }

    /// What the kernel is given to tell this descriptor by.
    pub(super) fn token(&self) -> u64 {
        // Relaxed: only the opener and, of a copy, the poller ask.
        let generation = self.generation.load(Ordering::Relaxed);
        u64::from(generation) << 32 | u64::from(self.index)
    }

    fn is_current(&self, token: u64) -> bool {
        // Acquire: pairs with the Release in `open`.
        self.generation.load(Ordering::Acquire) == (token >> 32) as u32
    }
}

/// A token that no descriptor ever has: generations that are open are odd.
pub(super) const INTERRUPT_TOKEN: u64 = 0;

/// Chunk `k` holds `FIRST << k` records.
const FIRST: usize = 64;
const CHUNKS: usize = 26;

static TABLE: [AtomicPtrStd<PollDesc>; CHUNKS] =
    [const { AtomicPtrStd::new(std::ptr::null_mut()) }; CHUNKS];
static FREE: Lock<FreeList> = Lock::new(FreeList {
    spare: Vec::new(),
    made: 0,
});

// The table is a static, which loom's atomics cannot be.
use std::sync::atomic::AtomicPtr as AtomicPtrStd;

struct FreeList {
    spare: Vec<&'static PollDesc>,
    made: usize,
}

fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST + 1).ilog2() as usize;
    (chunk, index - FIRST * ((1 << chunk) - 1))
}

/// The record of an event, unless it is stale.
pub(super) fn find(token: u64) -> Option<&'static PollDesc> {
    let (chunk, at) = place(token as u32 as usize);
    // Acquire: pairs with the Release in `open`.
    let first = TABLE[chunk].load(Ordering::Acquire);
    if first.is_null() {
        return None;
    }
    // SAFETY: the chunk was leaked by `open` with FIRST << chunk records, and
    // `place` gives an index below that.
    let desc = unsafe { &*first.add(at) };
    desc.is_current(token).then_some(desc)
}

/// A record for a descriptor about to be watched.
pub(super) fn open(watch: &Arc<Watch>, fd: RawFd) -> &'static PollDesc {
    let desc = {
        let mut free = FREE.lock();
        free.spare.pop().unwrap_or_else(|| grow(&mut free))
    };
    desc.read.reset();
    desc.write.reset();
    desc.lasting.store(false, Ordering::Relaxed);
    desc.watch
        .store(Arc::as_ptr(watch).cast_mut(), Ordering::Release);
    // After the watch, which who finds the number here uses.
    desc.level.open(fd);
    // Release: pairs with the Acquire in `is_current`.
    desc.generation.fetch_add(1, Ordering::Release);
    desc
}

/// Gives the record of a descriptor that is no longer watched, and that
/// nobody waits for, back for reuse.
pub(super) fn close(desc: &'static PollDesc) {
    desc.level.close();
    desc.generation.fetch_add(1, Ordering::Release);
    FREE.lock().spare.push(desc);
}

#[cold]
fn grow(free: &mut FreeList) -> &'static PollDesc {
    let (chunk, _) = place(free.made);
    let len = FIRST << chunk;
    let records: Vec<PollDesc> = (free.made..free.made + len)
        .map(|index| PollDesc::new(index as u32))
        .collect();
    let records: &'static mut [PollDesc] = Vec::leak(records);
    // Release: pairs with the Acquire in `find`.
    TABLE[chunk].store(records.as_mut_ptr(), Ordering::Release);
    free.made += len;
    let first = TABLE[chunk].load(Ordering::Relaxed);
    // SAFETY: leaked above; from here on only reached by shared references.
    let records: &'static [PollDesc] = unsafe { std::slice::from_raw_parts(first, len) };
    // Low indices come first.
    free.spare.extend(records[1..].iter().rev());
    &records[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_consecutive_indices_fills_chunk_after_chunk() {
        let mut expected = (0, 0);
        for index in 0..FIRST * 40 {
            assert_eq!(place(index), expected, "index {index}");
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }
}
