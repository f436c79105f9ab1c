//! The workloads. Replace the code with your own.

use std::sync::Arc;

use workloads::catalogue::{CHUNKS, COMPUTES, Shape, WORKERS, Workload, all_chunks, count, get};
use workloads::kernels::{Kernel, edge};

/// All workloads of this crate.
pub const WORKLOADS: &[Workload] = &[LOAD];

const LOAD: Workload = Workload {
    id: "own.my_load",
    title: "My load",
    question: "How does my load scale over the CPUs?",
    activity: "computing my load",
    leaves_out: "Everything but whole-number arithmetic.",
    shape: Shape::Chunks(KERNEL),
    parameters: &[
        CHUNKS,
        WORKERS,
        // Values for --smoke, --quick and other runs, and the highest that is allowed.
        count(
            "limit_count",
            "the highest number to start from",
            [&[100], &[10_000], &[100_000]],
            10_000_000,
        ),
    ],
    checksum: |parameters| all_chunks(KERNEL, parameters),
    ..COMPUTES
};

/// Prepares the data that all chunks share, and returns the function that computes one
/// chunk by its number. Every lane runs all chunks on its own kind of task. The sum of
/// their results is the answer: the same on every lane, and below 2^53.
const KERNEL: Kernel = |parameters| {
    let (limit, chunks) = (get(parameters, "limit_count"), get(parameters, "chunks_count"));
    Arc::new(move |chunk| {
        let numbers = edge(limit, chunks, chunk)..edge(limit, chunks, chunk + 1);
        numbers.map(|number| steps(number + 1)).sum()
    })
};

/// How many steps take a number to 1: an even number is halved, an odd one becomes three times
/// itself plus one.
fn steps(mut number: u64) -> u64 {
    let mut steps = 0;
    while number > 1 {
        number = match number % 2 {
            0 => number / 2,
            _ => 3 * number + 1,
        };
        steps += 1;
    }
    steps
}
