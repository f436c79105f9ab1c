//! How well does real work spread over the cores?

use super::{
    EVERY_WORKER_COUNT, MetricKind, PLAIN, Parameter, Shape, Workload, count, from_zero, get,
};
use crate::kernels::{Kernel, fib, hash, json, mandelbrot, matmul, nqueens, primes, sort};
use crate::protocol::Parameters;

const WORKERS: Parameter = from_zero(
    "workers_count",
    "how many chunks may run at once; 0: as many as the lane has CPUs",
    [&[0, 2], EVERY_WORKER_COUNT, EVERY_WORKER_COUNT],
    100_000,
);
/// Where the work grows with the workers their number must be said.
const SOME_WORKERS: Parameter = count(
    "workers_count",
    "how many chunks may run at once, and how often the work is there",
    [&[1, 2], EVERY_WORKER_COUNT, EVERY_WORKER_COUNT],
    100_000,
);
const INCLUDES_WEAK: &str = "All chunks, once for each worker. With perfect scaling the time stays as it is with one worker, however many there are.";
const INCLUDES: &str = "The kernel on every chunk, with the lane's way to hand chunks to CPUs and to collect the results.";
const METRICS: &[MetricKind] = &[MetricKind::Scaling, MetricKind::TimePerOperation];
const METRICS_WEAK: &[MetricKind] = &[MetricKind::Efficiency, MetricKind::TimePerOperation];

const fn chunks(values: [&'static [u64]; 3]) -> Parameter {
    count(
        "chunks_count",
        "independent parts of the work",
        values,
        10_000_000,
    )
}

pub(super) const LIST: &[Workload] = &[
    Workload {
        id: "cpu.primes",
        title: "Counting primes",
        question: "How does a loop of whole-number arithmetic scale over the cores, in even and in uneven parts?",
        shape: Shape::Chunks(primes::KERNEL),
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
        leaves_out: "Memory traffic: the kernel lives in registers. Sharing a core with a sibling thread or another program.",
        checksum: |p| all_chunks(primes::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.primes_weak",
        title: "Counting primes, more with more workers",
        question: "Does a loop of whole-number arithmetic take as long when work and cores grow alike?",
        shape: Shape::Chunks(primes::KERNEL),
        parameters: &[
            chunks([&[4], &[250], &[250]]),
            SOME_WORKERS,
            count(
                "limit_count",
                "primes below this number are counted, once for each worker",
                [&[1_000], &[200_000], &[500_000]],
                100_000_000,
            ),
            from_zero(
                "skewed",
                "0: even chunks, 1: later chunks are larger",
                [&[0], &[0], &[0]],
                1,
            ),
        ],
        operation: "run",
        metrics: METRICS_WEAK,
        includes: INCLUDES_WEAK,
        leaves_out: "Memory traffic: the kernel lives in registers.",
        checksum: |p| get(p, "workers_count") * all_chunks(primes::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.matmul",
        title: "Multiplying matrices",
        question: "How does a loop of floating-point arithmetic over shared, read-only memory scale?",
        shape: Shape::Chunks(matmul::KERNEL),
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
        leaves_out: "Blocking for the caches and hand-written vector code, as a library would have them.",
        checksum: |p| all_chunks(matmul::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.mandelbrot",
        title: "Mandelbrot set",
        question: "How does work scale whose parts take very different times by nature?",
        shape: Shape::Chunks(mandelbrot::KERNEL),
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
        checksum: |p| all_chunks(mandelbrot::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.nqueens",
        title: "N queens",
        question: "How does a recursive search with branches that cannot be foreseen scale?",
        shape: Shape::Chunks(nqueens::KERNEL),
        parameters: &[
            // One chunk for each placing of the first two queens.
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
        leaves_out: "Splitting deeper than the first two queens, which a stealing scheduler would do.",
        checksum: |p| all_chunks(nqueens::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.fib",
        title: "Fibonacci by calls",
        question: "How does work scale that is nothing but calls and returns?",
        shape: Shape::Chunks(fib::KERNEL),
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
        leaves_out: "Being a good way to find the number; and starting a task for each call, which is spawn.skynet. A compiler may turn one of the two calls into a loop.",
        checksum: |p| all_chunks(fib::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.sort",
        title: "Sorting",
        question: "How does work scale that allocates and moves memory?",
        shape: Shape::Chunks(sort::KERNEL),
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
        leaves_out: "Comparing sorting methods: every language takes the one of its standard library.",
        checksum: |p| all_chunks(sort::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.hash",
        title: "Hashing",
        question: "How does a chain of dependent instructions scale, which leaves most of a core idle?",
        shape: Shape::Chunks(hash::KERNEL),
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
        leaves_out: "Cryptography and the CPU's instructions for it.",
        checksum: |p| all_chunks(hash::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.json",
        title: "Writing and reading JSON",
        question: "How does work scale that makes many small allocations?",
        shape: Shape::Chunks(json::KERNEL),
        parameters: &[
            chunks([&[8], &[64], &[64]]),
            WORKERS,
            count(
                "records_count",
                "records in each chunk's document",
                [&[5], &[100], &[500]],
                100_000,
            ),
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "Comparing JSON libraries: every language takes the usual one. The allocator is as much on trial as the lane.",
        checksum: |p| all_chunks(json::KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.json_weak",
        title: "Writing and reading JSON, more with more workers",
        question: "Does work with many small allocations take as long when work and cores grow alike?",
        shape: Shape::Chunks(json::KERNEL),
        parameters: &[
            chunks([&[4], &[32], &[32]]),
            SOME_WORKERS,
            count(
                "records_count",
                "records in each chunk's document",
                [&[5], &[100], &[200]],
                100_000,
            ),
        ],
        operation: "run",
        metrics: METRICS_WEAK,
        includes: INCLUDES_WEAK,
        leaves_out: "Comparing JSON libraries. The allocator is as much on trial as the lane.",
        checksum: |p| get(p, "workers_count") * all_chunks(json::KERNEL, p),
        ..PLAIN
    },
];

fn all_chunks(kernel: Kernel, parameters: &Parameters) -> u64 {
    let chunk = kernel(parameters);
    (0..get(parameters, "chunks_count"))
        .map(|index| chunk(index))
        .sum()
}
