//! Starting tasks.

use super::{
    FEW_POWERS, FirstScreen, Group, MetricKind, PLAIN, POWERS, Parameter, Presets, Shape, Workload,
    count, from_zero, get, triangle,
};

pub(super) const GROUP: Group = Group {
    id: "spawn",
    title: "Starting tasks",
    lead: "Creating a task, running it, and waiting for its end.",
    lists: &[LIST],
};

const LIST: &[Workload] = &[
    Workload {
        id: "spawn.one",
        title: "Start one task and wait for it",
        question: "What does it cost to start one task and wait for its result?",
        activity: "starting and joining one task",
        first_screen: Some(FirstScreen::of("start", 0)),
        roles: &["create"],
        criterion: Some("spawn/one"),
        presets: Presets {
            quick: true,
            doctor: true,
            peers: Some(&[]),
            ..Presets::NONE
        },
        shape: Shape::ForkJoin,
        parameters: &[],
        operation: "task",
        includes: "Creating the task, running it, handing over one number, waking the task that waits for it, and freeing it.",
        leaves_out: "Parallelism: there is only one task at a time. A lane that keeps stacks or processes for reuse is measured with a reused one.",
        iterations: [10, 500, 1_000],
        ..PLAIN
    },
    Workload {
        id: "spawn.batch",
        title: "Start many tasks, then wait for all",
        question: "What does a task cost when many start together?",
        activity: "starting and joining one of many tasks",
        first_screen: Some(FirstScreen::of("start", 1)),
        roles: &["create"],
        presets: Presets {
            quick: true,
            peers: Some(&[("tasks_count", &[1_000], &[1_000])]),
            growth: Some(&[("tasks_count", FEW_POWERS, POWERS)]),
            ..Presets::NONE
        },
        shape: Shape::ForkJoin,
        parameters: &[count(
            "tasks_count",
            "tasks started before the first is awaited",
            [&[20], &[1_000], &[1_000]],
            10_000_000,
        )],
        operation: "task",
        includes: "Creating all tasks, running them on all CPUs of the lane, handing over one number each, and joining them in order.",
        leaves_out: "Work: the tasks do nothing, so this is the overhead alone, with the most contention on the scheduler.",
        iterations: [2, 1, 2],
        operations: |p| get(p, "tasks_count"),
        checksum: |p| triangle(get(p, "tasks_count")),
        ..PLAIN
    },
    Workload {
        id: "spawn.first_instruction",
        title: "From the call to the task's first instruction",
        question: "How long after the call that starts a task does the task's own code run?",
        activity: "getting a new task to its first instruction",
        roles: &["start_and_end"],
        shape: Shape::FirstInstruction,
        parameters: &[],
        operation: "task",
        metrics: &[MetricKind::Latency, MetricKind::TimePerOperation],
        figures: &["spawn_return_ns", "first_instruction_ns", "finish_ns"],
        includes: "The same as spawn.one, in parts: until the call returns, until the task's first instruction, and from there until it is joined.",
        leaves_out: "Nothing, but each part also contains two or three readings of the clock, about 20 ns each.",
        iterations: [10, 500, 1_000],
        ..PLAIN
    },
    Workload {
        id: "spawn.skynet",
        title: "Skynet: a tree of tasks",
        question: "How fast does a tree of tasks grow and collapse?",
        activity: "growing and folding one leaf of a tree of tasks",
        presets: Presets {
            peers: Some(&[("leaves_count", &[1_000], &[1_000_000])]),
            growth: Some(&[(
                "leaves_count",
                &[10, 100, 1_000, 10_000],
                &[10, 100, 1_000, 10_000, 100_000, 1_000_000],
            )]),
            ..Presets::NONE
        },
        shape: Shape::Skynet,
        parameters: &[Parameter {
            range: (10, 10_000_000),
            ..count(
                "leaves_count",
                "leaves of the tree, a power of 10",
                [&[100], &[1_000], &[1_000, 1_000_000]],
                0,
            )
        }],
        operation: "leaf",
        includes: "Starting every inner task and leaf from within tasks, ten children each, and adding up on the way back.",
        leaves_out: "Trees beyond a lane's limit: where tasks block a thread or process while they wait, the whole tree exists at once.",
        operations: |p| get(p, "leaves_count"),
        checksum: |p| triangle(get(p, "leaves_count") - 1),
        ..PLAIN
    },
    Workload {
        id: "spawn.fork_rss",
        title: "Fork against the parent's memory",
        question: "How does the cost of a new process grow with its parent's memory?",
        activity: "forking from a parent with much memory",
        shape: Shape::ForkResident,
        parameters: &[
            from_zero(
                "resident_bytes",
                "anonymous memory that the parent has written to",
                [
                    &[1 << 20],
                    &[0, 64 << 20, 256 << 20],
                    &[0, 16 << 20, 64 << 20, 256 << 20, 1 << 30],
                ],
                64 << 30,
            ),
            from_zero(
                "huge",
                "0: in small pages, 1: in huge pages",
                [&[0], &[0], &[0, 1]],
                1,
            ),
            from_zero(
                "touch_pages_count",
                "pages that the child writes to",
                [&[4], &[16], &[256]],
                1 << 24,
            ),
        ],
        operation: "process",
        figures: &[
            "fork_return_ns",
            "first_instruction_ns",
            "copy_on_write_ns",
            "exit_wait_ns",
        ],
        includes: "Fork, the child's first instruction, its copy-on-write faults, and exit with wait, each measured separately.",
        leaves_out: "Loading a program: the child continues in the parent's image, except in lanes that say that they execute a program.",
        iterations: [2, 10, 20],
        ..PLAIN
    },
];
