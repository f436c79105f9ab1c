//! FNV-1a of 32 bits over a block, again and again.

use std::sync::Arc;

use super::Kernel;
use crate::catalogue::get;

/// Hashes a block of its own for each chunk.
pub(crate) const KERNEL: Kernel = |parameters| {
    let size = get(parameters, "block_bytes");
    let rounds = get(parameters, "rounds_count");
    Arc::new(move |index| {
        let block: Vec<u8> = (0..size)
            .map(|j| ((j * 31 + index * 17) % 256) as u8)
            .collect();
        let mut state: u32 = 2_166_136_261;
        for _ in 0..rounds {
            for &byte in &block {
                state = (state ^ u32::from(byte)).wrapping_mul(16_777_619);
            }
        }
        u64::from(state)
    })
};
