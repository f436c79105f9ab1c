//! Random numbers for choices that need only be spread evenly.

/// xorshift64*, by S. Vigna (2016).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    #[inline]
    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// A number below `bound`, which is not zero; close to uniform for small bounds.
    #[inline]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_covers_its_range_evenly() {
        // The expected count of each of the seven numbers, and the greatest difference from it.
        let (each, off) = if cfg!(miri) { (100, 40) } else { (10_000, 500) };
        let mut rng = Rng::new(1);
        let mut counts = [0u32; 7];
        (0..7 * each).for_each(|_| counts[rng.below(7) as usize] += 1);
        assert!(counts.iter().all(|&c| c.abs_diff(each) < off), "{counts:?}");
    }
}
