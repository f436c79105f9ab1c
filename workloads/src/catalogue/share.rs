//! The ways to share data between tasks.

use super::{
    FEW_POWERS, Group, PLAIN, POWERS, Parameter, Presets, Shape, Workload, count, from_zero, get,
    triangle,
};
use crate::kernels::{lehmer, sieve};

/// The capacity of channels in workloads that do not vary it.
const CAPACITY: Parameter = count(
    "capacity_count",
    "capacity of each channel",
    [&[64], &[64], &[64]],
    100_000,
);

pub(super) const GROUP: Group = Group {
    id: "share",
    title: "Sharing and communicating",
    lead: "Channels, locks, atomics, and patterns that programs use.",
    lists: &[LIST],
};

const LIST: &[Workload] = &[
    Workload {
        id: "share.counter",
        title: "One counter, three ways",
        question: "What does adding to a shared counter cost by an atomic, a lock, or a channel?",
        activity: "adding one to a shared counter",
        roles: &["counter"],
        presets: Presets {
            peers: Some(&[("tasks_count", &[8], &[64]), ("means", &[1], &[1])]),
            growth: Some(&[
                ("tasks_count", FEW_POWERS, POWERS),
                ("additions_count", &[20], &[20]),
                ("means", &[1], &[1]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::Counter,
        parameters: &[
            count(
                "tasks_count",
                "tasks that add",
                [&[4], &[8], &[8, 64]],
                1_000_000,
            ),
            count(
                "additions_count",
                "additions of each task",
                [&[50], &[500], &[1_000]],
                1_000_000_000,
            ),
            from_zero(
                "means",
                "0: atomic, 1: mutex, 2: a channel to the counter's owner",
                [&[0, 1, 2], &[0, 1, 2], &[0, 1, 2]],
                2,
            ),
            CAPACITY,
        ],
        operation: "addition",
        includes: "Every addition, under contention, and the end of the tasks.",
        leaves_out: "Work between the additions, so contention is as high as it can be.",
        iterations: [1, 2, 4],
        operations: |p| get(p, "tasks_count") * get(p, "additions_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "additions_count"),
        ..PLAIN
    },
    Workload {
        id: "share.pipeline",
        title: "A pipeline of stages",
        question: "What does a message cost in a chain of tasks?",
        activity: "sending one message through a pipeline",
        roles: &["communicate"],
        presets: Presets {
            peers: Some(&[
                ("stages_count", &[4], &[4]),
                ("items_count", &[1_000], &[1_000]),
                ("capacity_count", &[64], &[64]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::Pipeline,
        parameters: &[
            count(
                "stages_count",
                "stages between source and sink",
                [&[3], &[4], &[4, 32]],
                100_000,
            ),
            count(
                "items_count",
                "items",
                [&[50], &[1_000], &[2_000]],
                1_000_000,
            ),
            from_zero(
                "capacity_count",
                "capacity of each channel; 0: the smallest that the lane has",
                [&[0, 8], &[0, 64], &[0, 1, 64]],
                100_000,
            ),
        ],
        operation: "message",
        includes: "Every hand-over of an item between neighbours, filling and emptying the pipeline, and the end of the tasks.",
        leaves_out: "Work in the stages.",
        iterations: [1, 1, 4],
        operations: |p| get(p, "items_count") * (get(p, "stages_count") + 1),
        checksum: |p| {
            triangle(get(p, "items_count") - 1) + get(p, "items_count") * get(p, "stages_count")
        },
        ..PLAIN
    },
    Workload {
        id: "share.sieve",
        title: "Concurrent prime sieve",
        question: "What does a prime cost in the textbook example of a chain of filters?",
        activity: "sieving one prime by a chain of tasks",
        shape: Shape::Sieve,
        parameters: &[Parameter {
            range: (2, 1_000_000),
            ..count(
                "limit_count",
                "the highest number sent in",
                [&[50], &[500], &[2_000]],
                0,
            )
        }],
        operation: "prime",
        includes: "Starting a task for each prime from the task before it, and all messages of the chain.",
        leaves_out: "An efficient way to find primes: see cpu.primes.",
        operations: |p| sieve::primes_up_to(get(p, "limit_count")).count() as u64,
        checksum: |p| sieve::primes_up_to(get(p, "limit_count")).sum(),
        ..PLAIN
    },
    Workload {
        id: "share.fan_in",
        title: "Many senders, one receiver",
        question: "How fast can one task receive from many?",
        activity: "sending one message to a receiver that many tasks send to",
        roles: &["communicate"],
        presets: Presets {
            growth: Some(&[
                (
                    "producers_count",
                    FEW_POWERS,
                    &[1, 10, 100, 1_000, 10_000, 100_000],
                ),
                ("items_count", &[20], &[20]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::FanIn,
        parameters: &[
            count(
                "producers_count",
                "tasks that send",
                [&[4], &[16], &[16, 256]],
                100_000,
            ),
            count(
                "items_count",
                "messages of each",
                [&[30], &[200], &[500]],
                1_000_000,
            ),
            CAPACITY,
        ],
        operation: "message",
        includes: "Contention of the senders on one channel, and the end of the tasks.",
        leaves_out: "Work on either side.",
        iterations: [1, 1, 4],
        operations: |p| get(p, "producers_count") * get(p, "items_count"),
        checksum: |p| get(p, "producers_count") * triangle(get(p, "items_count")),
        ..PLAIN
    },
    Workload {
        id: "share.select",
        title: "One receiver that waits for two channels",
        question: "What does a message cost when its receiver waits for whichever of two channels has one?",
        activity: "receiving from whichever of two channels is ready",
        presets: Presets {
            peers: Some(&[]),
            ..Presets::NONE
        },
        shape: Shape::Select,
        parameters: &[count(
            "items_count",
            "messages over each channel",
            [&[30], &[1_000], &[2_000]],
            1_000_000,
        )],
        operation: "message",
        includes: "The lane's select, over two channels of the smallest capacity, each with a sender that is always ready, and the end of the tasks.",
        leaves_out: "Fairness between the channels, and selecting over many.",
        iterations: [1, 1, 4],
        operations: |p| 2 * get(p, "items_count"),
        checksum: |p| 2 * triangle(get(p, "items_count")),
        ..PLAIN
    },
    Workload {
        id: "share.worker_pool",
        title: "A pool of tasks that take jobs",
        question: "What does a job cost that goes to a pool of tasks through a channel, with its result?",
        activity: "handing one job to a pool of workers",
        presets: Presets {
            peers: Some(&[
                ("steps_count", &[100], &[100]),
                ("jobs_count", &[1_000], &[1_000]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::WorkerPool,
        parameters: &[
            from_zero(
                "workers_count",
                "tasks that take jobs; 0: as many as the lane has CPUs",
                [&[2], &[0], &[0]],
                100_000,
            ),
            count(
                "jobs_count",
                "jobs",
                [&[50], &[1_000], &[5_000]],
                10_000_000,
            ),
            from_zero(
                "steps_count",
                "steps of the generator in each job: its work",
                [&[10], &[100], &[100, 10_000]],
                1_000_000_000,
            ),
            CAPACITY,
        ],
        operation: "job",
        includes: "Both channels and the work of each job, on as many CPUs as the lane has, and the end of the tasks.",
        leaves_out: "Pools without a channel: those are separate lanes.",
        operations: |p| get(p, "jobs_count"),
        checksum: |p| {
            (1..=get(p, "jobs_count"))
                .map(|job| lehmer::after(job, get(p, "steps_count")))
                .sum()
        },
        ..PLAIN
    },
    Workload {
        id: "share.bounded_buffer",
        title: "Bounded buffer",
        question: "What does a message cost when many senders and receivers share one small buffer?",
        activity: "passing one message through a bounded buffer",
        roles: &["communicate"],
        presets: Presets {
            peers: Some(&[("items_count", &[50], &[50])]),
            ..Presets::NONE
        },
        shape: Shape::BoundedBuffer,
        parameters: &[
            count(
                "tasks_count",
                "senders, and as many receivers",
                [&[3], &[40], &[40]],
                100_000,
            ),
            count(
                "items_count",
                "messages of each sender",
                [&[20], &[50], &[1_000]],
                1_000_000,
            ),
            count(
                "capacity_count",
                "capacity of the buffer",
                [&[5], &[50], &[50]],
                100_000,
            ),
        ],
        operation: "message",
        includes: "Waiting on both sides: for room and for messages.",
        leaves_out: "Work on either side.",
        operations: |p| get(p, "tasks_count") * get(p, "items_count"),
        checksum: |p| get(p, "tasks_count") * triangle(get(p, "items_count")),
        ..PLAIN
    },
    Workload {
        id: "share.chameneos",
        title: "Chameneos",
        question: "What does it cost to bring tasks together in pairs?",
        activity: "meeting one other task",
        presets: Presets {
            peers: Some(&[
                ("creatures_count", &[20], &[20]),
                ("meetings_count", &[1_000], &[1_000]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::Chameneos,
        parameters: &[
            Parameter {
                range: (2, 100_000),
                ..count(
                    "creatures_count",
                    "tasks that want to meet",
                    [&[4], &[20], &[100]],
                    0,
                )
            },
            count(
                "meetings_count",
                "meetings",
                [&[30], &[1_000], &[5_000]],
                100_000_000,
            ),
        ],
        operation: "meeting",
        includes: "Two requests to one busy task and its two answers for each meeting.",
        leaves_out: "Fairness: how often each task meets others is not checked.",
        operations: |p| get(p, "meetings_count"),
        checksum: |p| 2 * get(p, "meetings_count"),
        ..PLAIN
    },
    Workload {
        id: "share.big",
        title: "Many tasks ask each other",
        question: "What does a question and its answer cost when many tasks ask each other at random?",
        activity: "asking another task at random",
        presets: Presets {
            peers: Some(&[("pings_count", &[100], &[100])]),
            ..Presets::NONE
        },
        shape: Shape::Big,
        parameters: &[
            Parameter {
                range: (2, 10_000),
                ..count("tasks_count", "tasks that ask", [&[4], &[120], &[120]], 0)
            },
            count(
                "pings_count",
                "questions of each",
                [&[20], &[100], &[1_000]],
                100_000_000,
            ),
        ],
        operation: "question",
        includes: "A message to a mailbox that is seldom in a cache, and the answer. A task that waits for an answer gives answers meanwhile.",
        leaves_out: "Full mailboxes: each has room for one message of every task.",
        iterations: [1, 1, 4],
        operations: |p| get(p, "tasks_count") * get(p, "pings_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "pings_count"),
        ..PLAIN
    },
    Workload {
        id: "share.philosophers",
        title: "Dining philosophers",
        question: "What does it cost to take two locks that neighbours also take?",
        activity: "taking two forks and one meal",
        shape: Shape::Philosophers,
        parameters: &[
            Parameter {
                range: (2, 100_000),
                ..count(
                    "tasks_count",
                    "philosophers, and as many locks",
                    [&[4], &[20], &[20]],
                    0,
                )
            },
            count(
                "rounds_count",
                "meals of each",
                [&[20], &[500], &[1_000]],
                1_000_000_000,
            ),
        ],
        operation: "meal",
        includes: "Taking two of the lane's own locks in a fixed order, and releasing both.",
        leaves_out: "Thinking and eating, which take no time here.",
        iterations: [1, 1, 2],
        operations: |p| get(p, "tasks_count") * get(p, "rounds_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "rounds_count"),
        ..PLAIN
    },
    Workload {
        id: "share.messaging",
        title: "Groups in which all senders send to all receivers",
        question: "What does a message cost when many tasks wake each other all the time?",
        activity: "sending one message among groups of tasks",
        presets: Presets {
            peers: Some(&[("groups_count", &[2], &[2]), ("loops_count", &[5], &[5])]),
            ..Presets::NONE
        },
        shape: Shape::Messaging,
        parameters: &[
            count("groups_count", "groups", [&[1], &[2], &[10]], 10_000),
            count(
                "senders_count",
                "senders of a group, and as many receivers",
                [&[3], &[20], &[20]],
                10_000,
            ),
            count(
                "loops_count",
                "messages of each sender to each receiver",
                [&[5], &[5], &[20]],
                1_000_000,
            ),
            Parameter {
                values: [&[100], &[100], &[100]],
                ..CAPACITY
            },
        ],
        operation: "message",
        includes: "The messages of hackbench, over the lane's own channels with a capacity of 100.",
        leaves_out: "The socket pairs and 100-byte messages of hackbench.",
        operations: |p| {
            get(p, "groups_count")
                * get(p, "senders_count")
                * get(p, "senders_count")
                * get(p, "loops_count")
        },
        checksum: |p| {
            get(p, "groups_count")
                * get(p, "senders_count")
                * get(p, "senders_count")
                * get(p, "loops_count")
        },
        ..PLAIN
    },
    Workload {
        id: "share.brigade",
        title: "A chain of tasks over kernel pipes",
        question: "What does a hop cost in a long chain of tasks connected by kernel pipes?",
        activity: "passing a byte on along a chain of tasks",
        level: "kernel I/O hop",
        shape: Shape::Brigade,
        parameters: &[
            count(
                "tasks_count",
                "tasks in the chain",
                [&[5], &[100], &[500]],
                100_000,
            ),
            count(
                "rounds_count",
                "times the number goes down the chain",
                [&[5], &[20], &[50]],
                1_000_000_000,
            ),
        ],
        operation: "hop",
        includes: "One read and one write of a pipe for each hop; all tasks but one are waiting.",
        leaves_out: "Parallelism: only one task can run at a time.",
        operations: |p| get(p, "rounds_count") * (get(p, "tasks_count") + 1),
        checksum: |p| get(p, "rounds_count") * get(p, "tasks_count"),
        ..PLAIN
    },
];
