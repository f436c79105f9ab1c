//! A set of Ps, by number, without a lock; Go's `pMask`. A visit loads one word for each 64 Ps,
//! and the first word twice.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};

/// GOMAXPROCS is at most this. Chosen: more than today's hosts have CPUs.
pub(crate) const MAX_PROCS: usize = 4096;

const WORD: usize = u64::BITS as usize;

#[derive(Debug)]
pub(super) struct ProcessorSet([AtomicU64; MAX_PROCS / WORD]);

impl Default for ProcessorSet {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; MAX_PROCS / WORD])
    }
}

impl ProcessorSet {
    fn place(&self, id: usize) -> (&AtomicU64, u64) {
        (&self.0[id / WORD], 1 << (id % WORD))
    }

    pub(super) fn contains(&self, id: usize) -> bool {
        let (word, bit) = self.place(id);
        word.load(Ordering::Acquire) & bit != 0
    }

    pub(super) fn insert(&self, id: usize) {
        let (word, bit) = self.place(id);
        word.fetch_or(bit, Ordering::SeqCst);
    }

    pub(super) fn remove(&self, id: usize) {
        let (word, bit) = self.place(id);
        word.fetch_and(!bit, Ordering::SeqCst);
    }

    /// Each member once: from `start` on, then from 0. `count` is rounded up to a multiple of 64;
    /// `start` is below `count`.
    pub(super) fn members(&self, start: usize, count: usize) -> impl Iterator<Item = usize> {
        let words = count.div_ceil(WORD);
        let (first, from) = (start / WORD, u64::MAX << (start % WORD));
        // The first word comes twice: from `start` on, and up to it.
        (0..=words).flat_map(move |step| {
            let part = match step {
                0 => from,
                last if last == words => !from,
                _ => u64::MAX,
            };
            let at = match first + step {
                beyond if beyond >= words => beyond - words,
                at => at,
            };
            let mut left = self.0[at].load(Ordering::Acquire) & part;
            iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < WORD).then_some(at * WORD + bit)
            })
        })
    }
}

#[cfg(all(test, not(rt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn members_are_visited_once_from_any_start() {
        let set = ProcessorSet::default();
        let all = [0, 1, 62, 63, 64, 100, 127, 128, 150];
        all.iter().for_each(|&id| set.insert(id));
        for start in 0..151 {
            let rotated = all.iter().filter(|&&id| id >= start);
            let rotated = rotated.chain(all.iter().filter(|&&id| id < start));
            let members: Vec<usize> = set.members(start, 151).collect();
            assert!(members.iter().eq(rotated), "{start}: {members:?}");
        }
    }

    #[test]
    fn removed_id_is_no_member_and_a_visit_below_one_word_reads_no_other() {
        let set = ProcessorSet::default();
        [3, 5, 64, MAX_PROCS - 1]
            .iter()
            .for_each(|&id| set.insert(id));
        set.remove(3);
        assert!(!set.contains(3) && set.contains(5) && set.contains(MAX_PROCS - 1));
        assert!(set.members(4, 6).eq([5]));
        assert!(set.members(0, MAX_PROCS).eq([5, 64, MAX_PROCS - 1]));
    }
}
