//! Goroutines for which a P's queue had no room, in batches of half a queue.
//!
//! The P's holder takes the newest batch, other Ms take the oldest. In a tree of goroutines that
//! start others, the newest are next to the leaves: few of the tree have begun at a time, and their
//! stacks and records are still in the CPU's cache. The oldest are next to the root, so they keep
//! another M busy for long. SPEED.md has figures.
//!
//! None starves while newer ones come: at least once in four checks of the global queue, that is in
//! 244 picks, the holder takes the oldest goroutine first (`pick`, step 3). It takes batches only if
//! its queue is empty and, in a pinned runtime, none of its goroutines that have started is runnable. So one with `n` older
//! ones beside it waits for at most `244 * (n + 1)` picks.
//!
//! A lock guards all but the length. Only the holder adds goroutines, and it takes all out before
//! it rests, so the overflow of an idle P is empty.

use std::collections::VecDeque;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::goroutine::{Goroutine, List};
use crate::util::lock::Lock;

#[derive(Debug, Default)]
pub(crate) struct Overflow {
    /// The oldest first; none is empty.
    batches: Lock<VecDeque<List>>,
    /// How many goroutines are in them. Changed under the lock, read without it.
    len: AtomicUsize,
}

impl Overflow {
    /// The length at some moment just before.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        // Acquire: pairs with the Release in `take`.
        self.len.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a batch that is not empty. Only the holder of the P.
    pub(super) fn push(&self, batch: List) {
        let mut batches = self.batches.lock();
        // Release: as the store of a queue's tail.
        self.len.fetch_add(batch.len(), Ordering::Release);
        batches.push_back(batch);
    }

    /// Gives the newest batch to `put`, one goroutine after the other; returns how many. They are
    /// counted here until `put` has had them all: so a thread that finds no goroutine here, and
    /// then looks where `put` has put them, overlooks none.
    pub(super) fn take_newest(&self, put: impl FnMut(&'static Goroutine)) -> usize {
        self.take(VecDeque::pop_back, put)
    }

    /// As [`Self::take_newest`], the oldest batch.
    pub(super) fn take_oldest(&self, put: impl FnMut(&'static Goroutine)) -> usize {
        self.take(VecDeque::pop_front, put)
    }

    fn take(
        &self,
        pop: fn(&mut VecDeque<List>) -> Option<List>,
        put: impl FnMut(&'static Goroutine),
    ) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut batches = self.batches.lock();
        let mut batch = pop(&mut batches).unwrap_or_default();
        let count = batch.len();
        iter::from_fn(|| batch.pop()).for_each(put);
        // Release: a thread that reads the new length sees what `put` did.
        self.len.fetch_sub(count, Ordering::Release);
        count
    }

    pub(super) fn pop_oldest(&self) -> Option<&'static Goroutine> {
        if self.is_empty() {
            return None;
        }
        let mut batches = self.batches.lock();
        let oldest = batches.front_mut()?;
        let g = oldest.pop();
        if oldest.len() == 0 {
            batches.pop_front();
        }
        self.len.fetch_sub(1, Ordering::Release);
        g
    }

    /// Forgets all goroutines. Their links may then be reused.
    pub(crate) fn clear(&self) {
        self.batches.lock().clear();
        self.len.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn newest_batch_and_oldest_batch_and_oldest_goroutine_are_taken() {
        let all: Vec<&'static Goroutine> = (0..9)
            .map(|_| &*Box::leak(Box::new(Goroutine::unused())))
            .collect();
        let number = |g: &Goroutine| all.iter().position(|other| ptr::eq(*other, g)).unwrap();
        let overflow = Overflow::default();
        let push = |batch: &[&'static Goroutine]| {
            let mut list = List::new();
            batch.iter().for_each(|g| list.push(g));
            overflow.push(list);
        };
        all.chunks(3).for_each(push);
        assert_eq!(overflow.len(), 9);

        let mut taken = Vec::new();
        let newest = overflow.take_newest(|g| {
            assert_eq!(overflow.len(), 9, "all are counted until the last is put");
            taken.push(number(g));
        });
        assert_eq!((newest, &taken[..]), (3, &[6, 7, 8][..]));
        assert_eq!(overflow.pop_oldest().map(number), Some(0));
        taken.clear();
        assert_eq!(overflow.take_oldest(|g| taken.push(number(g))), 2);
        assert_eq!((&taken[..], overflow.len()), (&[1, 2][..], 3));
        for expected in 3..6 {
            assert_eq!(overflow.pop_oldest().map(number), Some(expected));
        }
        assert!(overflow.is_empty() && overflow.pop_oldest().is_none());
        assert_eq!(overflow.take_newest(|_| panic!("there is none")), 0);

        push(&all[..1]);
        overflow.clear();
        assert_eq!((overflow.len(), overflow.take_oldest(|_| ())), (0, 0));
    }
}
