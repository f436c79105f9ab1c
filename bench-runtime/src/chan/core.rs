//! The part of a channel that does not know its element type.
//!
//! # Invariants
//!
//! Whenever the lock is free:
//! 1. If the buffer is not empty, no receiver waits; if it has room, no sender waits. Two kinds of
//!    waiters do not count: those whose ticket another thread has claimed, and those of a select
//!    that both sends and receives on this channel.
//! 2. The queues of a closed channel are empty, and its buffer only shrinks. The exception is a
//!    value that is put back ([`super::put_back`]): it goes to the buffer or to the senders' queue.
//! 3. The `len` elements from `head` on, in a ring of `cap`, are initialised.
//!
//! # The hand-off
//!
//! A waiter's `elem` points to the value to send, or to the place for the value to receive. The
//! value or the place is on the parked stack or in a future. The thread that dequeues the waiter
//! moves the value, sets [`PASSED`] in the waiter's tag and readies the owner; a close sets
//! [`CLOSED`] instead. If no waiter of a wait has one of these tags when the wait ends, the wait
//! timed out.
//!
//! # Rejected
//!
//! A lock-free buffer: `select` must lock several channels at once.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::goroutine::{Parkable, WaitQueue, WaitReason, Waiter};
use crate::sched;
use crate::util::quick_lock::RawQuickLock;

/// In a waiter's tag: the value was moved.
pub(super) const PASSED: u32 = 1;
/// In a waiter's tag: the channel was closed.
pub(super) const CLOSED: u32 = 2;
/// The tag of an entry that [`super::put_back`] made in the senders' queue.
pub(super) const RETURNED: u32 = 4;

/// The seed is constant: if a schedule repeats, so do the picks of `select`.
const PICK_SEED: u32 = 0x9E37_79B9;

const CACHE_LINE: usize = 64;

/// `malloc` aligns each allocation to this.
const MALLOC_ALIGN: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Closed,
    TimedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Send,
    Recv,
}

impl Side {
    const fn one_handle(self) -> u64 {
        match self {
            Self::Send => 1,
            Self::Recv => 1 << 32,
        }
    }

    const fn count(self, handles: u64) -> u64 {
        match self {
            Self::Send => handles & (u32::MAX as u64),
            Self::Recv => handles >> 32,
        }
    }

    fn reason(self) -> WaitReason {
        match self {
            Self::Send => WaitReason::ChanSend,
            Self::Recv => WaitReason::ChanRecv,
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) receivers: WaitQueue,
    pub(super) senders: WaitQueue,
    pub(super) head: u32,
    pub(super) len: u32,
    pub(super) pick: u32,
    pub(super) closed: bool,
}

impl State {
    #[inline]
    pub(super) fn queue(&mut self, side: Side) -> &mut WaitQueue {
        match side {
            Side::Send => &mut self.senders,
            Side::Recv => &mut self.receivers,
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.len == 0 && self.senders.is_empty()
    }

    /// A pseudo-random number below `bound`. Source: G. Marsaglia, "Xorshift
    /// RNGs", the triple 13, 17, 5.
    pub(super) fn pick(&mut self, bound: u32) -> u32 {
        self.pick ^= self.pick << 13;
        self.pick ^= self.pick >> 17;
        self.pick ^= self.pick << 5;
        ((u64::from(self.pick) * u64::from(bound)) >> 32) as u32
    }
}

/// Whether a channel keeps a value that is put back ([`super::put_back`]).
#[derive(Clone, Copy, Debug)]
pub(super) enum KeepRule {
    /// The value is kept.
    All,
    /// The value is dropped if the buffer holds any value.
    One,
    /// The value is dropped if the buffer holds a value that is equal by this function.
    EachOnce(Same),
}

/// Whether two values of the channel's type are equal.
pub(super) type Same = unsafe fn(*const u8, *const u8) -> bool;

/// A channel's memory: this header, at the start of a cache line, then the buffer. A send or a
/// receive on an unbuffered channel uses only the first cache line of the header.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Core {
    lock: RawQuickLock,
    state: UnsafeCell<State>,
    pub(super) cap: u32,
    /// The offset of the header from the start of the allocation.
    lead: u8,
    pub(super) buffer: *mut u8,
    pub(super) elem_size: usize,
    /// Senders in the low half, receivers in the high half.
    handles: AtomicU64,
    pub(super) keep_rule: KeepRule,
}

// The fields that every operation uses are in the first cache line.
const _: () = assert!(std::mem::offset_of!(Core, buffer) == CACHE_LINE);

impl Core {
    /// The layout of the allocation, and the offset of the buffer from the header. Allocators are
    /// slow for alignments above their own. So the allocation has room for [`Self::allocate`] to
    /// align the header to a cache line. If an element needs more than that, the allocator aligns.
    fn layout(elem: Layout, cap: u32) -> (Layout, usize) {
        let too_large = "chan: the buffer would be larger than the address space";
        let bytes = elem
            .pad_to_align()
            .size()
            .checked_mul(cap as usize)
            .expect(too_large);
        let buffer = Layout::from_size_align(bytes, elem.align()).expect(too_large);
        let (whole, offset) = Layout::new::<Self>().extend(buffer).expect(too_large);
        let whole = if elem.align() > CACHE_LINE {
            Ok(whole)
        } else {
            Layout::from_size_align(whole.size() + CACHE_LINE - MALLOC_ALIGN, MALLOC_ALIGN)
        };
        (whole.expect(too_large), offset)
    }

    pub(super) fn allocate(elem: Layout, cap: u32, keep_rule: KeepRule) -> NonNull<Self> {
        let (whole, offset) = Self::layout(elem, cap);
        // SAFETY: the layout is not empty, because the header is not.
        let memory = unsafe { alloc(whole) };
        if memory.is_null() {
            handle_alloc_error(whole);
        }
        let lead = memory.addr().next_multiple_of(CACHE_LINE) - memory.addr();
        // SAFETY: fresh memory of the layout of header and buffer, with room
        // for the lead; `offset` lies within it.
        unsafe {
            let core = NonNull::new_unchecked(memory.add(lead).cast::<Self>());
            core.write(Self {
                lock: RawQuickLock::new(),
                state: UnsafeCell::new(State {
                    receivers: WaitQueue::new(),
                    senders: WaitQueue::new(),
                    head: 0,
                    len: 0,
                    pick: PICK_SEED,
                    closed: false,
                }),
                cap,
                lead: lead as u8,
                buffer: memory.add(lead + offset),
                elem_size: elem.size(),
                handles: AtomicU64::new(Side::Send.one_handle() + Side::Recv.one_handle()),
                keep_rule,
            });
            core
        }
    }

    pub(super) fn retain(&self, side: Side) {
        // Relaxed: the caller has a handle, so the count cannot reach zero.
        let before = self.handles.fetch_add(side.one_handle(), Ordering::Relaxed);
        if side.count(before) > u64::from(u32::MAX / 2) {
            crate::fatal::fatal!("more than {} handles of one channel", u32::MAX / 2);
        }
    }

    /// Drops a handle of a side and returns false. The last handle is not dropped: this returns
    /// true, and the caller closes the channel and calls [`Self::abandon`]. A handle is made only
    /// from another, so the last stays the last.
    pub(super) fn release(&self, side: Side) -> bool {
        // Acquire: the last handle sees all that the others did with the channel.
        let mut handles = self.handles.load(Ordering::Acquire);
        while side.count(handles) > 1 {
            // Release: pairs with the Acquire of the last handle.
            match self.handles.compare_exchange_weak(
                handles,
                handles - side.one_handle(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return false,
                Err(now) => handles = now,
            }
        }
        true
    }

    /// True if the last handle of a side is the last of all: then no other thread
    /// reaches the channel.
    pub(super) fn is_alone(&self, side: Side) -> bool {
        // Acquire: pairs with the Release in `abandon` of the other side.
        self.handles.load(Ordering::Acquire) == side.one_handle()
    }

    /// Drops the last handle of a side. The side that does so second frees the memory.
    ///
    /// # Safety
    ///
    /// The caller has the last handle of the side, and `elem` is the layout given to
    /// [`Self::allocate`]. The caller does not use the channel again. If the other side is gone,
    /// the buffer is empty.
    pub(super) unsafe fn abandon(this: NonNull<Self>, side: Side, elem: Layout) {
        // SAFETY: our handle keeps the channel alive until it is dropped below.
        let core = unsafe { this.as_ref() };
        let (cap, lead) = (core.cap, usize::from(core.lead));
        // AcqRel: the second sees all that the first did.
        if core.is_alone(side)
            || core.handles.fetch_sub(side.one_handle(), Ordering::AcqRel) == side.one_handle()
        {
            let (whole, _) = Self::layout(elem, cap);
            // SAFETY: both sides have no handle left; the layout is the one of `allocate`.
            unsafe { dealloc(this.as_ptr().cast::<u8>().sub(lead), whole) };
        }
    }

    /// Blocks the thread.
    #[inline(always)]
    pub(super) fn lock(&self) {
        self.lock.lock();
    }

    /// # Safety
    ///
    /// The caller holds the lock, and no longer uses the reference that [`Self::state`] returned.
    #[inline(always)]
    pub(super) unsafe fn unlock(&self) {
        // SAFETY: by the caller's promise.
        unsafe { self.lock.unlock() };
    }

    /// # Safety
    ///
    /// The caller holds the lock, and this is the only reference.
    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "the lock is what makes it exclusive; a guard would not fit select, which holds many"
    )]
    pub(super) unsafe fn state(&self) -> &mut State {
        // SAFETY: by the caller's promise.
        unsafe { &mut *self.state.get() }
    }

    /// The place of the element at `index`, counted from the head.
    ///
    /// # Safety
    ///
    /// The lock is held; `index < cap`; `size` is that of an element.
    #[inline(always)]
    pub(super) unsafe fn place(&self, head: u32, index: u32, size: usize) -> *mut u8 {
        let mut at = u64::from(head) + u64::from(index);
        if at >= u64::from(self.cap) {
            at -= u64::from(self.cap);
        }
        // SAFETY: `at < cap`, so it lies in the buffer.
        unsafe { self.buffer.add(at as usize * size) }
    }

    /// Whether the buffer holds a value that is equal to `value` by `same`.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and `state` is the one that it guards. `value` points to a value
    /// of the channel's type, and `same` compares such values.
    pub(super) unsafe fn holds(&self, state: &State, value: *const u8, same: Same) -> bool {
        // SAFETY: by the caller's promise; the first `len` elements are initialised.
        (0..state.len)
            .any(|index| unsafe { same(self.place(state.head, index, self.elem_size), value) })
    }

    /// Parks until the value at `elem` is moved or the channel is closed.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, which this releases. `elem` is the value to
    /// send, or the place to receive into.
    // Inlined into the slow part of an operation, which is not inlined itself.
    #[inline(always)]
    pub(super) unsafe fn wait(&self, side: Side, elem: *mut ()) -> Outcome {
        let me = sched::prepare_park(side.reason(), ptr::from_ref(self).cast());
        // SAFETY: the record's own waiter is free for a wait on one queue. It does not move, and we
        // stay parked until it has been dequeued.
        let waiter = unsafe {
            let waiter = sched::own_waiter(me, elem);
            self.state().queue(side).enqueue(waiter);
            self.unlock();
            waiter
        };
        sched::park(me);
        // SAFETY: dequeued, so ours alone.
        match unsafe { (*waiter).tag.get() } & (PASSED | CLOSED) {
            PASSED => Outcome::Passed,
            _ => Outcome::Closed,
        }
    }

    /// As [`Self::wait`], until `deadline_ns` at the latest.
    ///
    /// # Safety
    ///
    /// As for [`Self::wait`].
    #[inline(never)]
    pub(super) unsafe fn wait_until(&self, side: Side, elem: *mut (), deadline_ns: u64) -> Outcome {
        let me = sched::prepare_park(side.reason(), ptr::from_ref(self).cast());
        let ticket = me.ticket();
        let mut waiter = Waiter::multi(me, ticket, elem, 0);
        let waiter = &raw mut waiter;
        // SAFETY: it does not move until it has been dequeued, or is removed below.
        unsafe {
            self.state().queue(side).enqueue(waiter);
            self.unlock();
        }
        sched::park_until(me, ticket, deadline_ns);
        // SAFETY: the wait is over, so no other thread writes the tag.
        match unsafe { (*waiter).tag.get() } & (PASSED | CLOSED) {
            PASSED => Outcome::Passed,
            CLOSED => Outcome::Closed,
            _ => {
                self.lock();
                // SAFETY: we hold the lock; the waiter is alive and in no other queue.
                unsafe {
                    self.state().queue(side).remove(waiter);
                    self.unlock();
                }
                Outcome::TimedOut
            }
        }
    }

    /// False if the channel was closed before.
    #[inline(never)]
    pub(crate) fn close(&self) -> bool {
        let mut woken = WaitQueue::new();
        self.lock();
        // SAFETY: we hold the lock.
        let state = unsafe { self.state() };
        let first = !state.closed;
        state.closed = true;
        let mut returned = WaitQueue::new();
        for side in [Side::Recv, Side::Send] {
            while let Some(waiter) = state.queue(side).dequeue() {
                // SAFETY: dequeued, so ours.
                if side == Side::Send && unsafe { waiter.as_ref() }.tag.get() == RETURNED {
                    // SAFETY: it was in the same queue until now.
                    unsafe { returned.enqueue(waiter.as_ptr()) };
                    continue;
                }
                // SAFETY: dequeued, so ours until we ready its owner; the list
                // is emptied below.
                unsafe {
                    let tag = &waiter.as_ref().tag;
                    tag.set(tag.get() | CLOSED);
                    woken.enqueue(waiter.as_ptr());
                }
            }
        }
        state.senders = returned;
        // SAFETY: we hold the lock, and `state` is not used again.
        unsafe { self.unlock() };
        sched::readied::ready_all(std::iter::from_fn(|| {
            let waiter = woken.first()?;
            // SAFETY: in our list, and alive until its owner is readied.
            unsafe {
                woken.remove(waiter.as_ptr());
                Some(waiter.as_ref().owner)
            }
        }));
        first
    }

    pub(super) fn is_closed(&self) -> bool {
        self.read(|state| state.closed)
    }

    pub(super) fn len(&self) -> usize {
        self.read(|state| state.len as usize)
    }

    fn read<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        self.lock();
        // SAFETY: we hold the lock until the end of `f`.
        let result = f(unsafe { self.state() });
        // SAFETY: as above.
        unsafe { self.unlock() };
        // A program may call this in a loop until the result changes: other goroutines must run
        // meanwhile.
        sched::give_way();
        result
    }
}

/// Ends the wait of a dequeued waiter whose value has been moved.
///
/// # Safety
///
/// As for [`pass`].
#[inline(always)]
pub(super) unsafe fn complete(waiter: NonNull<Waiter>) {
    // SAFETY: by the caller's promise.
    sched::ready(unsafe { pass(waiter) });
}

/// As [`complete`], but returns the owner, which the caller readies.
///
/// # Safety
///
/// The caller dequeued the waiter, moved the value, and does not use the waiter again.
#[inline(always)]
pub(super) unsafe fn pass(waiter: NonNull<Waiter>) -> Parkable {
    // SAFETY: alive until its owner is readied.
    unsafe {
        let waiter = waiter.as_ref();
        waiter.tag.set(waiter.tag.get() | PASSED);
        waiter.owner
    }
}

#[cold]
pub(super) fn wait_for_ever(reason: WaitReason) -> ! {
    loop {
        sched::park(sched::prepare_park(reason, ptr::null()));
    }
}

#[cold]
pub(super) fn block_until(reason: WaitReason, deadline_ns: u64) {
    let me = sched::prepare_park(reason, ptr::null());
    sched::park_until(me, me.ticket(), deadline_ns);
}
