//! The Collatz steps of numbers: a kernel that exists only in tests.

use std::sync::Arc;

use super::Kernel;
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{PLAIN, Shape, Workload, count, get};

pub(crate) const KERNEL: Kernel = |parameters| {
    let limit = get(parameters, "limit_count");
    let parts = get(parameters, "chunks_count");
    Arc::new(move |index| {
        let edge = |part| super::edge(limit, parts, part);
        (edge(index)..edge(index + 1))
            .map(|number| steps(number + 1))
            .sum()
    })
};

pub(crate) const WORKLOADS: &[Workload] = &[Workload {
    id: "cpu.collatz",
    title: "Collatz's numbers",
    question: "How does a loop of unpredictable length scale?",
    activity: "following Collatz's numbers",
    shape: Shape::Chunks(KERNEL),
    parameters: &[
        chunks([&[8], &[64], &[64]]),
        WORKERS,
        count(
            "limit_count",
            "the highest number to start from",
            [&[100], &[10_000], &[100_000]],
            10_000_000,
        ),
    ],
    operation: "run",
    metrics: METRICS,
    includes: INCLUDES,
    leaves_out: "Everything but whole-number arithmetic.",
    checksum: |p| all_chunks(KERNEL, p),
    ..PLAIN
}];

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
