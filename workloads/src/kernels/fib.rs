//! Fibonacci numbers by recursion: the cost of a call and a return.

use std::sync::Arc;

use super::Kernel;
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{PLAIN, Parameter, Shape, Workload, count, get};

/// Chunks compute four neighbouring numbers: their work differs by a factor of up to 4.2.
pub(crate) const KERNEL: Kernel = |parameters| {
    let depth = get(parameters, "depth_count");
    Arc::new(move |index| fib(depth - index % 4))
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.fib",
        title: "Fibonacci by calls",
        question: "How does work scale that consists of calls and returns?",
        activity: "computing Fibonacci numbers by recursion",
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[8], &[64], &[64]]),
            WORKERS,
            Parameter {
                range: (4, 60),
                ..count(
                    "depth_count",
                    "which number of Fibonacci, and how deep the calls go",
                    [&[10], &[20], &[25]],
                    0,
                )
            },
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "Starting a task for each call: see spawn.skynet. A compiler may turn one of the two calls into a loop.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
];

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    fib(n - 1) + fib(n - 2)
}
