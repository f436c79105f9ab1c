//! A P's run queue: a ring of which other Ps steal half.
//!
//! # Invariants
//!
//! 1. `tail - head` is the number of entries, at most the capacity.
//! 2. Only the owner moves `tail`. Slots `head..tail` hold entries.
//! 3. `head` moves forward only, by compare-exchange of the P that takes entries;
//!    a taker reads the slots before it moves `head`, and uses what it read
//!    only if the move succeeded.
//! 4. In *exclusive* use no P steals, so the owner moves `head` by a plain
//!    store. The owner alone leaves exclusive use, and enters it only when no
//!    other P is alive: a thief holds a P while it steals.
//!
//! Source: the ring of Go's scheduler. Under loom it is small, so that the model reaches
//! wrapping.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::shim::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// Go's figure.
#[cfg(not(rt_loom))]
pub(crate) const CAPACITY: u32 = 256;
#[cfg(rt_loom)]
pub(crate) const CAPACITY: u32 = 4;

/// Holds pointers that it never follows.
#[derive(Debug)]
pub(crate) struct RunQueue<T> {
    head: AtomicU32,
    /// See invariant 4.
    shared: AtomicBool,
    tail: AtomicU32,
    slots: Box<[AtomicPtr<T>]>,
}

impl<T> RunQueue<T> {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicU32::new(0),
            shared: AtomicBool::new(true),
            tail: AtomicU32::new(0),
            slots: (0..CAPACITY)
                .map(|_| AtomicPtr::new(std::ptr::null_mut()))
                .collect(),
        }
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> &AtomicPtr<T> {
        // SAFETY: the mask keeps the index below the capacity, a power of two.
        unsafe { self.slots.get_unchecked((index & (CAPACITY - 1)) as usize) }
    }

    /// Only the owner; see invariant 4.
    pub(crate) fn set_shared(&self, shared: bool) {
        if self.shared.load(Ordering::Relaxed) != shared {
            // Release: a thief that reads `true` sees every plain store to `head` before it.
            self.shared.store(shared, Ordering::Release);
        }
    }

    /// Exact for the owner if no P steals.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        let head = self.head.load(Ordering::Acquire);
        self.tail.load(Ordering::Acquire).wrapping_sub(head)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the entry if the ring is full. Only the owner.
    #[inline]
    pub(crate) fn push(&self, entry: NonNull<T>) -> Result<(), NonNull<T>> {
        // Acquire: pairs with the Release of takers, which have read the slots
        // that we now reuse.
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Relaxed);
        if tail.wrapping_sub(head) >= CAPACITY {
            return Err(entry);
        }
        self.slot(tail).store(entry.as_ptr(), Ordering::Relaxed);
        // Release: pairs with the Acquire of takers, which read the slot.
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// The entry that [`Self::pop`] would take, if no P steals meanwhile. Only the owner.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<NonNull<T>> {
        let head = self.head.load(Ordering::Relaxed);
        if head == self.tail.load(Ordering::Relaxed) {
            return None;
        }
        NonNull::new(self.slot(head).load(Ordering::Relaxed))
    }

    /// Only the owner.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<NonNull<T>> {
        let tail = self.tail.load(Ordering::Relaxed);
        if !self.shared.load(Ordering::Relaxed) {
            let head = self.head.load(Ordering::Relaxed);
            if head == tail {
                return None;
            }
            let entry = self.slot(head).load(Ordering::Relaxed);
            self.head.store(head.wrapping_add(1), Ordering::Release);
            return NonNull::new(entry);
        }
        self.pop_shared(tail)
    }

    #[inline(never)]
    fn pop_shared(&self, tail: u32) -> Option<NonNull<T>> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head == tail {
                return None;
            }
            let entry = self.slot(head).load(Ordering::Relaxed);
            // Release: our read of the slot comes before its reuse.
            match self.head.compare_exchange_weak(
                head,
                head.wrapping_add(1),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return NonNull::new(entry),
                Err(now) => head = now,
            }
        }
    }

    /// Takes half of the entries, from the front; none if a thief was faster. Only the owner.
    #[cold]
    pub(crate) fn take_half(&self, mut each: impl FnMut(NonNull<T>)) -> u32 {
        self.take(|len| len / 2, &mut each)
    }

    /// Takes half of the entries, rounded up; returns how many it took and how many there were.
    /// For any holder of a P in use.
    pub(crate) fn steal_half(&self, mut each: impl FnMut(NonNull<T>)) -> (u32, u32) {
        // Acquire: pairs with the Release in `set_shared`.
        if !self.shared.load(Ordering::Acquire) {
            return (0, 0);
        }
        let found = Cell::new(0);
        let half = |len| {
            found.set(len);
            len - len / 2
        };
        (self.take(half, &mut each), found.get())
    }

    fn take(&self, share: impl Fn(u32) -> u32, each: &mut dyn FnMut(NonNull<T>)) -> u32 {
        if self.is_empty() {
            return 0;
        }
        let mut batch = [std::ptr::null_mut(); CAPACITY as usize];
        loop {
            let head = self.head.load(Ordering::Acquire);
            // Acquire: pairs with the Release in `push`.
            let tail = self.tail.load(Ordering::Acquire);
            let len = tail.wrapping_sub(head);
            if len > CAPACITY {
                // `head` moved between the two loads.
                continue;
            }
            let count = share(len);
            if count == 0 {
                return 0;
            }
            for i in 0..count {
                batch[i as usize] = self.slot(head.wrapping_add(i)).load(Ordering::Relaxed);
            }
            // Release: our reads of the slots come before their reuse.
            if self
                .head
                .compare_exchange(
                    head,
                    head.wrapping_add(count),
                    Ordering::Release,
                    Ordering::Relaxed,
                )
                .is_ok()
            {
                batch[..count as usize]
                    .iter()
                    .copied()
                    .filter_map(NonNull::new)
                    .for_each(each);
                return count;
            }
        }
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn entry(n: usize) -> NonNull<u8> {
        NonNull::without_provenance(std::num::NonZero::new(n).expect("entries start at one"))
    }

    #[test]
    fn pop_returns_entries_first_in_first_out() {
        for shared in [false, true] {
            let q = RunQueue::<u8>::new();
            q.set_shared(shared);
            assert_eq!(q.pop(), None);
            for n in 1..=CAPACITY as usize {
                assert_eq!(q.push(entry(n)), Ok(()));
            }
            assert_eq!(q.push(entry(999)), Err(entry(999)));
            for n in 1..=CAPACITY as usize {
                assert_eq!(q.pop(), Some(entry(n)));
            }
            assert!(q.is_empty());
        }
    }

    #[test]
    fn steal_takes_half_or_half_plus_one_of_the_oldest() {
        // Miri takes a minute for all of them.
        let step = if cfg!(miri) { 15 } else { 1 };
        for len in (0..=CAPACITY as usize).step_by(step) {
            let q = RunQueue::<u8>::new();
            for n in 1..=len {
                q.push(entry(n)).expect("there is room");
            }
            let mut stolen = Vec::new();
            let (count, found) = q.steal_half(|e| stolen.push(e));
            assert_eq!(found as usize, len);
            assert_eq!(count as usize, len - len / 2);
            assert_eq!(stolen, (1..=count as usize).map(entry).collect::<Vec<_>>());
            assert_eq!(q.len() as usize, len / 2);
        }
    }

    #[test]
    fn steal_from_an_exclusive_queue_takes_nothing() {
        let q = RunQueue::<u8>::new();
        q.set_shared(false);
        q.push(entry(1)).expect("there is room");
        assert_eq!(q.steal_half(|_| panic!("stolen")), (0, 0));
        q.set_shared(true);
        assert_eq!(q.steal_half(|_| ()), (1, 1));
    }

    #[test]
    fn each_entry_is_taken_once_with_thieves_at_work() {
        const N: usize = if cfg!(miri) { 300 } else { 60_000 };
        let q = RunQueue::<u8>::new();
        let taken: Vec<AtomicUsize> = (0..=N).map(|_| AtomicUsize::new(0)).collect();
        let done = AtomicBool::new(false);
        let mark = |e: NonNull<u8>| {
            taken[e.as_ptr() as usize].fetch_add(1, Ordering::Relaxed);
        };
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    while !done.load(Ordering::Acquire) {
                        q.steal_half(mark);
                        std::thread::yield_now();
                    }
                });
            }
            for n in 1..=N {
                let mut e = entry(n);
                while let Err(back) = q.push(e) {
                    e = back;
                    q.take_half(mark);
                }
                if n % 3 == 0
                    && let Some(e) = q.pop()
                {
                    mark(e);
                }
            }
            while let Some(e) = q.pop() {
                mark(e);
            }
            done.store(true, Ordering::Release);
        });
        while let Some(e) = q.pop() {
            mark(e);
        }
        assert!(taken[1..].iter().all(|t| t.load(Ordering::Relaxed) == 1));
    }
}
