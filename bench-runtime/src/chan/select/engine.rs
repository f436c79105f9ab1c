//! Carries out a select, without the types of its cases.
//!
//! 1. Sort the cases by the address of their channel and lock all channels in
//!    this order, so that two selects cannot deadlock.
//! 2. If cases are ready, take one of them at random, and unlock.
//! 3. Otherwise, if there is a `default`, unlock and take it.
//! 4. Otherwise enqueue a waiter for each case, all with one ticket; unlock; park. If several cases
//!    have the same channel, the first waiter in its queue is a random one of them, because a send
//!    or a receive takes the first.
//! 5. After the park: the thread that claimed the ticket has moved the value or closed the channel,
//!    or the time limit has passed. Remove the other waiters, each under its channel's lock.
//!
//! Source: Go's `selectgo`, without its random order of polling.

use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};

use super::marks::Marks;
use crate::chan::core::{CLOSED, Core, PASSED, Side, block_until, complete, wait_for_ever};
use crate::goroutine::{WaitReason, Waiter};
use crate::sched;

/// One case, and its waiter while the select is parked.
#[doc(hidden)]
#[derive(Debug)]
pub struct Entry {
    /// `None`: the case has no channel, so it is always disabled.
    core: Option<NonNull<Core>>,
    /// The value to send, or the place to receive into.
    elem: *mut u8,
    pub(super) side: Side,
    /// False if the case is disabled in this wait.
    pub(super) enabled: bool,
    /// The position of the case in the program. Sorting moves the entries.
    pub(super) index: u16,
    waiter: MaybeUninit<Waiter>,
    /// The slot's marks, for a case of a [`Select`](super::Select); null for a case of `select!`.
    pub(super) marks: *const Marks,
}

impl Entry {
    pub(super) fn new(core: Option<NonNull<Core>>, side: Side, elem: *mut u8) -> Self {
        Self {
            core,
            elem,
            side,
            enabled: core.is_some(),
            index: 0,
            waiter: MaybeUninit::uninit(),
            marks: ptr::null(),
        }
    }

    pub(super) fn has_channel(&self) -> bool {
        self.core.is_some()
    }
}

/// How long a select may wait.
#[derive(Clone, Copy, Debug)]
pub enum Wait {
    /// Does not wait: there is a `default`.
    Poll,
    /// Until this time of `sched::now_ns`.
    Until(u64),
    /// Without limit.
    Forever,
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The case's [`Entry::index`].
    pub(super) index: usize,
    /// True if a value was moved, false if the channel is closed.
    pub(super) passed: bool,
}

/// The index of the case after `len` others.
///
/// # Panics
///
/// With more than 65,535 cases.
pub(super) fn index_after(len: usize) -> u16 {
    match u16::try_from(len) {
        Ok(index) if index < u16::MAX => index,
        _ => panic!("select: more than 65,535 cases"),
    }
}

/// Carries out a select; `None` for its `default` or its time-out. Blocks the
/// goroutine.
///
/// # Safety
///
/// Each entry's channel is alive, and its `elem` points to a value of the channel's type to send,
/// or to a place for one. If the result has `Taken::passed`, the value of that case has been moved
/// from there, or to there.
pub(super) unsafe fn run(entries: &mut [Entry], wait: Wait) -> Option<Taken> {
    // Disabled cases go last.
    let place = |entry: &Entry| match entry.core {
        Some(core) if entry.enabled => core.as_ptr().addr(),
        _ => usize::MAX,
    };
    // Most selects have two cases, and the sort of std takes 100 instructions for them.
    match entries {
        [first, second] if place(first) <= place(second) => {}
        [first, second] => mem::swap(first, second),
        _ => entries.sort_unstable_by_key(place),
    }
    let enabled_count = entries.partition_point(|entry| place(entry) != usize::MAX);
    let entries = &mut entries[..enabled_count];
    if entries.is_empty() {
        match wait {
            Wait::Poll => {}
            Wait::Until(deadline_ns) => block_until(WaitReason::SelectNoCases, deadline_ns),
            Wait::Forever => wait_for_ever(WaitReason::SelectNoCases),
        }
        return None;
    }
    // SAFETY: the caller's promises cover all calls.
    unsafe {
        lock_all(entries);
        if let Some((taken, partner)) = take_ready(entries) {
            unlock_all(entries);
            if let Some(partner) = partner {
                complete(partner);
            }
            sched::give_way();
            return Some(taken);
        }
        if matches!(wait, Wait::Poll) {
            unlock_all(entries);
            sched::give_way();
            return None;
        }
        park(entries, wait)
    }
}

/// # Safety
///
/// As for [`run`], of an entry that is not disabled.
#[inline]
unsafe fn core_of<'a>(entry: &Entry) -> &'a Core {
    // SAFETY: enabled and alive, by the caller's promise.
    unsafe { entry.core.unwrap_unchecked().as_ref() }
}

/// True if the entry before `at` has the same channel.
fn repeats_channel(entries: &[Entry], at: usize) -> bool {
    at > 0 && entries[at].core == entries[at - 1].core
}

unsafe fn lock_all(entries: &[Entry]) {
    for at in 0..entries.len() {
        if !repeats_channel(entries, at) {
            // SAFETY: by the caller's promise.
            unsafe { core_of(&entries[at]) }.lock();
        }
    }
}

unsafe fn unlock_all(entries: &[Entry]) {
    for at in (0..entries.len()).rev() {
        if !repeats_channel(entries, at) {
            // SAFETY: by the caller's promise; locked by `lock_all`.
            unsafe { core_of(&entries[at]).unlock() };
        }
    }
}

/// True if the channel is closed, its buffer has room or a value, or a waiter is on the other side.
/// Also true if other threads have claimed the tickets of all such waiters: then the case is not
/// ready.
///
/// # Safety
///
/// The channel is locked by the caller.
unsafe fn looks_ready(entry: &Entry) -> bool {
    // SAFETY: by the caller's promise; the reference ends here.
    unsafe {
        let core = core_of(entry);
        let state = core.state();
        state.closed
            || match entry.side {
                Side::Send => state.len < core.cap || !state.receivers.is_empty(),
                Side::Recv => state.len > 0 || !state.senders.is_empty(),
            }
    }
}

/// Takes one of the ready cases, each with the same probability. Also returns the waiter, if there
/// is one, whose wait the caller must end after it has unlocked all channels.
///
/// # Safety
///
/// All channels are locked; as for [`run`].
unsafe fn take_ready(entries: &[Entry]) -> Option<(Taken, Option<NonNull<Waiter>>)> {
    // SAFETY: the caller's promises cover all calls.
    unsafe {
        loop {
            let mut candidate = None;
            let mut ready = 0;
            for entry in entries {
                if looks_ready(entry) {
                    ready += 1;
                    // Reservoir sampling: the n-th ready case replaces the candidate with
                    // probability 1/n.
                    if ready == 1 || core_of(&entries[0]).state().pick(ready) == 0 {
                        candidate = Some(entry);
                    }
                }
            }
            let entry = candidate?;
            if let Some((passed, partner)) = carry_out(entry) {
                let index = usize::from(entry.index);
                return Some((Taken { index, passed }, partner));
            }
            // The case had only waiters whose tickets were claimed. They are dequeued now, so each
            // round has fewer of them.
        }
    }
}

/// Carries out one case; `None` if the case is not ready. Returns whether a value was moved, and a
/// waiter as [`take_ready`] does.
///
/// # Safety
///
/// As for [`take_ready`].
unsafe fn carry_out(entry: &Entry) -> Option<(bool, Option<NonNull<Waiter>>)> {
    // SAFETY: the channel is locked, its elements are of `elem_size`, and the state shows which
    // places hold one; a dequeued waiter's owner is parked until it is completed.
    unsafe {
        let core = core_of(entry);
        let size = core.elem_size;
        let state = core.state();
        match entry.side {
            Side::Send => {
                if state.closed {
                    return Some((false, None));
                }
                if let Some(receiver) = state.receivers.dequeue() {
                    copy(entry.elem, receiver.as_ref().elem.get().cast(), size);
                    return Some((true, Some(receiver)));
                }
                if state.len < core.cap {
                    copy(entry.elem, core.place(state.head, state.len, size), size);
                    state.len += 1;
                    return Some((true, None));
                }
                None
            }
            Side::Recv => {
                if state.len > 0 {
                    let head = core.place(state.head, 0, size);
                    copy(head, entry.elem, size);
                    state.head = (state.head + 1) % core.cap;
                    let sender = state.senders.dequeue();
                    match sender {
                        Some(sender) => copy(sender.as_ref().elem.get().cast(), head, size),
                        None => state.len -= 1,
                    }
                    return Some((true, sender));
                }
                if let Some(sender) = state.senders.dequeue() {
                    copy(sender.as_ref().elem.get().cast(), entry.elem, size);
                    return Some((true, Some(sender)));
                }
                state.closed.then_some((false, None))
            }
        }
    }
}

/// Moves `size` bytes; 8 and 16 without a call.
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, size: usize) {
    // SAFETY: by the caller's promise: two places for a value of this size.
    unsafe {
        match size {
            0 => {}
            8 => ptr::copy_nonoverlapping(from, to, 8),
            16 => ptr::copy_nonoverlapping(from, to, 16),
            _ => ptr::copy_nonoverlapping(from, to, size),
        }
    }
}

/// Steps 4 and 5 of the module's list.
///
/// # Safety
///
/// All channels are locked, and this unlocks them; as for [`run`].
unsafe fn park(entries: &mut [Entry], wait: Wait) -> Option<Taken> {
    let me = sched::prepare_park(WaitReason::Select, ptr::null());
    let ticket = me.ticket();
    for entry in &mut *entries {
        entry
            .waiter
            .write(Waiter::multi(me, ticket, entry.elem.cast(), 0));
    }
    // From here on the entries are borrowed as shared: other threads dequeue their waiters, and
    // write to the cells in them.
    let entries = &*entries;
    for same_channel in entries.chunk_by(|a, b| a.core == b.core) {
        // The next send or receive takes the first waiter.
        let first = match same_channel.len() {
            1 => 0,
            // SAFETY: locked.
            len => unsafe { core_of(&same_channel[0]).state().pick(len as u32) as usize },
        };
        for entry in same_channel[first..].iter().chain(&same_channel[..first]) {
            // SAFETY: locked; the waiter does not move until it is removed below.
            unsafe {
                let queue = core_of(entry).state().queue(entry.side);
                queue.enqueue(waiter_of(entry));
            }
        }
    }
    // SAFETY: by the caller's promise.
    unsafe { unlock_all(entries) };
    match wait {
        Wait::Until(deadline_ns) => sched::park_until(me, ticket, deadline_ns),
        Wait::Poll | Wait::Forever => sched::park(me),
    }
    // The ticket is claimed: no other thread writes the tag any more.
    let outcome = |entry: &Entry| {
        // SAFETY: written above.
        unsafe { entry.waiter.assume_init_ref() }.tag.get() & (PASSED | CLOSED)
    };
    let mut taken = None;
    for entry in entries {
        // If the tag is set, the waiter was dequeued. Otherwise it may still be in its queue.
        let tag = outcome(entry);
        if tag != 0 {
            taken = Some(Taken {
                index: usize::from(entry.index),
                passed: tag == PASSED,
            });
            continue;
        }
        // SAFETY: the waiter is alive, and in no other queue.
        unsafe {
            let core = core_of(entry);
            core.lock();
            core.state().queue(entry.side).remove(waiter_of(entry));
            core.unlock();
        }
    }
    taken
}

fn waiter_of(entry: &Entry) -> *mut Waiter {
    entry.waiter.as_ptr().cast_mut()
}
