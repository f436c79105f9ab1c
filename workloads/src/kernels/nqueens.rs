use std::sync::Arc;

use super::Kernel;
use crate::catalogue::cpu::{INCLUDES, METRICS, WORKERS, all_chunks, chunks};
use crate::catalogue::{FirstScreen, PLAIN, Parameter, Shape, Workload, count, get};

pub(crate) const KERNEL: Kernel = |parameters| {
    let size = get(parameters, "size_count") as u32;
    Arc::new(move |index| {
        let all = (1_u32 << size) - 1;
        let first = 1 << (index / u64::from(size)) as u32;
        let second = 1 << (index % u64::from(size)) as u32;
        let (columns, left, right) = (first, first << 1, first >> 1);
        if second & (columns | left | right) != 0 {
            return 0;
        }
        solutions(
            all,
            columns | second,
            (left | second) << 1,
            (right | second) >> 1,
        )
    })
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.nqueens",
        title: "N queens",
        question: "How does a recursive search with unpredictable branches scale?",
        activity: "placing queens on a board",
        first_screen: Some(FirstScreen::of("compute", 3)),
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[49], &[100], &[144]]),
            WORKERS,
            Parameter {
                range: (4, 20),
                ..count(
                    "size_count",
                    "queens, whose square is chunks_count",
                    [&[7], &[10], &[12]],
                    0,
                )
            },
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "Splitting the search below the first two queens.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
];

/// The solutions from the next row on. The masks are the columns that the queens above attack:
/// straight down (`columns`), and along the diagonals (`left`, `right`).
fn solutions(all: u32, columns: u32, left: u32, right: u32) -> u64 {
    if columns == all {
        return 1;
    }
    let mut free = all & !(columns | left | right);
    let mut count = 0;
    while free != 0 {
        let queen = free & free.wrapping_neg();
        free ^= queen;
        count += solutions(
            all,
            columns | queen,
            (left | queen) << 1,
            (right | queen) >> 1,
        );
    }
    count
}
