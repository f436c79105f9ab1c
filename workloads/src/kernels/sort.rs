//! Sorting numbers by the standard library.

use std::sync::Arc;

use super::{Kernel, lehmer};
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{PLAIN, Shape, Workload, count, get};

pub(crate) const KERNEL: Kernel = |parameters| {
    let items = get(parameters, "items_count");
    Arc::new(move |index| {
        let mut x = lehmer::after(index, 1);
        let mut numbers = Vec::with_capacity(items as usize);
        for _ in 0..items {
            numbers.push(x);
            x = lehmer::next(x);
        }
        numbers.sort_unstable();
        (0..)
            .zip(&numbers)
            .map(|(j, number)| number * (j % 7 + 1) % 1_000_003)
            .sum()
    })
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.sort",
        title: "Sorting",
        question: "How does work scale that allocates and moves memory?",
        activity: "sorting",
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[8], &[64], &[64]]),
            WORKERS,
            count(
                "items_count",
                "numbers in each chunk",
                [&[200], &[5_000], &[20_000]],
                10_000_000,
            ),
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "A comparison of sorting methods: every language uses its standard library's.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
];
