//! The Mandelbrot set: the steps of z ↦ z² + c that stay bounded, for points c of the plane.

use std::sync::Arc;

use super::{Kernel, edge};
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{FirstScreen, PLAIN, Shape, Workload, count, get};

pub(crate) const KERNEL: Kernel = |parameters| {
    let size = get(parameters, "size_count");
    let chunks = get(parameters, "chunks_count");
    let limit = get(parameters, "limit_count");
    Arc::new(move |index| {
        let rows = edge(size, chunks, index)..edge(size, chunks, index + 1);
        rows.flat_map(|row| (0..size).map(move |column| (row, column)))
            .map(|(row, column)| {
                let cr = -2.0 + 3.0 * column as f64 / size as f64;
                let ci = -1.5 + 3.0 * row as f64 / size as f64;
                steps(cr, ci, limit)
            })
            .sum()
    })
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.mandelbrot",
        title: "Mandelbrot set",
        question: "How does work scale whose parts take very different times?",
        activity: "drawing the Mandelbrot set",
        first_screen: Some(FirstScreen::of("compute", 2)),
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[8], &[128], &[256]]),
            WORKERS,
            count(
                "size_count",
                "rows and columns",
                [&[32], &[256], &[512]],
                65_536,
            ),
            count(
                "limit_count",
                "steps after which a point counts as inside",
                [&[50], &[200], &[500]],
                1_000_000,
            ),
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "Vector code: each point is computed by itself.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
];

/// No operations are fused, so every language rounds alike.
fn steps(cr: f64, ci: f64, limit: u64) -> u64 {
    let (mut zr, mut zi, mut count) = (0.0, 0.0, 0);
    while count < limit && zr * zr + zi * zi <= 4.0 {
        let next = zr * zr - zi * zi + cr;
        zi = 2.0 * zr * zi + ci;
        zr = next;
        count += 1;
    }
    count
}
