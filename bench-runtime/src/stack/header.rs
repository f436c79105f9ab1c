//! The header at the top of a slot, and how to find it from any address in the slot.
//!
//! The goroutine on the slot and the scheduler, on the goroutine's thread, use the `Cell`s of its
//! header. While the goroutine is parked, they belong to the thread that has readied or claimed it.
//! Reading the header of a compacted stack restores the stack.

use std::cell::Cell;
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use super::class::{
    Class, ClassInfo, DEEP_BYTES, DEEP_GUARD, GROUP_SHIFT, SMALLEST_SHIFT, SPARSE, STEP_OF_SHIFT,
    slot_top,
};

#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct StackHeader {
    /// The goroutine that uses the stack, or used it last.
    pub(crate) g: Owner,
    /// The M that runs the goroutine.
    pub(crate) machine: Owner,
    pub(crate) wait_object: WaitObject,
    pub(crate) locals: Cell<*mut ()>,
    /// How often the goroutine is locked to its thread.
    pub(crate) pins: Cell<u32>,
    class: Cell<Class>,
    /// Whether a visit has written `committed`, `peak` and `growth`.
    pub(super) measured: Cell<bool>,
    pub(crate) panics: Cell<u16>,
    /// For the sanitizers: see `stack::fiber`.
    pub(crate) scratch: Cell<usize>,
    limit: Cell<usize>,
    usable: Cell<u32>,
    initial: Cell<u32>,
    /// Bytes in memory at the last visit.
    pub(super) committed: Cell<u32>,
    /// The most bytes, at any visit, from the lowest page in memory to the top of the slot.
    pub(super) peak: Cell<u32>,
    /// The number of pages that were added after the first page, as far as visits saw.
    pub(super) growth: Cell<u32>,
    /// The number of wakers that the goroutine is calling, one inside the other.
    pub(crate) wakes: Cell<u8>,
}

/// The address of a goroutine or an M. Other threads may read it while the header's thread writes
/// it.
#[derive(Debug, Default)]
pub(crate) struct Owner(AtomicPtr<()>);

impl Owner {
    /// Only for the thread that runs the goroutine; see [`Self::look`].
    #[inline]
    pub(crate) fn get(&self) -> *mut () {
        self.0.load(Ordering::Relaxed)
    }

    /// As [`Self::get`], for any thread.
    pub(crate) fn look(&self) -> *mut () {
        // Acquire: pairs with the Release in `set`; the goroutine or M at this address exists.
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set(&self, g: *mut ()) {
        // Release: pairs with the Acquire in `look`.
        self.0.store(g, Ordering::Release);
    }
}

/// The object that a goroutine waits for. The sweep marks it by the lowest bit, and the next wait
/// overwrites the mark. So a goroutine that is parked with the mark has not run since the marking.
#[derive(Debug, Default)]
pub(crate) struct WaitObject(AtomicUsize);

impl WaitObject {
    const MARK: usize = 1;

    #[inline]
    pub(crate) fn get(&self) -> *const () {
        Self::parts(self.0.load(Ordering::Relaxed)).0
    }

    /// Splits a word into the object and whether it is marked.
    #[inline]
    pub(crate) fn parts(word: usize) -> (*const (), bool) {
        ((word & !Self::MARK) as *const (), word & Self::MARK != 0)
    }

    #[inline(always)]
    pub(crate) fn set(&self, object: *const ()) {
        self.0.store(object as usize, Ordering::Relaxed);
    }

    /// Allowed while the goroutine runs.
    pub(super) fn mark(&self) {
        self.0.fetch_or(Self::MARK, Ordering::Relaxed);
    }

    /// True also for an object at an odd address; then the sweep acts one pass early.
    pub(super) fn is_marked(&self) -> bool {
        Self::parts(self.0.load(Ordering::Relaxed)).1
    }
}

// SP must be 64-byte aligned at the top, and the first page must keep almost 2 KiB for the frames
// of a shallow goroutine. The scheduler uses the fields before `limit`, which must be in the
// first cache line.
const _: () = assert!(size_of::<StackHeader>() == 128);
const _: () = assert!(offset_of!(StackHeader, limit) <= 64);

/// A slot in use or in a cache, by the address of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stack(NonNull<StackHeader>);

// SAFETY: a `Stack` is an address. The cells in its header belong to one thread at a time, by the
// rule at the top of this file.
unsafe impl Send for Stack {}

impl Stack {
    /// # Safety
    ///
    /// The address is that of the header of a slot whose page is writable, and the slot is not in
    /// use.
    pub(super) unsafe fn initialise(header: NonNull<StackHeader>, class: Class, info: &ClassInfo) {
        let limit = slot_top(header.as_ptr() as usize) - info.usable;
        // SAFETY: by the caller's promise; header addresses are aligned to a cache line.
        unsafe {
            header.write(StackHeader {
                g: Owner::default(),
                machine: Owner::default(),
                wait_object: WaitObject::default(),
                locals: Cell::new(ptr::null_mut()),
                pins: Cell::new(0),
                class: Cell::new(class),
                measured: Cell::new(false),
                panics: Cell::new(0),
                scratch: Cell::new(0),
                limit: Cell::new(limit),
                usable: Cell::new(info.usable as u32),
                initial: Cell::new(info.initial as u32),
                committed: Cell::new(0),
                peak: Cell::new(0),
                growth: Cell::new(0),
                wakes: Cell::new(0),
            });
        }
    }

    #[inline]
    pub(crate) fn from_header(header: NonNull<StackHeader>) -> Self {
        Self(header)
    }

    #[inline]
    pub(crate) fn as_ptr(self) -> NonNull<StackHeader> {
        self.0
    }

    #[inline]
    pub(crate) fn header(self) -> &'static StackHeader {
        // SAFETY: slots are never unmapped. The header of a slot in use is initialised, and zeros
        // are a valid header too.
        unsafe { self.0.as_ref() }
    }

    /// The initial stack pointer, aligned to 64 bytes: just below the header.
    #[inline]
    pub(crate) fn top(self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    /// The lowest usable address: the guard ends here.
    #[inline]
    pub(crate) fn limit(self) -> usize {
        self.header().limit.get()
    }

    /// Bytes from the limit to the top of the slot, with the header.
    #[inline]
    pub(crate) fn usable(self) -> usize {
        self.header().usable.get() as usize
    }

    #[inline]
    pub(crate) fn slot_top(self) -> usize {
        self.limit() + self.usable()
    }

    pub(crate) fn initial(self) -> usize {
        self.header().initial.get() as usize
    }

    #[inline]
    pub(super) fn reset_accounting(self) {
        let header = self.header();
        // The flag is in the first cache line, which the scheduler has read already.
        if header.measured.get() {
            header.measured.set(false);
            header.committed.set(0);
            header.peak.set(0);
            header.growth.set(0);
        }
    }

    #[inline]
    pub(crate) fn class(self) -> Class {
        self.header().class.get()
    }
}

/// Headers have this many distances from the end of their slot, a cache line apart, so headers of
/// neighbouring slots lie in different sets of the CPU's caches.
const COLOURS: usize = 32;
const LINE: usize = 64;

/// All zeros until the arena is reserved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Geometry {
    /// The sparse region's bytes. It ends at `base`.
    pub(super) sparse: usize,
    /// The start of the other regions.
    pub(super) base: usize,
    /// The bytes of all other regions.
    pub(super) size: usize,
    /// Each of the other regions has `1 << region_shift` bytes.
    pub(super) region_shift: u32,
}

#[inline(always)]
fn deep_header(start: usize, offset: usize) -> Option<NonNull<StackHeader>> {
    const LAST: usize = (1 << GROUP_SHIFT) - 1;
    let top = start + ((offset | LAST) - (LAST + 1 - DEEP_BYTES)) + 1;
    header_below(top, offset >> GROUP_SHIFT)
}

#[inline(always)]
fn plain_header(base: usize, offset: usize, region_shift: u32) -> Option<NonNull<StackHeader>> {
    let shift = SMALLEST_SHIFT + STEP_OF_SHIFT * (offset >> region_shift) as u32;
    let number = offset >> shift;
    header_below(base + ((number + 1) << shift), number)
}

#[inline(always)]
fn header_below(top: usize, number: usize) -> Option<NonNull<StackHeader>> {
    let header = top - size_of::<StackHeader>() - (number % COLOURS) * LINE;
    NonNull::new(header as *mut StackHeader)
}

impl Geometry {
    pub(super) fn start(self) -> usize {
        self.base - self.sparse
    }

    pub(super) fn bytes(self) -> usize {
        self.sparse + self.size
    }

    /// The header of the slot that contains `address`. In a deep slot's guard, this returns the
    /// header of the slot before it.
    pub(super) fn header_of(self, address: usize) -> Option<NonNull<StackHeader>> {
        let offset = address.wrapping_sub(self.start());
        if offset < self.sparse {
            return deep_header(self.start(), offset);
        }
        let offset = address.wrapping_sub(self.base);
        (offset < self.size)
            .then(|| plain_header(self.base, offset, self.region_shift))
            .flatten()
    }

    /// The header of the slot that contains `address`, which may be in the slot's guard.
    pub(super) fn owner_of(self, address: usize) -> Option<NonNull<StackHeader>> {
        let (region, number) = self.locate(address)?;
        self.header_of(self.slot_base(region, number))
    }

    /// The region and the number of the slot that contains `address`, which may be in the guard.
    pub(super) fn locate(self, address: usize) -> Option<(usize, usize)> {
        let offset = address.wrapping_sub(self.start());
        if offset < self.sparse {
            let number = (offset + DEEP_GUARD) >> GROUP_SHIFT;
            return (number < self.slots(SPARSE)).then_some((SPARSE, number));
        }
        let offset = address.wrapping_sub(self.base);
        if offset >= self.size {
            return None;
        }
        let region = offset >> self.region_shift;
        let within = offset & ((1 << self.region_shift) - 1);
        Some((
            region,
            within >> (SMALLEST_SHIFT + STEP_OF_SHIFT * region as u32),
        ))
    }

    pub(super) fn slot_base(self, region: usize, number: usize) -> usize {
        if region == SPARSE {
            return self.start() + (number << GROUP_SHIFT);
        }
        let shift = SMALLEST_SHIFT + STEP_OF_SHIFT * region as u32;
        self.base + (region << self.region_shift) + (number << shift)
    }

    pub(super) fn slots(self, region: usize) -> usize {
        if region == SPARSE {
            return self.sparse >> GROUP_SHIFT;
        }
        (1 << self.region_shift) >> (SMALLEST_SHIFT + STEP_OF_SHIFT * region as u32)
    }
}

/// The [`Geometry`] that [`header_of`] reads, in a cache line of its own. Written once.
#[repr(align(64))]
struct Shared {
    start: AtomicUsize,
    sparse: AtomicUsize,
    base: AtomicUsize,
    region_shift: AtomicU32,
    size: AtomicUsize,
}

static SHARED: Shared = Shared {
    start: AtomicUsize::new(0),
    sparse: AtomicUsize::new(0),
    base: AtomicUsize::new(0),
    region_shift: AtomicU32::new(0),
    size: AtomicUsize::new(0),
};

pub(super) fn publish(geometry: Geometry) {
    SHARED.start.store(geometry.start(), Ordering::Relaxed);
    SHARED.base.store(geometry.base, Ordering::Relaxed);
    SHARED
        .region_shift
        .store(geometry.region_shift, Ordering::Relaxed);
    // Release: pairs with the Acquires in `header_of`; a size that is not zero makes the other
    // fields visible.
    SHARED.sparse.store(geometry.sparse, Ordering::Release);
    SHARED.size.store(geometry.size, Ordering::Release);
}

/// The header of the slot that contains `address`, between limit and top; `None` outside the arena.
/// The scheduler finds the running goroutine from SP in this way.
#[inline(always)]
pub(crate) fn header_of(address: usize) -> Option<NonNull<StackHeader>> {
    // Acquire, twice: pairs with the Releases in `publish`.
    let sparse = SHARED.sparse.load(Ordering::Acquire);
    let start = SHARED.start.load(Ordering::Relaxed);
    let offset = address.wrapping_sub(start);
    // First, because most goroutines have deep slots.
    if offset < sparse {
        return deep_header(start, offset);
    }
    let size = SHARED.size.load(Ordering::Acquire);
    let base = SHARED.base.load(Ordering::Relaxed);
    let offset = address.wrapping_sub(base);
    if offset >= size {
        return None;
    }
    plain_header(base, offset, SHARED.region_shift.load(Ordering::Relaxed))
}

/// The header of the slot that contains `address`, which may be in the slot's guard.
pub(super) fn owner_of(address: usize) -> Option<NonNull<StackHeader>> {
    // Acquire: as in `header_of`.
    let size = SHARED.size.load(Ordering::Acquire);
    Geometry {
        sparse: SHARED.sparse.load(Ordering::Relaxed),
        base: SHARED.base.load(Ordering::Relaxed),
        size,
        region_shift: SHARED.region_shift.load(Ordering::Relaxed),
    }
    .owner_of(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::class::REGIONS;

    fn geometry() -> Geometry {
        Geometry {
            sparse: 1 << 35,
            base: 0x7000_0000_0000,
            size: REGIONS << 36,
            region_shift: 36,
        }
    }

    #[test]
    fn every_address_of_a_slot_has_its_header() {
        let geometry = geometry();
        for region in 0..REGIONS {
            let bytes = 1usize << (SMALLEST_SHIFT + STEP_OF_SHIFT * region as u32);
            let last = geometry.slots(region) - 1;
            for number in [0, 1, 31, 32, 33, last / 2, last] {
                if number > last {
                    continue;
                }
                let base = geometry.slot_base(region, number);
                assert_eq!(geometry.locate(base + bytes - 1), Some((region, number)));
                let expected = geometry.header_of(base).unwrap();
                let start = expected.as_ptr() as usize;
                assert!(start.is_multiple_of(LINE));
                assert!(start >= base + bytes - 4096 + (2048 - 128), "first page");
                assert!(start + 128 <= base + bytes);
                for offset in [1, 63, 4096, bytes / 2, bytes - 4096, bytes - 1] {
                    assert_eq!(geometry.header_of(base + offset), Some(expected));
                }
            }
        }
    }

    #[test]
    fn every_address_of_a_deep_slot_has_its_header_and_its_guard_is_before_it() {
        let geometry = geometry();
        for number in [1, 2, 31, 32, 33, geometry.slots(SPARSE) - 1] {
            let base = geometry.slot_base(SPARSE, number);
            let expected = geometry.header_of(base).unwrap();
            let start = expected.as_ptr() as usize;
            let top = base + DEEP_BYTES;
            assert!(start.is_multiple_of(LINE));
            assert!((top - 4096 + 2048 - 128..=top - 128).contains(&start));
            for offset in [0, 1, 4096, 8 << 20, DEEP_BYTES - 4096, DEEP_BYTES - 1] {
                assert_eq!(geometry.header_of(base + offset), Some(expected));
                assert_eq!(geometry.owner_of(base + offset), Some(expected));
                assert_eq!(geometry.locate(base + offset), Some((SPARSE, number)));
            }
            for below in [1, 4096, DEEP_GUARD] {
                assert_eq!(geometry.owner_of(base - below), Some(expected));
                assert_eq!(geometry.locate(base - below), Some((SPARSE, number)));
            }
        }
    }

    #[test]
    fn header_of_neighbouring_slots_differs_in_cache_set() {
        let geometry = geometry();
        for region in [1, SPARSE] {
            let header = |number| geometry.header_of(geometry.slot_base(region, number));
            let mut lines: Vec<usize> = (0..COLOURS)
                .map(|number| header(number).unwrap().as_ptr() as usize % 4096)
                .collect();
            lines.sort_unstable();
            lines.dedup();
            assert_eq!(lines.len(), COLOURS);
        }
    }

    #[test]
    fn header_of_an_address_outside_the_arena_is_none() {
        let geometry = geometry();
        let end = geometry.base + geometry.size;
        for address in [0, 1, geometry.start() - 1, end, !0] {
            assert_eq!(geometry.header_of(address), None);
            assert_eq!(geometry.owner_of(address), None);
        }
        assert_eq!(Geometry::default().header_of(0), None);
    }

    #[test]
    fn header_of_a_plain_threads_stack_is_none() {
        let local = 0u8;
        assert_eq!(header_of(&raw const local as usize), None);
    }
}
