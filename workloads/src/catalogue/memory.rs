//! What does a task cost while it waits?

use super::{MetricKind, PLAIN, Parameter, Shape, Workload, count, get, triangle};

const LEVELS: Parameter = count(
    "levels_count",
    "calls deep, each with 512 bytes of its own",
    [&[8], &[64], &[16, 128]],
    1 << 20,
);

pub(super) const LIST: &[Workload] = &[
    Workload {
        id: "memory.parked",
        title: "A task that waits",
        question: "What does a waiting task cost in memory, the kernel's share included?",
        shape: Shape::Parked,
        // A quiet host's MemAvailable moves by half a megabyte and more: the
        // most tasks of the sweep must weigh ten times that where a task takes
        // some 400 bytes. Two mappings a stack end at 32,000.
        parameters: &[Parameter {
            kernel_divisor: 10,
            ..count(
                "tasks_count",
                "tasks that wait at the same time",
                [
                    &[20],
                    &[2_000, 5_000, 10_000, 20_000, 30_000],
                    &[1_000, 5_000, 10_000, 20_000, 50_000, 100_000],
                ],
                10_000_000,
            )
        }],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "Resident pages of the lane and its children, kernel stacks, slab, page tables, per-CPU memory; and the change of MemAvailable that these must explain.",
        leaves_out: "Address space that was never touched. The readings are of the whole host: other programs disturb them.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| triangle(get(p, "tasks_count")),
        ..PLAIN
    },
    Workload {
        id: "memory.deep",
        title: "A task that waits deep in its stack",
        question: "What does a waiting task cost when it has used much of its stack?",
        shape: Shape::Deep,
        parameters: &[
            count(
                "tasks_count",
                "tasks that wait at the same time",
                [
                    &[10],
                    &[100, 250, 500, 750, 1_000],
                    &[100, 250, 500, 1_000, 2_000],
                ],
                10_000_000,
            ),
            LEVELS,
        ],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "The same ledger as memory.parked.",
        leaves_out: "Lanes without stacks keep what the calls need in heap blocks of exactly that size; frames of other languages have other sizes.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "levels_count"),
        ..PLAIN
    },
    Workload {
        id: "memory.shrink",
        title: "A task that waits after it was deep",
        question: "How much of a stack that was once needed is given back while the task waits?",
        shape: Shape::Shrink,
        parameters: &[
            count(
                "tasks_count",
                "tasks that wait at the same time",
                [
                    &[10],
                    &[100, 250, 500, 750, 1_000],
                    &[100, 250, 500, 1_000, 2_000],
                ],
                10_000_000,
            ),
            // The two seconds of each process leave no time for two depths.
            Parameter {
                values: [&[8], &[64], &[128]],
                ..LEVELS
            },
        ],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "The same ledger as memory.deep, read two seconds after the last task has begun to wait at the top of its stack.",
        leaves_out: "What would be given back under memory pressure, or later.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "levels_count"),
        ..PLAIN
    },
    Workload {
        id: "memory.million",
        title: "A million tasks that wait",
        question: "Can a lane hold a million waiting tasks, and what do they cost?",
        shape: Shape::Parked,
        parameters: &[count(
            "tasks_count",
            "tasks that wait at the same time",
            [&[50], &[], &[1_000_000]],
            100_000_000,
        )],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "The same ledger as memory.parked; a lane that reaches a limit names it.",
        leaves_out: "A spread over counts: one count only.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| triangle(get(p, "tasks_count")),
        ..PLAIN
    },
];
