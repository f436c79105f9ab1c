//! A task's memory while it waits.

use super::{
    FirstScreen, Group, MetricKind, PLAIN, Parameter, Presets, Shape, Workload, count, get,
    triangle,
};

const LEVELS: Parameter = count(
    "levels_count",
    "calls deep, each with 512 bytes of its own",
    [&[8], &[64], &[16, 128]],
    1 << 20,
);

/// Memory that a runtime frees within this time is not counted as a task's.
const WAIT: Parameter = count(
    "wait_ns",
    "from the moment that all tasks wait to the second reading",
    [&[10_000_000], &[100_000_000], &[100_000_000]],
    60_000_000_000,
);
/// Every runtime frees a stack within this time.
const SHRINK_WAIT: &[u64] = &[1_500_000_000];

pub(super) const GROUP: Group = Group {
    id: "memory",
    title: "The memory of a task",
    lead: "User pages, kernel stack, slab and page tables. RSS alone leaves out all but the first.",
    lists: &[LIST],
};

const LIST: &[Workload] = &[
    Workload {
        id: "memory.parked",
        title: "A waiting task",
        question: "What does a waiting task cost in memory, the kernel's share included?",
        activity: "keeping one task waiting",
        first_screen: Some(FirstScreen::of("wait", 0)),
        roles: &["waiting_memory"],
        presets: Presets {
            quick: true,
            peers: Some(&[]),
            growth: Some(&[(
                "tasks_count",
                &[100, 1_000, 10_000],
                &[100, 1_000, 10_000, 100_000, 1_000_000],
            )]),
            ..Presets::NONE
        },
        shape: Shape::Parked,
        // The free memory of a quiet host varies by half a megabyte or more. The largest case of
        // the quick size takes 12 MB, at about 400 bytes for each light task. A lane with two
        // mappings for each stack can start fewer than 32,000 tasks.
        parameters: &[
            Parameter {
                os_task_divisor: 10,
                ..count(
                    "tasks_count",
                    "tasks that wait at the same time",
                    [
                        &[20],
                        &[2_000, 5_000, 10_000, 20_000, 30_000],
                        &[1_000, 10_000, 100_000],
                    ],
                    10_000_000,
                )
            },
            WAIT,
        ],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "The sum of the resident pages of the lane and its children, their page tables and kernel stacks, and the slab and per-CPU memory for them.",
        leaves_out: "Address space that was never touched. Slab and the checks are read for the whole host, so other programs disturb them.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| triangle(get(p, "tasks_count")),
        ..PLAIN
    },
    Workload {
        id: "memory.deep",
        title: "Waiting with a large stack",
        question: "What does a waiting task cost when it has used much of its stack?",
        activity: "keeping one task with a large stack waiting",
        roles: &["deep_memory"],
        shape: Shape::Deep,
        parameters: &[
            count(
                "tasks_count",
                "tasks that wait at the same time",
                [&[10], &[100, 250, 500, 750, 1_000], &[500, 2_000]],
                10_000_000,
            ),
            LEVELS,
            WAIT,
        ],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "The same ledger as memory.parked.",
        leaves_out: "Equal frames: lanes without stacks keep what the calls need in heap blocks of exactly that size, and other languages have frames of other sizes.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "levels_count"),
        ..PLAIN
    },
    Workload {
        id: "memory.shrink",
        title: "Waiting after its stack was large",
        question: "How much of a large stack is given back while its task waits?",
        activity: "keeping one task waiting after its stack was large",
        roles: &["shrunk_memory"],
        shape: Shape::Shrink,
        parameters: &[
            count(
                "tasks_count",
                "tasks that wait at the same time",
                [&[10], &[1_000], &[1_000]],
                10_000_000,
            ),
            // Each process waits so long that a run has no time for two depths.
            Parameter {
                values: [&[8], &[64], &[128]],
                ..LEVELS
            },
            Parameter {
                values: [&[10_000_000], SHRINK_WAIT, SHRINK_WAIT],
                ..WAIT
            },
        ],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "The same ledger as memory.deep, read 1.5 s after the last task has returned from its calls and begun to wait.",
        leaves_out: "Memory that would be given back later, or under memory pressure.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "levels_count"),
        ..PLAIN
    },
    Workload {
        id: "memory.million",
        title: "A million waiting tasks",
        question: "Can a lane hold a million waiting tasks, and what do they cost?",
        activity: "keeping one of a million tasks waiting",
        first_screen: Some(FirstScreen::of("wait", 1)),
        shape: Shape::Parked,
        parameters: &[
            count(
                "tasks_count",
                "tasks that wait at the same time",
                [&[50], &[], &[1_000_000]],
                100_000_000,
            ),
            WAIT,
        ],
        operation: "task",
        metrics: &[MetricKind::MemoryLedger, MetricKind::TimePerOperation],
        includes: "The same ledger as memory.parked; a lane that reaches a limit names it.",
        leaves_out: "Fixed costs are not taken off: there is only one number of tasks.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| triangle(get(p, "tasks_count")),
        ..PLAIN
    },
];
