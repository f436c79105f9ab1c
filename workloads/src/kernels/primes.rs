//! Counting primes by trial division.

use std::sync::Arc;

use super::{Kernel, edge};
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{FirstScreen, PLAIN, Presets, Shape, Workload, count, from_zero, get};

pub(crate) const KERNEL: Kernel = |parameters| {
    let chunks = get(parameters, "chunks_count");
    let limit = get(parameters, "limit_count");
    let skewed = get(parameters, "skewed") == 1;
    let edge = move |index| {
        if skewed {
            limit * index * index / (chunks * chunks)
        } else {
            edge(limit, chunks, index)
        }
    };
    Arc::new(move |index| {
        (edge(index)..edge(index + 1))
            .filter(|&n| is_prime(n))
            .count() as u64
    })
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.primes",
        title: "Counting primes",
        question: "How does whole-number arithmetic scale over the cores, in even and in uneven parts?",
        activity: "counting primes on all workers",
        first_screen: Some(FirstScreen::of("compute", 0)),
        presets: Presets { quick: true, doctor: true, ..Presets::NONE },
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[16], &[1_000], &[1_000]]),
            WORKERS,
            count(
                "limit_count",
                "primes below this number are counted",
                [&[2_000], &[500_000], &[2_000_000]],
                100_000_000,
            ),
            from_zero(
                "skewed",
                "0: even chunks, 1: later chunks are larger",
                [&[0, 1], &[0], &[0, 1]],
                1,
            ),
        ],
        operation: "run",
        metrics: METRICS,
        figures: &["stolen_ratio"],
        includes: INCLUDES,
        leaves_out: "Memory traffic: all data is in registers.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
];

fn is_prime(n: u64) -> bool {
    if n < 3 || n.is_multiple_of(2) {
        return n == 2;
    }
    let mut divisor = 3;
    while divisor * divisor <= n {
        if n.is_multiple_of(divisor) {
            return false;
        }
        divisor += 2;
    }
    true
}
