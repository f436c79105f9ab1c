//! G: a goroutine's record, a [`Goroutine`]. It never points to M or P.
//!
//! Records live in [`slab`]s, whose memory is type-stable: a stale pointer still points to a
//! record.
//!
//! # Where a goroutine runs: the table of `context`
//!
//! | `context`      | meaning                                     | may be changed by           |
//! |----------------|---------------------------------------------|-----------------------------|
//! | [`FRESH`]      | never run; `body` holds the closure         | the M that dequeued it      |
//! | odd            | on some M now; the other bits are the address of its stack header or, until the switch is complete, its saved context | that M, by switching away |
//! | odd, with [`CLAIMED_BIT`] | suspended, and claimed by the sweep; the other bits are the address of its stack header | the sweep, by ending the claim; until the claim is confirmed, also the M that dequeued the goroutine |
//! | even, not zero | suspended: a saved context of [`crate::arch`]; with [`WATCHED_BIT`] while a thread reads its stack | the M that dequeued it |
//!
//! A goroutine may be readied, and dequeued by another M, before it has left its stack. That M
//! waits until `context` is no longer odd. After 1,000 loads it requeues the goroutine and runs
//! other goroutines first (`crate::sched::switch`). The store of the saved context is the last
//! action on the old stack.
//!
//! # What `body` holds
//!
//! | while the goroutine            | first word               | the other words   |
//! |--------------------------------|--------------------------|-------------------|
//! | has not run                    | the link of its [`List`] | the closure       |
//! | waits on one queue, untimed    | the [`Waiter`]           | the [`Waiter`]    |
//! | was dequeued from that queue   | the link of its [`List`] | the other words of the [`Waiter`] |
//! | has ended, a handle exists     | –                        | the result        |
//! | is on a free list              | the link                 | –                 |
//!
//! A goroutine-local destructor may wait after the goroutine has stored its result: see
//! [`Goroutine::with_outcome_aside`].
//!
//! When a timer or a context ends a wait, the goroutine is readied while its waiter is still in the
//! queue. Such a waiter is on the stack, because the link of a [`List`] would overwrite it in the
//! record.
//!
//! # The end: the table of `join`
//!
//! | `join`            | meaning                         | record is freed by     |
//! |-------------------|---------------------------------|------------------------|
//! | [`JOIN_OPEN`]     | not ended, a handle exists      | –                      |
//! | a [`Parkable`]    | not ended, this waits in a join | –                      |
//! | [`JOIN_DETACHED`] | not ended, no handle            | the goroutine, at end  |
//! | [`JOIN_LOST`]     | its runtime has stopped, a handle exists: a join does not wait for its end any more | the goroutine, if it still ends |
//! | [`JOIN_DONE`]     | ended, the result is in `body`  | the handle             |

pub(crate) mod body;
pub(crate) mod claim;
pub(crate) mod details;
pub(crate) mod fake_clock;
pub(crate) mod header;
pub(crate) mod list;
pub(crate) mod locals;
pub(crate) mod nested_wakes;
mod parkable;
pub(crate) mod pending;
pub(crate) mod priority;
pub(crate) mod slab;
pub(crate) mod stacks;
pub(crate) mod thread;
mod ticket;
pub(crate) mod unwinding;
mod wait_queue;
pub(crate) mod wait_reason;

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::stack::StackError;
use crate::sys::barrier;
pub(crate) use details::Details;
pub(crate) use list::List;
pub(crate) use parkable::{Head, Kind, MULTI, Parkable, Waiter};
pub(crate) use priority::Priority;
pub(crate) use wait_queue::{WaitQueue, has_runtime_stopped};
pub(crate) use wait_reason::WaitReason;

/// For dumps and checks. The tables above, not the status, say which thread owns a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// The record is on a free list.
    Idle,
    /// In a queue of runnable goroutines, or about to be put into one.
    Runnable,
    Running,
    /// In `blocking`: on an M that has given its P away, or suspended while a helper runs the call.
    Syscall,
    /// Parked, or about to park.
    Waiting,
    /// Ended; the record is kept for its handle.
    Dead,
}

impl Status {
    pub(crate) fn from_u8(value: u8) -> Self {
        [
            Self::Idle,
            Self::Runnable,
            Self::Running,
            Self::Syscall,
            Self::Waiting,
            Self::Dead,
        ]
        .get(usize::from(value))
        .copied()
        .unwrap_or(Self::Dead)
    }
}

pub(crate) const FRESH: usize = 0;
/// Set in `context` while the goroutine is on an M, or is claimed.
pub(crate) const RUNNING_BIT: usize = 1;
/// Set in `context`, with [`RUNNING_BIT`], while the sweep has claimed the goroutine.
pub(crate) const CLAIMED_BIT: usize = 2;
/// Set in `context`, without [`RUNNING_BIT`], while a thread reads the goroutine's stack.
pub(crate) const WATCHED_BIT: usize = 2;

pub(crate) const JOIN_OPEN: usize = 0;
pub(crate) const JOIN_DONE: usize = 1;
pub(crate) const JOIN_DETACHED: usize = 2;
pub(crate) const JOIN_LOST: usize = 3;

/// In `flags`, in a migrating runtime: bound to its M, by `lock_os_thread` or because it parked
/// while it unwinds.
pub(crate) const FLAG_LOCKED: u8 = 1;
/// In `flags`: the sweep has compacted the goroutine's stack in its present wait.
pub(crate) const FLAG_COMPACTED: u8 = 2;
/// In `flags`: spawned as CPU-bound; see `sched::sites`.
pub(crate) const FLAG_CPU_BOUND: u8 = 4;
/// In `flags`: the time until the goroutine runs is measured.
pub(crate) const FLAG_TIMED: u8 = 8;
/// In `flags`: the goroutine parked while it unwinds, in a pinned runtime; see [`unwinding`].
pub(crate) const FLAG_UNWINDING: u8 = 64;
/// In `flags`: the goroutine's runtime has stopped, and the goroutine will not run again.
pub(crate) const FLAG_RUNTIME_STOPPED: u8 = 128;
/// The place of the two bits of the [`Priority`] in `flags`.
pub(crate) const FLAG_PRIORITY_SHIFT: u32 = 4;

pub(crate) const BODY_WORDS: usize = 4;

pub(crate) struct VTable {
    /// Runs the closure in the body. Stores an [`body::Outcome`] there if there is a handle.
    pub(crate) run: unsafe fn(&Goroutine),
    /// Drops a closure that never ran. Stores `Abandoned` if there is a handle. Does not unwind.
    pub(crate) abandon: unsafe fn(&Goroutine, Option<Box<StackError>>),
    /// Drops the outcome of a goroutine that nothing joins. Reports the error if it got no stack.
    pub(crate) drop_outcome: unsafe fn(&Goroutine),
}

impl fmt::Debug for VTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VTable")
    }
}

unsafe fn nothing(_: &Goroutine) {}

unsafe fn abandon_nothing(_: &Goroutine, _: Option<Box<StackError>>) {}

pub(crate) static EMPTY_VTABLE: VTable = VTable {
    run: nothing,
    abandon: abandon_nothing,
    drop_outcome: nothing,
};

#[repr(C)]
pub(crate) struct Goroutine {
    pub(crate) head: Head,
    pub(crate) context: AtomicUsize,
    /// Set at spawn.
    vtable: UnsafeCell<&'static VTable>,
    pub(crate) join: AtomicUsize,
    /// Unique in its runtime; the main goroutine is 1.
    pub(crate) id: AtomicU64,
    /// A `&'static Location`, or with bit 0 set a `Box<Details>`.
    site: AtomicUsize,
    body: UnsafeCell<[MaybeUninit<usize>; 1 + BODY_WORDS]>,
}

// SAFETY: only the thread that owns the goroutine by the tables above reaches `vtable` and `body`;
// all else is atomic.
unsafe impl Sync for Goroutine {}
// SAFETY: closures and results in it are `Send` by the bounds of spawn.
unsafe impl Send for Goroutine {}

const _: () = assert!(size_of::<Goroutine>() == 88);

impl Goroutine {
    pub(crate) fn unused() -> Self {
        Self {
            head: Head {
                status: AtomicU8::new(Status::Idle as u8),
                kind: Kind::Goroutine,
                reason: AtomicU8::new(0),
                flags: AtomicU8::new(0),
                ticket: AtomicU32::new(0),
            },
            context: AtomicUsize::new(FRESH),
            vtable: UnsafeCell::new(&EMPTY_VTABLE),
            join: AtomicUsize::new(JOIN_DETACHED),
            id: AtomicU64::new(0),
            site: AtomicUsize::new(0),
            body: UnsafeCell::new([MaybeUninit::uninit(); 1 + BODY_WORDS]),
        }
    }

    #[inline(always)]
    pub(crate) fn of(parkable: Parkable) -> &'static Self {
        debug_assert_eq!(parkable.head().kind, Kind::Goroutine);
        // SAFETY: the head is a record's first field; records are type-stable.
        unsafe { &*parkable.as_ptr().cast() }
    }

    #[inline(always)]
    pub(crate) fn parkable(&'static self) -> Parkable {
        // SAFETY: records are type-stable and begin with their head.
        unsafe { Parkable::from_head(NonNull::from(self).cast()) }
    }

    #[inline(always)]
    pub(crate) fn set_status(&self, status: Status) {
        self.head.status.store(status as u8, Ordering::Relaxed);
    }

    pub(crate) fn status(&self) -> Status {
        Status::from_u8(self.head.status.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(crate) fn has_flag(&self, flag: u8) -> bool {
        self.head.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub(crate) fn set_flag(&self, flag: u8) {
        self.head.flags.fetch_or(flag, Ordering::Relaxed);
    }

    pub(crate) fn clear_flag(&self, flag: u8) {
        self.head.flags.fetch_and(!flag, Ordering::Relaxed);
    }

    /// See [`Priority`].
    #[inline(always)]
    pub(crate) fn priority_bits(&self) -> u8 {
        self.head.flags.load(Ordering::Relaxed) >> FLAG_PRIORITY_SHIFT & 0b11
    }

    #[inline(always)]
    pub(crate) fn vtable(&self) -> &'static VTable {
        // SAFETY: written at spawn, before the record was published.
        unsafe { *self.vtable.get() }
    }

    /// # Safety
    ///
    /// Only at spawn, before the record is published.
    #[inline(always)]
    pub(crate) unsafe fn set_vtable(&self, vtable: &'static VTable) {
        // SAFETY: by the caller's promise no thread reads it now.
        unsafe { *self.vtable.get() = vtable };
    }

    /// Only for the thread that owns the link.
    #[inline(always)]
    pub(crate) fn next(&self) -> &AtomicPtr<Self> {
        // SAFETY: the first word of `body`, aligned as a pointer is; by the table of `body` it
        // holds nothing else while the goroutine is on a list.
        unsafe { AtomicPtr::from_ptr(self.body.get().cast()) }
    }

    #[inline(always)]
    pub(crate) fn body(&self) -> *mut u8 {
        // SAFETY: the body has further words behind the first.
        unsafe { self.body.get().cast::<usize>().add(1).cast() }
    }

    /// Calls `f`, which may wait and does not unwind, with the result moved aside: a wait puts its
    /// waiter in the result's place.
    ///
    /// # Safety
    ///
    /// Called by the goroutine itself, between its result and its end.
    #[cold]
    pub(crate) unsafe fn with_outcome_aside(&self, f: impl FnOnce()) {
        let body = self.body.get();
        // SAFETY: by the caller's promise no other thread reads the body now. Words are moved away
        // and back, with any content.
        unsafe {
            let outcome = body.read();
            f();
            body.write(outcome);
        }
    }

    #[inline(always)]
    pub(crate) fn waiter(&self) -> *mut Waiter {
        const { assert!(size_of::<Waiter>() <= (1 + BODY_WORDS) * size_of::<usize>()) };
        self.body.get().cast()
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        match self.details() {
            Some(details) => Some(details.site()),
            None => Self::plain_site(self.site_word()),
        }
    }

    /// The address of the spawn site, or, if odd, of a box of [`Details`] that contains the site.
    pub(crate) fn site_word(&self) -> usize {
        // Acquire: pairs with the Release in `set_details`.
        self.site.load(Ordering::Acquire)
    }

    /// The site of an even [`Self::site_word`].
    pub(crate) fn plain_site(word: usize) -> Option<&'static Location<'static>> {
        debug_assert!(word.is_multiple_of(2));
        // SAFETY: an even non-zero value came from a static location.
        unsafe { (word as *const Location<'static>).as_ref() }
    }

    /// Only for the goroutine itself, or while it is known not to end.
    pub(crate) fn details(&self) -> Option<&Details> {
        let site = self.site_word();
        // SAFETY: an odd value is a box that lives until the record is freed.
        (site & 1 == 1).then(|| unsafe { &*((site & !1) as *const Details) })
    }

    #[inline(always)]
    pub(crate) fn set_site(&self, site: &'static Location<'static>) {
        self.site
            .store(std::ptr::from_ref(site) as usize, Ordering::Relaxed);
    }

    pub(crate) fn set_details(&self, details: Box<Details>) {
        self.site
            .store(Box::into_raw(details) as usize | 1, Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn drop_details(&self) {
        let site = self.site.load(Ordering::Relaxed);
        if site & 1 == 1 {
            self.site.store(0, Ordering::Relaxed);
            // A dump that runs meanwhile sees the zero before it can see other content in the box's
            // memory.
            barrier::light();
            // SAFETY: it came from `Box::into_raw` in `set_details`; the owner of the dead record
            // drops it once.
            drop(unsafe { Box::from_raw((site & !1) as *mut Details) });
        }
    }
}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine")
            .field("id", &self.id.load(Ordering::Relaxed))
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
