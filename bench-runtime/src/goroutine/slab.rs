//! The memory of records: chunks that are never returned to the allocator, so that a stale pointer
//! always points to a record. When a runtime ends and none of its records is in use, other runtimes
//! take its chunks. A chunk is aligned to its size.

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use super::{Goroutine, Status};
use crate::util::lock::Lock;

const CHUNK_BYTES: usize = 256 * 1024;
const HEADER_BYTES: usize = 64;
const PER_CHUNK: usize = (CHUNK_BYTES - HEADER_BYTES) / size_of::<Goroutine>();

/// A cache with more records spills half of this many to the slab.
const CACHE_LIMIT: usize = 256;

#[derive(Debug)]
#[repr(C)]
struct Chunk {
    owner: *const (),
    /// Whether the owner's stacks are compacted. A reader may see the value of the chunk's former
    /// owner for a while.
    compacts: AtomicBool,
    next: *mut Chunk,
    /// How many records, from the front, have ever been handed out.
    used: AtomicUsize,
}

const _: () = assert!(size_of::<Chunk>() <= HEADER_BYTES);

impl Chunk {
    fn layout() -> Layout {
        Layout::from_size_align(CHUNK_BYTES, CHUNK_BYTES)
            .unwrap_or_else(|_| unreachable!("a power of two"))
    }

    #[inline(always)]
    fn of(g: &Goroutine) -> *const Self {
        ptr::with_exposed_provenance(ptr::from_ref(g).addr() & !(CHUNK_BYTES - 1))
    }

    fn record(this: *mut Self, index: usize) -> *mut Goroutine {
        debug_assert!(index < PER_CHUNK);
        // SAFETY: inside the chunk by the bound on the index.
        unsafe {
            this.cast::<u8>()
                .add(HEADER_BYTES)
                .cast::<Goroutine>()
                .add(index)
        }
    }
}

#[derive(Debug)]
pub(crate) struct Slab {
    owner: *const (),
    compacts: bool,
    /// The newest chunk. The list only grows, until `retire` empties it.
    chunks: AtomicPtr<Chunk>,
    spare: Lock<Spare>,
}

#[derive(Debug)]
struct Spare {
    free: *mut Goroutine,
}

// SAFETY: the free list is used only under its lock; a chunk is complete before it is published,
// and is never freed.
unsafe impl Sync for Slab {}
// SAFETY: as above.
unsafe impl Send for Slab {}

/// A P's own records: a free list, and the part of `chunk` from index `fresh` on, which was never
/// handed out.
#[derive(Debug)]
pub(crate) struct Cache {
    free: *mut Goroutine,
    len: usize,
    chunk: *mut Chunk,
    fresh: usize,
}

// SAFETY: a cache is used by one thread at a time.
unsafe impl Send for Cache {}

impl Cache {
    pub(crate) const fn new() -> Self {
        Self {
            free: ptr::null_mut(),
            len: 0,
            chunk: ptr::null_mut(),
            fresh: PER_CHUNK,
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, slab: &Slab) -> &'static Goroutine {
        if let Some(g) = NonNull::new(self.free) {
            // SAFETY: it is on our free list, so it is ours.
            let g: &'static Goroutine = unsafe { g.as_ref() };
            self.free = g.next().load(Ordering::Relaxed);
            self.len -= 1;
            return g;
        }
        self.refill(slab)
    }

    #[cold]
    fn refill(&mut self, slab: &Slab) -> &'static Goroutine {
        {
            let mut spare = slab.spare.lock();
            while self.len < CACHE_LIMIT / 2
                && let Some(g) = NonNull::new(spare.free)
            {
                // SAFETY: it is on the slab's free list, whose lock we hold.
                let g_ref = unsafe { g.as_ref() };
                spare.free = g_ref.next().load(Ordering::Relaxed);
                g_ref.next().store(self.free, Ordering::Relaxed);
                self.free = g.as_ptr();
                self.len += 1;
            }
        }
        if !self.free.is_null() {
            return self.take(slab);
        }
        if self.fresh == PER_CHUNK {
            if let Some((chunk, used)) = slab.adopt() {
                (self.chunk, self.fresh) = (chunk, used);
                return self.refill(slab);
            }
            self.chunk = slab.add_chunk();
            self.fresh = 0;
        }
        let raw = Chunk::record(self.chunk, self.fresh);
        self.fresh += 1;
        // SAFETY: the place is ours by `fresh`; after the write it is a record for ever. Release:
        // pairs with the Acquire in `Slab::for_each`.
        unsafe {
            raw.write(Goroutine::unused());
            (*self.chunk).used.store(self.fresh, Ordering::Release);
            &*raw
        }
    }

    /// The record's body must be empty.
    #[inline]
    pub(crate) fn put(&mut self, slab: &Slab, g: &'static Goroutine) {
        g.next().store(self.free, Ordering::Relaxed);
        self.free = ptr::from_ref(g).cast_mut();
        self.len += 1;
        if self.len > CACHE_LIMIT {
            self.spill(slab, CACHE_LIMIT / 2);
        }
    }

    #[cold]
    fn spill(&mut self, slab: &Slab, keep: usize) {
        let mut spare = slab.spare.lock();
        while self.len > keep
            && let Some(g) = NonNull::new(self.free)
        {
            // SAFETY: it is on our free list.
            let g_ref = unsafe { g.as_ref() };
            self.free = g_ref.next().load(Ordering::Relaxed);
            self.len -= 1;
            g_ref.next().store(spare.free, Ordering::Relaxed);
            spare.free = g.as_ptr();
        }
    }
}

impl Slab {
    /// [`Slab::owner_of`] and [`Slab::compacts`] return the arguments for records of this slab.
    pub(crate) fn new(owner: *const (), compacts: bool) -> Self {
        Self {
            owner,
            compacts,
            chunks: AtomicPtr::new(ptr::null_mut()),
            spare: Lock::new(Spare {
                free: ptr::null_mut(),
            }),
        }
    }

    /// Puts the record on the slab's free list. For a thread without a cache.
    pub(crate) fn put(&self, g: &'static Goroutine) {
        let mut spare = self.spare.lock();
        g.next().store(spare.free, Ordering::Relaxed);
        spare.free = ptr::from_ref(g).cast_mut();
    }

    #[inline(always)]
    pub(crate) fn owner_of(g: &Goroutine) -> *const () {
        // SAFETY: the header was written before any record was handed out.
        unsafe { (*Chunk::of(g)).owner }
    }

    /// Read from the chunk, because the owner may be freed.
    pub(crate) fn compacts(g: &Goroutine) -> bool {
        // SAFETY: as in `owner_of`; chunks are never freed.
        unsafe { (*Chunk::of(g)).compacts.load(Ordering::Relaxed) }
    }

    /// Takes a chunk out of the pool; also returns the number of its records. The places after them
    /// are the caller's.
    fn adopt(&self) -> Option<(*mut Chunk, usize)> {
        let Pooled(chunk) = POOL.lock().pop()?;
        // SAFETY: removed from the pool, so no other thread uses it; chunks are never freed.
        let used = unsafe { chunk.as_ref() }.used.load(Ordering::Relaxed);
        self.publish(chunk.as_ptr());
        for index in 0..used {
            // SAFETY: written before `used` covered it, and on no list.
            self.put(unsafe { &*Chunk::record(chunk.as_ptr(), index) });
        }
        Some((chunk.as_ptr(), used))
    }

    fn add_chunk(&self) -> *mut Chunk {
        // SAFETY: the layout has a size.
        let chunk = unsafe { alloc::alloc(Chunk::layout()) }.cast::<Chunk>();
        if chunk.is_null() {
            alloc::handle_alloc_error(Chunk::layout());
        }
        // SAFETY: fresh memory of this layout.
        unsafe {
            chunk.write(Chunk {
                owner: ptr::null(),
                compacts: AtomicBool::new(false),
                next: ptr::null_mut(),
                used: AtomicUsize::new(0),
            });
        }
        self.publish(chunk)
    }

    /// Adds a chunk, which is the caller's alone, to the list.
    fn publish(&self, chunk: *mut Chunk) -> *mut Chunk {
        chunk.expose_provenance();
        let mut next = self.chunks.load(Ordering::Relaxed);
        loop {
            // SAFETY: the chunk is ours until it is published.
            unsafe {
                (*chunk).owner = self.owner;
                (*chunk).compacts.store(self.compacts, Ordering::Relaxed);
                (*chunk).next = next;
            }
            // Release: pairs with the Acquire in `for_each`.
            match self
                .chunks
                .compare_exchange(next, chunk, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return chunk,
                Err(now) => next = now,
            }
        }
    }

    /// Visits every record that was ever handed out. A record may change during the visit.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&'static Goroutine)) {
        // Acquire: pairs with the Release in `publish`.
        let mut chunk = self.chunks.load(Ordering::Acquire);
        while let Some(this) = NonNull::new(chunk) {
            // SAFETY: chunks are never freed. Acquire: pairs with the Release in `refill`, so the
            // records below `used` are written.
            let (used, next) = unsafe {
                (
                    this.as_ref().used.load(Ordering::Acquire),
                    this.as_ref().next,
                )
            };
            for index in 0..used {
                // SAFETY: written before `used` covered it.
                f(unsafe { &*Chunk::record(chunk, index) });
            }
            chunk = next;
        }
    }

    pub(crate) fn in_use(&self) -> Vec<&'static Goroutine> {
        let mut all = Vec::new();
        self.for_each(|g| {
            if !matches!(g.status(), Status::Idle | Status::Dead) {
                all.push(g);
            }
        });
        all
    }

    /// Puts the chunks into the pool, for other runtimes.
    ///
    /// # Safety
    ///
    /// Every record is on a free list, and none will be taken from this slab or a cache of it.
    pub(crate) unsafe fn retire(&self) {
        let mut chunk = self.chunks.swap(ptr::null_mut(), Ordering::AcqRel);
        let mut pool = POOL.lock();
        while let Some(this) = NonNull::new(chunk) {
            pool.push(Pooled(this));
            // SAFETY: chunks are never freed; this one is ours alone.
            chunk = unsafe { this.as_ref() }.next;
        }
    }
}

#[derive(Debug)]
struct Pooled(NonNull<Chunk>);

// SAFETY: taking it out of the pool makes it exclusive.
unsafe impl Send for Pooled {}

static POOL: Lock<Vec<Pooled>> = Lock::new(Vec::new());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_recycled_last_in_first_out_and_know_their_owner() {
        let marker = 7u8;
        let owner = ptr::from_ref(&marker).cast();
        let slab = Slab::new(owner, false);
        let mut cache = Cache::new();
        let a = cache.take(&slab);
        let b = cache.take(&slab);
        assert!(!ptr::eq(a, b));
        assert_eq!(Slab::owner_of(a), owner);
        cache.put(&slab, a);
        assert!(ptr::eq(cache.take(&slab), a));
        let mut seen = 0;
        slab.for_each(|_| seen += 1);
        // A chunk that another runtime has used has more records.
        assert!(seen >= 2);
        // SAFETY: the test uses no record below.
        unsafe { slab.retire() };
    }

    #[test]
    fn unused_part_of_an_adopted_chunk_is_used() {
        let used_counts = |count: usize| {
            let (slab, mut cache) = (Slab::new(ptr::null(), false), Cache::new());
            for _ in 0..count {
                cache.take(&slab);
            }
            let (mut chunk, mut used) = (slab.chunks.load(Ordering::Acquire), Vec::new());
            while let Some(this) = NonNull::new(chunk) {
                // SAFETY: chunks are never freed.
                let this = unsafe { this.as_ref() };
                used.push(this.used.load(Ordering::Acquire));
                chunk = this.next;
            }
            // SAFETY: the test uses no record below.
            unsafe { slab.retire() };
            used
        };
        // The next slab finds a chunk with few records, unless a slab of another test takes it.
        used_counts(1);
        // A cache that is alone fills every chunk before it takes another.
        let used = used_counts(2 * PER_CHUNK + 1);
        assert!(used[1..].iter().all(|used| *used == PER_CHUNK), "{used:?}");
    }

    #[test]
    fn take_after_spill_reuses_records_before_it_makes_new_ones() {
        let slab = Slab::new(ptr::null(), false);
        let mut cache = Cache::new();
        let many: Vec<_> = (0..3 * PER_CHUNK).map(|_| cache.take(&slab)).collect();
        let mut other = Cache::new();
        for g in many {
            other.put(&slab, g);
        }
        let mut count = 0;
        slab.for_each(|_| count += 1);
        assert!(count >= 3 * PER_CHUNK);
        for _ in 0..3 * PER_CHUNK {
            other.take(&slab);
        }
        let mut after = 0;
        slab.for_each(|_| after += 1);
        assert!(after < count + PER_CHUNK, "{after} after {count}");
        // SAFETY: the test uses no record below.
        unsafe { slab.retire() };
    }
}
