//! Switching from one task to another.

use super::{
    FEW_POWERS, FirstScreen, Group, MetricKind, PLAIN, POWERS, Parameter, Presets, Shape, Workload,
    count, from_zero, get,
};

const ROUNDS: Parameter = count(
    "rounds_count",
    "round trips",
    [&[50], &[1_000], &[1_000]],
    1_000_000_000,
);

const TOKEN: Workload = Workload {
    parameters: &[ROUNDS],
    operation: "round trip",
    iterations: [1, 2, 10],
    operations: |p| get(p, "rounds_count"),
    checksum: |p| get(p, "rounds_count"),
    ..PLAIN
};

pub(super) const GROUP: Group = Group {
    id: "switch",
    title: "Switching between tasks",
    lead: "Three levels, which are different questions: a stack switch alone, a switch by a scheduler, a switch through the kernel.",
    lists: &[LIST],
};

const LIST: &[Workload] = &[
    Workload {
        id: "switch.yield",
        title: "Yield to the others",
        question: "What does it cost when a task gives the CPU to another that is ready to run?",
        activity: "yielding to another task",
        level: "scheduler hop",
        first_screen: Some(FirstScreen::of("switch", 1)),
        roles: &["switch", "process_switch"],
        presets: Presets {
            quick: true,
            peers: Some(&[("tasks_count", &[100, 1_000], &[100, 1_000])]),
            growth: Some(&[
                ("tasks_count", FEW_POWERS, POWERS),
                ("yields_count", &[20], &[20]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::Yield,
        parameters: &[
            count(
                "tasks_count",
                "tasks that yield to each other",
                // More tasks than CPUs: a task alone on its CPU has no other to yield to.
                [&[4], &[100, 1_000], &[100, 1_000]],
                1_000_000,
            ),
            count(
                "yields_count",
                "yields of each task",
                [&[20], &[50], &[50]],
                1_000_000_000,
            ),
        ],
        operation: "yield",
        includes: "The lane's own yield, the choice of the next task and the switch; with 1,000 tasks also the cache misses of their stacks.",
        leaves_out: "Waking: a task that yields stays ready. With more CPUs than tasks there may be no other task to yield to.",
        iterations: [2, 4, 20],
        operations: |p| get(p, "tasks_count") * get(p, "yields_count"),
        checksum: |p| get(p, "tasks_count") * get(p, "yields_count"),
        ..PLAIN
    },
    Workload {
        id: "switch.pingpong",
        title: "Ping-pong over the lane's own channel",
        question: "What does a round trip between two tasks cost?",
        activity: "passing a token to another task and back",
        level: "scheduler hop",
        first_screen: Some(FirstScreen::of("switch", 0)),
        roles: &["switch", "process_switch", "communicate", "round_trip"],
        criterion: Some("channel/round_trip"),
        presets: Presets {
            quick: true,
            doctor: true,
            peers: Some(&[]),
            ..Presets::NONE
        },
        shape: Shape::PingPong,
        includes: "Two sends, two receives, two waits and two wakes, over the channel that the lane's users would choose, with its smallest capacity.",
        leaves_out: "Throughput with a deeper buffer: see share.pipeline. The effect of where the tasks run: see switch.roundtrip.",
        ..TOKEN
    },
    Workload {
        id: "switch.roundtrip",
        title: "Round trip by capacity, on one CPU and on two",
        question: "What does a round trip cost without and with a buffer, on one CPU and across two?",
        activity: "passing a token through a channel and back",
        level: "scheduler hop",
        roles: &["round_trip_by_cpus"],
        same_as: Some(("switch.pingpong", &[("capacity_count", 0)])),
        presets: Presets {
            peers: Some(&[]),
            ..Presets::NONE
        },
        shape: Shape::RoundTrip,
        parameters: &[
            ROUNDS,
            from_zero(
                "capacity_count",
                "capacity of both channels; 0: the smallest that the lane has",
                [&[0, 8], &[0, 1], &[0, 1, 64]],
                100_000,
            ),
            from_zero(
                "workers_count",
                "CPUs that the tasks use, 1: all on the same; 0: as many as the lane has",
                [&[1, 0], &[1, 2], &[1, 2]],
                100_000,
            ),
        ],
        includes: "The same as switch.pingpong. A lane with a scheduler of its own gets one thread or two; tasks that are threads or processes are pinned to one CPU, or not pinned.",
        leaves_out: "A guarantee that a runtime with two threads uses both: it may keep the two tasks on one.",
        ..TOKEN
    },
    Workload {
        id: "switch.futex",
        title: "Ping-pong over a futex",
        question: "What does a round trip cost over a futex, the kernel's simplest way to wait?",
        activity: "passing a token over a futex and back",
        level: "kernel I/O hop",
        shape: Shape::Futex,
        includes: "Two waits and two wakes of the futex system call, and no copy of data.",
        leaves_out: "Spinning before the wait, as locks do. Runtimes that schedule tasks on threads do not run this: a futex blocks the thread.",
        ..TOKEN
    },
    Workload {
        id: "switch.pipe",
        title: "Ping-pong over kernel pipes",
        question: "What does a round trip cost when all lanes use the same kernel primitive?",
        activity: "passing a token through kernel pipes and back",
        level: "kernel I/O hop",
        roles: &["process_switch"],
        shape: Shape::PipePingPong,
        includes: "Two writes and two reads of a pipe, and in lanes with a poller its system calls as well.",
        leaves_out: "The advantage of lanes that need no kernel to pass a message; that is switch.pingpong.",
        ..TOKEN
    },
    Workload {
        id: "switch.ring",
        title: "Thread ring",
        question: "What does a hop cost when a token goes round many tasks?",
        activity: "passing a token on around a ring",
        level: "scheduler hop",
        roles: &["switch"],
        shape: Shape::Ring,
        parameters: &[
            count(
                "tasks_count",
                "tasks in the ring",
                [&[5], &[100], &[100]],
                1_000_000,
            ),
            count(
                "hops_count",
                "hops of the token",
                [&[50], &[2_000], &[10_000]],
                1_000_000_000,
            ),
        ],
        operation: "hop",
        includes: "One send, one receive, one wait and one wake for each hop; all tasks but one are waiting.",
        leaves_out: "Parallelism: only one task can run at a time.",
        iterations: [1, 1, 2],
        operations: |p| get(p, "hops_count"),
        checksum: |p| get(p, "hops_count"),
        ..PLAIN
    },
    Workload {
        id: "switch.hog",
        title: "Waking beside tasks that only compute",
        question: "How late does a sleeping task wake when every CPU runs a task that only computes?",
        activity: "waking beside tasks that only compute",
        roles: &["hog"],
        telling: &["worst_delay_ns", "missed_ticks_ratio"],
        presets: Presets {
            peers: Some(&[]),
            ..Presets::NONE
        },
        shape: Shape::Hog,
        parameters: &[
            count(
                "hog_ns",
                "how long each hog computes",
                [&[5_000_000], &[200_000_000], &[200_000_000]],
                60_000_000_000,
            ),
            from_zero(
                "hogs_count",
                "hogs; 0: one for each CPU of the lane",
                [&[0], &[0], &[0]],
                100_000,
            ),
            count(
                "tick_ns",
                "from one tick of the clock to the next",
                [&[2_000_000], &[10_000_000], &[10_000_000]],
                1_000_000_000,
            ),
        ],
        operation: "hog",
        metrics: &[MetricKind::Latency],
        figures: &["worst_delay_ns", "missed_ticks_ratio"],
        includes: "How late a task wakes that sleeps until each tick of a clock, while every CPU of the lane runs a task that makes no call. A stall counts as late for every tick that it covers. A tick is missed if the task wakes only after the next is due.",
        leaves_out: "The cost of preemption to the hogs. The documentation of tokio, smol and asyncio says to run such work on other threads (spawn_blocking); this shows a program that does not.",
        calibrated: false,
        ..PLAIN
    },
    Workload {
        id: "switch.working_set",
        title: "Switching with a working set",
        question: "How much more does a switch cost when every task reads memory of its own?",
        activity: "switching between tasks that use their own memory",
        level: "scheduler hop",
        shape: Shape::WorkingSet,
        parameters: &[
            count(
                "tasks_count",
                "tasks in the ring",
                [&[3], &[8], &[8, 64]],
                1_000_000,
            ),
            count(
                "hops_count",
                "hops of the token",
                [&[20], &[200], &[200]],
                1_000_000_000,
            ),
            from_zero(
                "size_bytes",
                "memory that a task goes over on each hop",
                [
                    &[1_024],
                    &[0, 16 << 10, 256 << 10],
                    &[0, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20],
                ],
                1 << 30,
            ),
        ],
        operation: "hop",
        figures: &["sum_alone_ns"],
        includes: "The hop and reading the memory. A further figure is the time of the reading alone, in one task that reads all arrays in turn.",
        leaves_out: "Writing, and sharing between CPUs.",
        operations: |p| get(p, "hops_count"),
        checksum: |p| {
            get(p, "hops_count") * (1 + crate::kernels::working_set::sum(get(p, "size_bytes")))
        },
        ..PLAIN
    },
    Workload {
        id: "switch.idle_wake",
        title: "Waking a task that has been idle",
        question: "How long does waking a task take after everything was idle?",
        activity: "waking a task that has been idle",
        telling: &["wake_ns"],
        presets: Presets {
            peers: Some(&[("idle_ns", &[1_000_000], &[1_000_000, 10_000_000])]),
            ..Presets::NONE
        },
        shape: Shape::IdleWake,
        parameters: &[
            count("rounds_count", "wakes", [&[5], &[30], &[30]], 1_000_000_000),
            from_zero(
                "idle_ns",
                "how long all tasks wait before each wake",
                [
                    // Whole milliseconds, because the timers of some lanes are no finer.
                    &[1_000_000],
                    &[0, 1_000_000, 10_000_000],
                    &[0, 1_000_000, 10_000_000],
                ],
                10_000_000_000,
            ),
        ],
        operation: "wake",
        metrics: &[MetricKind::Latency],
        figures: &["wake_ns"],
        includes: "From just before the send to the first instruction after the receive, including the time in which the CPU and the runtime leave their idle state.",
        leaves_out: "The idle time itself. The further figure, time per wake, contains it.",
        calibrated: false,
        operations: |p| get(p, "rounds_count"),
        checksum: |p| get(p, "rounds_count"),
        ..PLAIN
    },
];
