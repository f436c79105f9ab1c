//! The arena: one reservation of address space. It has a region for each size of slot, and the
//! sparse region of deep slots in front of them.
//!
//! A region hands out its slots from the lowest address up, a batch at a time. A batch gets its
//! guards in one call.
//!
//! In regions whose chunks can be sealed, each [`CHUNK`] is a mapping of its own, so a page fault
//! does not wait while compaction changes another chunk.

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::StackError;
use super::class::{ALL_REGIONS, GROUP_SHIFT, REGIONS, SPARSE};
use super::class::{CLASSES, Class, ClassInfo, LARGEST_SLOT, slot_bytes};
use super::guard::{Guards, refused};
use super::header::{Geometry, StackHeader, publish};
use super::limits::{CACHED, IN_HAND};
use super::slots::SlotTable;
use crate::sys::madvise::{self, Advice, PageRange};
use crate::sys::map::{self, Access, PAGE};
use crate::util::lock::Lock;

/// The first size that is tried: a quarter of a process's address space on x86-64. The thread
/// sanitizer ends a program that reserves more than it allows.
const LARGEST_RESERVATION: usize = if cfg!(rt_tsan) { 1 << 40 } else { 32 << 40 };
/// Every region must have at least one slot.
const SMALLEST_RESERVATION: usize = REGIONS * LARGEST_SLOT;

/// The size of the other regions, divided by that of the sparse region.
const SPARSE_SHARE: usize = 16;
/// How many goroutines may have deep stacks. Slots in caches and in a trim do not count.
const DEEP_STACKS: usize = 10_000;
/// The number of the first deep slot. The chunk before it has no slots, only this slot's guard.
const FIRST_DEEP: usize = CHUNK >> GROUP_SHIFT;

/// The most bytes of a batch while few slots are open: every two MiB that hold a guard cost a page
/// of page table.
const BATCH_BYTES: usize = 64 << 20;
/// A larger batch opens at most one slot for so many open ones. A batch takes three system calls,
/// and other threads that need a slot wait meanwhile.
const BATCH_SHARE: usize = 8;
/// The bytes of a chunk. Ten million shallow stacks take 40,000 chunks, and so as many mappings.
pub(super) const CHUNK: usize = 64 << 20;
/// The most chunks of a region that are mappings of their own, of the 65,530 mappings that a
/// process usually may have.
const MOST_APART: usize = 48 << 10;
const SMALLEST_BATCH: usize = 16;
const LARGEST_BATCH: usize = 1024;
/// The mappings that are left for threads and the heap if the kernel has no guard markers, so that
/// each stack takes two.
const LEFT_MAPPINGS: usize = 1024;

/// An unused slot, by the address of its header. The header's page may have been freed.
#[derive(Clone, Copy, Debug)]
pub(super) struct FreeSlot(pub(super) NonNull<StackHeader>);

// SAFETY: an address in memory that is never unmapped; only the holder of the `FreeSlot` may use
// the slot.
unsafe impl Send for FreeSlot {}

/// The free slots of one class. `warm` slots still hold pages of their last use, and are taken
/// first. `cold` slots hold no pages.
#[derive(Debug, Default)]
pub(super) struct FreeList {
    pub(super) warm: Vec<FreeSlot>,
    pub(super) cold: Vec<FreeSlot>,
}

#[derive(Debug)]
pub(super) struct Arena {
    geometry: Geometry,
    guards: Guards,
    /// The number of guards that take mappings of their own.
    protected: AtomicUsize,
    pub(super) slots: SlotTable,
    /// The number of the next slot of each region to be handed out.
    regions: [Lock<usize>; ALL_REGIONS],
    free: [Lock<FreeList>; CLASSES],
    caches: AtomicUsize,
    /// A hint that no deep slot is left, which avoids a search each time.
    deep_spent: AtomicBool,
}

static GLOBAL: OnceLock<Arena> = OnceLock::new();
static MAKE: Lock<()> = Lock::new(());

/// How many slots of `slot_bytes` are opened at once in a region with `open` of them.
fn batch_of(slot_bytes: usize, open: usize) -> usize {
    let most = (BATCH_BYTES / slot_bytes).max(open / BATCH_SHARE).max(1);
    open.clamp(SMALLEST_BATCH, LARGEST_BATCH).min(most)
}

impl Arena {
    pub(super) fn global() -> Result<&'static Self, StackError> {
        if let Some(arena) = GLOBAL.get() {
            return Ok(arena);
        }
        let _make = MAKE.lock();
        if let Some(arena) = GLOBAL.get() {
            return Ok(arena);
        }
        let arena = GLOBAL.get_or_init({
            let arena = Self::reserve(LARGEST_RESERVATION, None)?;
            || arena
        });
        publish(arena.geometry);
        Ok(arena)
    }

    pub(super) fn existing() -> Option<&'static Self> {
        GLOBAL.get()
    }

    /// Halves `bytes` each time that the system refuses. If `guards` is `None`, detects which kind
    /// of guard the kernel has.
    pub(super) fn reserve(mut bytes: usize, guards: Option<Guards>) -> Result<Self, StackError> {
        let found = map::page_size();
        if found != PAGE {
            return Err(StackError::PageSize {
                expected: PAGE,
                found,
            });
        }
        let (start, sparse) = loop {
            let sparse = bytes / SPARSE_SHARE;
            match map::reserve(bytes + sparse, LARGEST_SLOT) {
                Ok(start) => break (start, sparse),
                Err(_) if bytes / 2 >= SMALLEST_RESERVATION => bytes /= 2,
                Err(source) => return Err(StackError::Reserve { bytes, source }),
            }
        };
        let all = PageRange {
            start,
            bytes: bytes + sparse,
        };
        // SAFETY: the reservation is ours and empty.
        unsafe { without_huge_pages(all) };
        let guards = match guards {
            Some(guards) => guards,
            None => {
                let page = PageRange { start, bytes: PAGE };
                // SAFETY: the page is part of our reservation, and not yet in use.
                unsafe {
                    map::protect(start, PAGE, Access::ReadWrite).map_err(refused)?;
                    let guards = Guards::detect(start);
                    let _ = madvise::advise(page, Advice::DontNeed);
                    let _ = map::protect(start, PAGE, Access::None);
                    guards
                }
            }
        };
        let geometry = Geometry {
            sparse,
            base: start + sparse,
            size: bytes,
            region_shift: (bytes / REGIONS).ilog2(),
        };
        let slots = SlotTable::new(&geometry).map_err(StackError::OutOfMemory)?;
        Ok(Self {
            geometry,
            guards,
            protected: AtomicUsize::new(0),
            slots,
            regions: std::array::from_fn(|region| {
                Lock::new(if region == SPARSE { FIRST_DEEP } else { 0 })
            }),
            caches: AtomicUsize::new(0),
            deep_spent: AtomicBool::new(false),
            free: [const {
                Lock::new(FreeList {
                    warm: Vec::new(),
                    cold: Vec::new(),
                })
            }; CLASSES],
        })
    }

    pub(super) fn word_of(&self, address: usize) -> Option<&AtomicU64> {
        let (region, number) = self.geometry.locate(address)?;
        Some(self.slots.word(region, number))
    }

    pub(super) fn opened(&self, region: usize) -> usize {
        *self.regions[region].lock()
    }

    pub(super) fn guards(&self) -> Guards {
        self.guards
    }

    pub(super) fn free(&self, class: Class) -> &Lock<FreeList> {
        &self.free[class.index()]
    }

    pub(super) fn put_back(&self, class: Class, put: impl FnOnce(&mut FreeList)) {
        let mut free = self.free(class).lock();
        put(&mut free);
        if class == Class::DEEP {
            self.deep_spent.store(false, Ordering::Relaxed);
        }
    }

    /// Registers a cache, for which the arena may open more deep slots.
    pub(super) fn add_cache(&self) {
        self.put_back(Class::DEEP, |_| {
            self.caches.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(super) fn remove_cache(&self) {
        self.caches.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn deep_spent(&self) -> bool {
        self.deep_spent.load(Ordering::Relaxed)
    }

    fn max_count(&self, region: usize) -> usize {
        let slots = self.geometry.slots(region);
        match region {
            SPARSE => {
                let cached = self.caches.load(Ordering::Relaxed) * CACHED;
                slots.min(FIRST_DEEP + DEEP_STACKS + cached + IN_HAND)
            }
            _ => slots,
        }
    }

    /// Takes up to `count` free slots, and at least one.
    pub(super) fn take(&self, class: Class, count: usize) -> Result<FreeList, StackError> {
        let mut free = self.free(class).lock();
        if free.warm.is_empty() && free.cold.is_empty() {
            let info = class.info();
            let new = self.grow(&info);
            if new.is_err() && class == Class::DEEP {
                self.deep_spent.store(true, Ordering::Relaxed);
            }
            let new = new?;
            // In reverse, because slots are taken from the end: the lowest slots, which are on the
            // fullest page tables, are used first.
            let slots = new.rev().map(|number| {
                let base = self.geometry.slot_base(info.region, number);
                match self.geometry.header_of(base) {
                    Some(header) => FreeSlot(header),
                    None => unreachable!("a slot outside the arena it was cut from"),
                }
            });
            free.cold.extend(slots);
        }
        let warm = free.warm.len().saturating_sub(count);
        let warm = free.warm.split_off(warm);
        let cold = free.cold.len().saturating_sub(count - warm.len());
        let cold = free.cold.split_off(cold);
        Ok(FreeList { warm, cold })
    }

    fn grow(&self, info: &ClassInfo) -> Result<std::ops::Range<usize>, StackError> {
        let mut next = self.regions[info.region].lock();
        let slot = info.slot_bytes();
        let slots = self.max_count(info.region);
        let batch = batch_of(slot, *next).min(slots.saturating_sub(*next));
        if batch == 0 {
            return Err(StackError::OutOfSlots {
                slot_bytes: slot,
                slots,
            });
        }
        let mut batch = self.take_mappings(batch)?;
        let first = self.geometry.slot_base(info.region, *next);
        let made = loop {
            // SAFETY: slots from `next` up are not in use, and the lock is held.
            match unsafe { self.open(info, first, batch) } {
                // The host may have room for fewer. Few tries, because each reads the mappings.
                Err(_) if batch > 1 => {
                    let small = (BATCH_BYTES / slot).max(1);
                    let fewer = if batch > small { small } else { 1 };
                    self.give_back_mappings(batch - fewer);
                    batch = fewer;
                }
                made => break made,
            }
        };
        let made_count = *made.as_ref().unwrap_or(&0);
        self.give_back_mappings(batch - made_count);
        let new = *next..*next + made?;
        *next = new.end;
        Ok(new)
    }

    /// Makes up to `batch` slots from `first` on usable, with their guards. Returns their number,
    /// at least one.
    ///
    /// # Safety
    ///
    /// The caller owns the slots, and they are not in use.
    unsafe fn open(
        &self,
        info: &ClassInfo,
        first: usize,
        batch: usize,
    ) -> Result<usize, StackError> {
        let slot = info.slot_bytes();
        // SAFETY: by the caller's promise.
        unsafe { map::protect(first, batch * slot, Access::ReadWrite) }.map_err(refused)?;
        if slots_per_chunk(info.region).is_some() {
            self.keep_apart(first, batch * slot);
        }
        let guards: Vec<PageRange> = (0..batch)
            .map(|index| info.guard(first + index * slot))
            .collect();
        // SAFETY: as above.
        match unsafe { self.guards.install(&guards) } {
            Ok(()) => Ok(batch),
            Err((0, error)) => Err(error),
            // Slots that have their guard can be used.
            Err((made, _)) => Ok(made),
        }
    }

    /// Takes mappings for up to `batch` guards; returns for how many guards it got them.
    fn take_mappings(&self, batch: usize) -> Result<usize, StackError> {
        if self.guards == Guards::Markers {
            return Ok(batch);
        }
        let limit = map::limit().unwrap_or(usize::MAX);
        let max_count = limit.saturating_sub(LEFT_MAPPINGS) / 2;
        let taken = self
            .protected
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < max_count).then(|| max_count.min(taken + batch))
            });
        match taken {
            Ok(before) => Ok(batch.min(max_count - before)),
            Err(all) => Err(StackError::MapLimit {
                maps: 2 * all,
                limit,
            }),
        }
    }

    /// Returns mappings that were taken for guards which the kernel then refused.
    fn give_back_mappings(&self, guards: usize) {
        if self.guards == Guards::Protect {
            self.protected.fetch_sub(guards, Ordering::Relaxed);
        }
    }

    /// Gives the odd chunks in a new part of a region other advice than the even ones, so that the
    /// kernel does not merge their mappings.
    fn keep_apart(&self, start: usize, bytes: usize) {
        let region = match self.geometry.locate(start) {
            Some((region, _)) => self.geometry.slot_base(region, 0),
            None => return,
        };
        let mut at = start;
        while at < start + bytes {
            let chunk = (at - self.geometry.start()) / CHUNK;
            let end = (self.geometry.start() + (chunk + 1) * CHUNK).min(start + bytes);
            let in_region = (at - region) / CHUNK;
            if chunk % 2 == 1 && in_region < MOST_APART {
                let range = PageRange {
                    start: at,
                    bytes: end - at,
                };
                // A failure only costs time in compaction. SAFETY: the slots in the range are not
                // in use yet, and the advice changes no content.
                let _ = unsafe { madvise::advise(range, Advice::Random) };
            }
            at = end;
        }
    }

    pub(super) fn advise_chunk(&self, start: usize) {
        let range = PageRange {
            start,
            bytes: CHUNK,
        };
        // SAFETY: the range is part of the arena.
        unsafe { without_huge_pages(range) };
        self.keep_apart(start, CHUNK);
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }
}

/// Advises against huge pages. A kernel without huge pages refuses, which does no harm.
///
/// # Safety
///
/// The range is the caller's.
unsafe fn without_huge_pages(range: PageRange) {
    // SAFETY: by the caller's promise; the advice changes no content.
    let _ = unsafe { madvise::advise(range, Advice::NoHugePage) };
}

/// Gives the address space back in tests, because an emulator has little of it.
#[cfg(test)]
impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the arena belongs to a test, and its slots are no longer in use.
        let _ = unsafe { map::unmap(self.geometry.start(), self.geometry.bytes()) };
    }
}

/// The most slots of a chunk that is sealed. To open that many takes some 0.1 ms.
const MOST_SLOTS: usize = 256;

pub(super) fn is_chunk(region: usize, first: usize, slots: usize) -> bool {
    slots_per_chunk(region) == Some(slots) && first.is_multiple_of(slots)
}

/// The number of slots of a chunk, if chunks of this region are sealed.
pub(super) fn slots_per_chunk(region: usize) -> Option<usize> {
    let slots = CHUNK / slot_bytes(region);
    (1..=MOST_SLOTS).contains(&slots).then_some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::StackPolicy;
    use crate::stack::class::slot_top;
    use crate::sys::child;

    fn small(guards: Option<Guards>) -> Arena {
        Arena::reserve(SMALLEST_RESERVATION, guards).unwrap()
    }

    #[test]
    fn take_until_the_region_is_full_ends_in_out_of_slots() {
        let arena = small(None);
        // A reservation this small has one slot of this size.
        let class = Class::for_limit(LARGEST_SLOT).unwrap();
        assert_eq!(arena.geometry().slots(class.info().region), 1);
        arena.take(class, 1).unwrap();
        match arena.take(class, 1) {
            Err(StackError::OutOfSlots { slot_bytes, slots }) => {
                assert_eq!((slot_bytes, slots), (LARGEST_SLOT, 1));
            }
            other => panic!("expected OutOfSlots, got {other:?}"),
        }
    }

    #[test]
    fn take_gives_each_slot_once() {
        let arena = small(None);
        let class = Class::for_limit(64 << 10).unwrap();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..200 {
            for slot in arena.take(class, 7).unwrap().cold {
                assert!(seen.insert(slot.0), "handed out twice");
            }
        }
        assert!(seen.len() > 1000);
    }

    #[test]
    fn ten_thousand_deep_slots_are_opened_in_a_hundred_batches_at_most() {
        let (mut open, mut batches) = (FIRST_DEEP, 0);
        while open < FIRST_DEEP + DEEP_STACKS {
            let batch = batch_of(1 << GROUP_SHIFT, open);
            assert!(
                (1..=(open / 8).max(4)).contains(&batch),
                "{batch} of {open}"
            );
            open += batch;
            batches += 1;
        }
        assert!(batches <= 100, "{batches}");
    }

    #[test]
    fn slot_is_writable_from_limit_to_top_with_markers_and_with_protection() {
        for guards in [None, Some(Guards::Protect)] {
            let arena = small(guards);
            for policy in [StackPolicy::Fixed(8 << 10), StackPolicy::default()] {
                let class = Class::for_policy(policy).unwrap();
                let info = class.info();
                for slot in arena.take(class, 16).unwrap().cold {
                    let top = slot_top(slot.0.as_ptr() as usize);
                    for address in [top - info.usable, top - 1] {
                        // SAFETY: in a slot that was just taken.
                        unsafe { (address as *mut u8).write_volatile(1) };
                    }
                }
            }
        }
    }

    #[test]
    fn read_below_the_limit_is_a_fault_with_markers_and_with_protection() {
        for (name, guards) in [("markers", None), ("protect", Some(Guards::Protect))] {
            child::expect_signal(
                "stack::arena::tests::read_below_the_limit_is_a_fault_with_markers_and_with_protection",
                name,
                libc::SIGSEGV,
                || {
                    let arena = small(guards);
                    let class = Class::for_policy(StackPolicy::Fixed(8 << 10)).unwrap();
                    let slot = arena.take(class, 1).unwrap().cold[0];
                    let info = class.info();
                    let limit = slot_top(slot.0.as_ptr() as usize) - info.usable;
                    // SAFETY: none; the child must crash here.
                    unsafe { ((limit - 1) as *const u8).read_volatile() };
                },
            );
        }
    }

    #[test]
    fn map_limit_without_markers_is_an_error_that_names_the_sysctl() {
        child::expect_success(
            "stack::arena::tests::map_limit_without_markers_is_an_error_that_names_the_sysctl",
            "limit",
            || {
                let arena = Arena::reserve(1 << 40, Some(Guards::Protect)).unwrap();
                let class = Class::for_limit(64 << 10).unwrap();
                let mut taken = 0;
                let error = loop {
                    match arena.take(class, LARGEST_BATCH) {
                        Ok(slots) => taken += slots.cold.len(),
                        Err(error) => break error,
                    }
                    assert!(taken < 1 << 22, "no limit met");
                };
                assert!(matches!(error, StackError::MapLimit { .. }), "{error:?}");
                assert!(error.to_string().contains("vm.max_map_count"));
                assert!(taken > 1000, "only {taken} stacks before the limit");
            },
        );
    }

    #[test]
    fn slots_refused_at_the_map_limit_do_not_count_as_taken() {
        child::expect_success(
            "stack::arena::tests::slots_refused_at_the_map_limit_do_not_count_as_taken",
            "limit",
            || {
                let arena = Arena::reserve(1 << 40, Some(Guards::Protect)).unwrap();
                let class = Class::for_limit(64 << 10).unwrap();
                let limit = map::limit().expect("Linux says");
                if limit > 1 << 21 {
                    eprintln!("skipped: {limit} mappings are too many to make");
                    return;
                }
                let bytes = 2 * limit * PAGE;
                let filler = map::reserve(bytes, PAGE).unwrap();
                // Each second page becomes a mapping of its own, until the kernel refuses.
                for at in (filler..filler + bytes).step_by(2 * PAGE) {
                    // SAFETY: the reservation is ours, and not in use.
                    if unsafe { map::protect(at, PAGE, Access::ReadWrite) }.is_err() {
                        break;
                    }
                }
                let error = arena.take(class, 1).expect_err("no mapping is left");
                assert!(matches!(error, StackError::MapLimit { .. }), "{error:?}");
                assert_eq!(arena.protected.load(Ordering::Relaxed), 0);
                // SAFETY: as above.
                unsafe { map::unmap(filler, bytes) }.unwrap();
                arena.take(class, 1).expect("there is room again");
                let opened = arena.opened(class.info().region);
                assert_eq!(arena.protected.load(Ordering::Relaxed), opened);
            },
        );
    }

    #[test]
    fn new_slots_take_a_mapping_for_each_chunk_if_chunks_are_sealed_and_else_one() {
        let arena = small(None);
        if arena.guards != Guards::Markers {
            eprintln!("skipped: this kernel has no guard markers");
            return;
        }
        for limit in [64 << 10, 256 << 10] {
            let class = Class::for_limit(limit).unwrap();
            let info = class.info();
            let region = arena.geometry().slot_base(info.region, 0);
            let mut bytes = 0;
            while bytes <= 3 * CHUNK {
                bytes += arena.take(class, 64).unwrap().cold.len() * info.slot_bytes();
            }
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let mappings = maps
                .lines()
                .filter_map(|line| line.split_once(' ')?.0.split_once('-'))
                .map(|(from, _)| usize::from_str_radix(from, 16).unwrap())
                .filter(|from| (region..region + bytes).contains(from))
                .count();
            let expected = match slots_per_chunk(info.region) {
                Some(_) => bytes.div_ceil(CHUNK),
                None => 1,
            };
            assert!(mappings <= expected + 1, "{mappings}, not {expected}");
            assert!(mappings >= expected - 1, "{mappings}, not {expected}");
        }
    }
}
