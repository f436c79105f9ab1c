//! P: the right to run goroutines, with a run queue, caches and timers.
//!
//! | `status`  | its holder                                                  |
//! |-----------|-------------------------------------------------------------|
//! | `Idle`    | the idle list                                               |
//! | `Running` | one M; `owner` names it                                     |
//! | `Dead`    | none: its number is not below GOMAXPROCS                    |

use std::cell::{Cell, RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use super::overflow::Overflow;
use super::run_queue::RunQueue;
use crate::goroutine::{Goroutine, Parkable, slab};
use crate::recorder::part::Part;
use crate::stack::pool::StackCache;
use crate::stack::{Class, Stack, StackError};
use crate::timer::Timers;
use crate::util::atomic_ref::AtomicRef;
use crate::util::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ProcessorStatus {
    Idle,
    Running,
    Dead,
}

const NO_OWNER: usize = usize::MAX;

#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Processor {
    pub(crate) id: usize,
    /// In a migrating runtime: the goroutine that runs before those in the queue, in the time
    /// slice of the goroutine that readied it. The owner writes this by plain stores. Sysmon
    /// takes the goroutine out while it has borrowed the P.
    pub(crate) run_next: AtomicRef<Goroutine>,
    /// A request to the owner to call `handle_notice` before its next pick.
    pub(crate) notice: AtomicBool,
    status: AtomicU8,
    /// The owner stores, sysmon reads.
    pub(super) picks: AtomicU64,
    /// Picks that began a new time slice. The owner stores, sysmon reads.
    pub(super) slices: AtomicU64,
    /// [`NO_OWNER`] if no M holds it.
    owner: AtomicUsize,
    own: Own,
    caches: Caches,
    pub(super) spawned_count: AtomicU64,
    pub(super) ended_count: AtomicU64,
    pub(crate) stolen_count: AtomicU64,
    pub(crate) thefts_count: AtomicU64,
    pub(crate) thefts_found_count: AtomicU64,
    pub(crate) queue: RunQueue<Goroutine>,
    pub(crate) overflow: Overflow,
    /// Only the owner writes.
    pub(crate) recorder: Part,
    /// Reused after the P's end: see [`super::lifetime`].
    pub(crate) timers: &'static Timers,
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.timers.give_back();
    }
}

// SAFETY: `own` and `caches` are reached only through a `ThisP`, by the M that holds the P.
unsafe impl Sync for Processor {}
// SAFETY: as above.
unsafe impl Send for Processor {}

/// Used only by the M that holds the P, through [`ThisP`].
#[derive(Debug)]
struct Caches {
    stacks: UnsafeCell<StackCache>,
    records: UnsafeCell<slab::Cache>,
    rng: UnsafeCell<Rng>,
}

/// Values that are only read and set, by the same M as [`Caches`].
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(super) next_id: Cell<u64>,
    pub(super) end_id: Cell<u64>,
    /// Picks since the global queue was last checked before the queues of P and M.
    pub(super) sched_tick: Cell<u32>,
    /// `sched_tick` has reached its limit, and the P was given to a waiting M because of that. That
    /// M runs a goroutine before it gives the P away. Otherwise the P would go from M to M, and no
    /// goroutine would run.
    pub(super) p_given_at_tick: Cell<bool>,
    pub(super) global_checks: Cell<u32>,
    /// In a pinned runtime: the next pick that is not from the M's `run_next` begins with the P's
    /// queue, unless another M can take from that queue.
    pub(super) fresh_first: Cell<bool>,
    /// The next time that the P's queue is empty, the global queue comes before the overflow.
    pub(super) global_first: Cell<bool>,
    /// Picks of `run_next` in the time slice that they share.
    pub(super) streak: Cell<u32>,
    /// The time of pick number `STREAK_CHECK` in that time slice; valid from that pick on.
    pub(super) streak_began_ns: Cell<u64>,
    /// When the last turn of the hogs began.
    pub(super) hog_turn_began_ns: Cell<u64>,
    pub(super) hog_turns: Cell<u32>,
    /// The parkables that a poll finds. Empty between polls; kept for its memory.
    pub(super) ready: RefCell<Vec<Parkable>>,
}

impl Processor {
    pub(crate) fn new(id: usize) -> Self {
        Self {
            id,
            run_next: AtomicRef::default(),
            notice: AtomicBool::new(true),
            status: AtomicU8::new(ProcessorStatus::Dead as u8),
            picks: AtomicU64::new(0),
            slices: AtomicU64::new(0),
            owner: AtomicUsize::new(NO_OWNER),
            own: Own::default(),
            caches: Caches {
                stacks: UnsafeCell::new(StackCache::new()),
                records: UnsafeCell::new(slab::Cache::new()),
                rng: UnsafeCell::new(Rng::new(id as u64)),
            },
            spawned_count: AtomicU64::new(0),
            ended_count: AtomicU64::new(0),
            stolen_count: AtomicU64::new(0),
            thefts_count: AtomicU64::new(0),
            thefts_found_count: AtomicU64::new(0),
            queue: RunQueue::new(),
            overflow: Overflow::default(),
            recorder: Part::new(),
            timers: Timers::take(),
        }
    }

    /// The number may be out of date at once.
    pub(crate) fn owner(&self) -> Option<usize> {
        // Acquire: pairs with the Release in `set_owner`.
        let id = self.owner.load(Ordering::Acquire);
        (id != NO_OWNER).then_some(id)
    }

    pub(crate) fn set_owner(&self, id: Option<usize>) {
        self.owner.store(id.unwrap_or(NO_OWNER), Ordering::Release);
    }

    pub(crate) fn status(&self) -> ProcessorStatus {
        // Acquire: pairs with the Release in `set_status`.
        match self.status.load(Ordering::Acquire) {
            0 => ProcessorStatus::Idle,
            1 => ProcessorStatus::Running,
            _ => ProcessorStatus::Dead,
        }
    }

    pub(crate) fn set_status(&self, status: ProcessorStatus) {
        // Release: pairs with the Acquire in `status`; a thread that sees the P dead
        // sees all writes of its last holder.
        self.status.store(status as u8, Ordering::Release);
    }

    /// Only for a counter that only the owner writes.
    #[inline(always)]
    pub(super) fn count(counter: &AtomicU64, more: u32) {
        let sum = counter.load(Ordering::Relaxed).wrapping_add(more.into());
        counter.store(sum, Ordering::Relaxed);
    }

    pub(crate) fn has_work(&self) -> bool {
        self.has_stealable_work() || !self.run_next.is_none(Ordering::Acquire)
    }

    /// True if a goroutine waits here that other Ms may take.
    pub(super) fn has_stealable_work(&self) -> bool {
        // In this order: the holder moves goroutines from the overflow to the queue. If it moves
        // them the other way, it then wakes an M, or sysmon does.
        !self.overflow.is_empty() || !self.queue.is_empty()
    }

    /// The goroutines in the queue and the overflow. Exact if no thread changes them meanwhile.
    pub(crate) fn queued_count(&self) -> usize {
        self.queue.len() as usize + self.overflow.len()
    }
}

/// The P that the calling thread holds. Valid until the thread releases it, or returns to a
/// goroutine's code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThisP {
    processor: &'static Processor,
    /// Not `Send`, not `Sync`.
    _thread: PhantomData<*const ()>,
}

impl Deref for ThisP {
    type Target = Processor;

    #[inline(always)]
    fn deref(&self) -> &Processor {
        self.processor
    }
}

impl ThisP {
    /// # Safety
    ///
    /// While this is used, the calling thread holds the P, and no other takes it: it is an M
    /// that is inside the runtime, or it has taken the P from its list.
    #[inline(always)]
    pub(crate) unsafe fn new(processor: &'static Processor) -> Self {
        Self {
            processor,
            _thread: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn processor(self) -> &'static Processor {
        self.processor
    }

    #[inline(always)]
    pub(super) fn own(self) -> &'static Own {
        &self.processor.own
    }

    #[inline(always)]
    pub(super) fn pop(self) -> Option<&'static Goroutine> {
        // SAFETY: entries are records, which are type-stable.
        self.queue.pop().map(|g| unsafe { g.as_ref() })
    }

    #[inline(always)]
    pub(super) fn take_record(self, slab: &slab::Slab) -> &'static Goroutine {
        // SAFETY: only the holder uses the cache, and `take` calls nothing that could use it.
        unsafe { &mut *self.processor.caches.records.get() }.take(slab)
    }

    #[inline(always)]
    pub(super) fn put_record(self, slab: &slab::Slab, g: &'static Goroutine) {
        // SAFETY: as in `take_record`.
        unsafe { &mut *self.processor.caches.records.get() }.put(slab, g);
    }

    #[inline(always)]
    fn stacks(self) -> *mut StackCache {
        self.processor.caches.stacks.get()
    }

    #[inline(always)]
    pub(super) fn take_stack(self, class: Class) -> Result<Stack, StackError> {
        // SAFETY: as in `take_record`.
        unsafe { &mut *self.stacks() }.take(class)
    }

    #[inline(always)]
    pub(super) fn put_stack(self, stack: Stack) {
        // SAFETY: as in `take_record`.
        unsafe { &mut *self.stacks() }.put(stack);
    }

    /// Makes stacks that it has not used for long available to other Ps.
    pub(super) fn trim_stacks(self, now_ms: u32) {
        // SAFETY: as in `take_record`.
        unsafe { &mut *self.stacks() }.trim(now_ms);
    }

    /// Makes all stacks available to other Ps.
    pub(crate) fn drain_stacks(self) {
        // SAFETY: as in `take_record`.
        unsafe { &mut *self.stacks() }.drain();
    }

    pub(super) fn random(self) -> u32 {
        // SAFETY: as in `take_record`.
        unsafe { &mut *self.processor.caches.rng.get() }.next_u32()
    }
}
