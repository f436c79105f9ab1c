//! Multiplying two square matrices by chunks of rows. All elements are small whole numbers, so the
//! order of summation does not matter.

use std::hint::black_box;
use std::sync::Arc;

use super::{Kernel, edge};
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{FirstScreen, PLAIN, Shape, Workload, count, get};

pub(crate) const KERNEL: Kernel = |parameters| {
    let size = get(parameters, "size_count");
    let chunks = get(parameters, "chunks_count");
    let fill = |element: fn(u64, u64, u64) -> u64| -> Vec<f64> {
        (0..size * size)
            .map(|at| element(at / size, at % size, size) as f64)
            .collect()
    };
    let left = fill(|r, c, n| (r * n + c) % 7);
    let right = fill(|r, c, _| (r + c * 3) % 5);
    Arc::new(move |index| {
        let mut sums = vec![0.0; size as usize];
        let mut total = 0.0;
        for row in edge(size, chunks, index)..edge(size, chunks, index + 1) {
            let n = size as usize;
            sums.fill(0.0);
            for (k, &factor) in left[row as usize * n..][..n].iter().enumerate() {
                for (sum, &element) in sums.iter_mut().zip(&right[k * n..][..n]) {
                    *sum += factor * element;
                }
            }
            // The compiler must store the whole row before the sum.
            total += black_box(&sums).iter().sum::<f64>();
        }
        total as u64
    })
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.matmul",
        title: "Multiplying matrices",
        question: "How does a loop of floating-point arithmetic over shared, read-only memory scale?",
        activity: "multiplying matrices",
        first_screen: Some(FirstScreen::of("compute", 1)),
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[8], &[128], &[256]]),
            WORKERS,
            count(
                "size_count",
                "rows and columns",
                [&[24], &[256], &[512]],
                8_192,
            ),
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "The cache blocking and vector code of a library.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
];
