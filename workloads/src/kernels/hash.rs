//! FNV-1a of 32 bits over a block, repeatedly.

use std::sync::Arc;

use super::Kernel;
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{PLAIN, Shape, Workload, count, get};

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

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.hash",
        title: "Hashing",
        question: "How does a chain of dependent instructions scale?",
        activity: "hashing",
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[8], &[64], &[64]]),
            WORKERS,
            count(
                "block_bytes",
                "bytes in each chunk's block",
                [&[512], &[4_096], &[4_096]],
                1 << 26,
            ),
            count(
                "rounds_count",
                "times that each block is hashed",
                [&[2], &[50], &[200]],
                1_000_000,
            ),
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "Cryptographic hashes, and CPU instructions for them.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
];
