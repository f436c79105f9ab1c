//! Sleeping, sockets, files and mail.

use super::{
    FEW_POWERS, FirstScreen, Group, MetricKind, PLAIN, POWERS, Parameter, Presets, Shape, Workload,
    count, from_zero, get, triangle,
};
use crate::kernels::{bytes, lehmer};

pub(super) const LOAD: &[&str] = &["load_headroom_ratio", "load_limit_per_s", "load_busy_ratio"];

pub(super) const CONNECTIONS: Parameter = count(
    "connections_count",
    "connections open at the same time",
    [&[3], &[64], &[64, 256]],
    60_000,
);

pub(super) const fn payload(most: u64) -> Parameter {
    count(
        "payload_bytes",
        "bytes of a request and of its answer",
        [&[64], &[64], &[64]],
        most,
    )
}

pub(super) const REQUESTS: Parameter = count(
    "requests_count",
    "requests over all connections",
    [&[60], &[4_000], &[10_000]],
    1_000_000_000,
);

pub(super) const OFFERED: Parameter = from_zero(
    "offered_per_s",
    "requests a second on a fixed schedule; 0: each connection sends when it has its answer",
    [&[0], &[0], &[0]],
    100_000_000,
);

pub(super) const LOADED: &[MetricKind] = &[
    MetricKind::Throughput,
    MetricKind::Latency,
    MetricKind::TimePerOperation,
];

const BLOCK: Parameter = count(
    "block_bytes",
    "bytes that the server reads at most at a time",
    [&[16 << 10], &[16 << 10], &[16 << 10]],
    1 << 30,
);

pub(super) const GROUP: Group = Group {
    id: "io",
    title: "Waiting for timers, sockets and files",
    lead: "Waiting is what most tasks of a server do most of the time.",
    lists: &[LIST],
};

const LIST: &[Workload] = &[
    Workload {
        id: "io.sleepers",
        title: "Many sleeping tasks",
        question: "What do many sleeping tasks cost beyond the time they sleep?",
        activity: "putting one of many tasks to sleep and waking it",
        roles: &["sleep"],
        telling: &["over_ns"],
        presets: Presets {
            quick: true,
            peers: Some(&[("tasks_count", &[1_000], &[10_000])]),
            growth: Some(&[
                ("tasks_count", FEW_POWERS, POWERS),
                ("sleep_ns", &[100_000_000], &[1_000_000_000]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::Sleepers,
        parameters: &[
            count(
                "tasks_count",
                "tasks that sleep at the same time",
                [&[20], &[1_000], &[1_000, 10_000]],
                10_000_000,
            ),
            count(
                "sleep_ns",
                "how long each sleeps",
                [&[2_000_000], &[100_000_000], &[100_000_000]],
                3_600_000_000_000,
            ),
        ],
        operation: "task",
        figures: &["over_ns"],
        includes: "Starting the tasks, setting and firing their timers, and joining them. The figure is the time beyond the sleep, for all tasks together.",
        leaves_out: "The sleep itself. The further figure, time per task, contains it.",
        calibrated: false,
        operations: |p| get(p, "tasks_count"),
        checksum: |p| triangle(get(p, "tasks_count")),
        ..PLAIN
    },
    Workload {
        id: "io.tcp_echo",
        title: "TCP echo server",
        question: "How many requests a second does an echo server answer at most, and how long do they wait then?",
        activity: "answering one request over TCP",
        first_screen: Some(FirstScreen {
            quantity: Some("throughput"),
            parameters: &[("offered_per_s", 0)],
            ..FirstScreen::of("serve", 1)
        }),
        telling: &["throughput", "latency_ns_p99"],
        presets: Presets {
            quick: true,
            peers: Some(&[
                ("offered_per_s", &[0], &[0]),
                ("connections_count", &[64], &[64, 1_000]),
                ("requests_count", &[4_000], &[50_000]),
            ]),
            growth: Some(&[
                (
                    "connections_count",
                    &[1, 10, 100, 1_000],
                    &[1, 10, 100, 1_000],
                ),
                ("requests_count", &[4_000], &[20_000]),
                ("offered_per_s", &[0], &[0]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::TcpEcho,
        parameters: &[CONNECTIONS, payload(16_384), REQUESTS, BLOCK, OFFERED],
        operation: "request",
        metrics: LOADED,
        figures: LOAD,
        includes: "The server's reads and writes over loopback, with its poller or threads. All lanes have the same load generator, which has its own CPUs: the server gets two fifths of the run's CPUs, or one of two.",
        leaves_out: "A network card. Latency below saturation: see io.tcp_latency. Where the load generator's headroom is near 1, the generator is the limit and the server can do more: see io.tcp_burst.",
        calibrated: false,
        operations: |p| get(p, "requests_count"),
        checksum: |p| get(p, "requests_count"),
        ..PLAIN
    },
    Workload {
        id: "io.tcp_latency",
        title: "TCP echo server at half of its capacity",
        question: "How long do requests wait for an echo server that is loaded to half of its capacity?",
        activity: "answering one request at half of the load that the server can bear",
        telling: &["latency_ns_p50", "latency_ns_p99"],
        presets: Presets {
            peers: Some(&[("requests_count", &[4_000], &[50_000])]),
            ..Presets::NONE
        },
        shape: Shape::TcpEcho,
        parameters: &[
            Parameter {
                values: [&[3], &[64], &[64]],
                ..CONNECTIONS
            },
            payload(16_384),
            REQUESTS,
            BLOCK,
            Parameter {
                range: (1, 100),
                ..count(
                    "load_percent",
                    "percent of the server's capacity, which is measured first, on the same connections",
                    [&[50], &[50], &[50]],
                    0,
                )
            },
        ],
        operation: "request",
        metrics: &[MetricKind::Latency],
        figures: &[
            "capacity_per_s",
            "load_headroom_ratio",
            "load_limit_per_s",
            "load_busy_ratio",
        ],
        includes: "Requests on a fixed schedule; the latency of each counts from when it was due, so a stall of the server counts in full. The rate is a share of the lane's own capacity, so a faster lane gets more requests a second.",
        leaves_out: "A network card. Time per request: it follows from the schedule.",
        calibrated: false,
        operations: |p| get(p, "requests_count"),
        checksum: |p| get(p, "requests_count"),
        ..PLAIN
    },
    Workload {
        id: "io.tcp_burst",
        title: "TCP echo server, requests in bursts",
        question: "How many requests does an echo server answer when each connection sends several at once?",
        activity: "answering one of many requests that come at once",
        first_screen: Some(FirstScreen::of("serve", 0)),
        presets: Presets {
            peers: Some(&[
                ("connections_count", &[64], &[64]),
                ("requests_count", &[16_000], &[100_000]),
            ]),
            ..Presets::NONE
        },
        shape: Shape::TcpEcho,
        parameters: &[
            Parameter {
                values: [&[3], &[64], &[64]],
                ..CONNECTIONS
            },
            payload(4_096),
            count(
                "requests_count",
                "requests over all connections",
                [&[60], &[16_000], &[40_000]],
                1_000_000_000,
            ),
            count(
                "burst_count",
                "requests that a connection sends at once, and the next when all of them are answered",
                [&[5], &[16], &[16]],
                16,
            ),
        ],
        operation: "request",
        metrics: &[MetricKind::TimePerOperation, MetricKind::Latency],
        figures: LOAD,
        includes: "As io.tcp_echo, but the generator sends a burst with one write, while the server reads and answers each request separately. So the server is the limit, even on a host with two CPUs.",
        leaves_out: "Most of the waiting: after an answer a task finds its next request already there. See io.tcp_echo.",
        calibrated: false,
        operations: |p| get(p, "requests_count"),
        checksum: |p| get(p, "requests_count"),
        ..PLAIN
    },
    Workload {
        id: "io.fanout",
        title: "Requests that compute and wait",
        question: "How long does a request take that computes a little and waits for three things at once?",
        activity: "answering a request that waits for three others",
        shape: Shape::Fanout,
        parameters: &[
            count(
                "requests_count",
                "requests at the same time",
                [&[5], &[200], &[1_000]],
                1_000_000,
            ),
            count(
                "waits_count",
                "waits of each request, all at once",
                [&[2], &[3], &[3]],
                1_000,
            ),
            from_zero(
                "wait_ns",
                "how long each wait is",
                [&[1_000_000], &[5_000_000], &[5_000_000]],
                60_000_000_000,
            ),
            from_zero(
                "steps_count",
                "steps of the generator: the work of each request, about 50 µs for 16,000",
                [&[100], &[16_000], &[16_000]],
                1_000_000_000,
            ),
        ],
        operation: "request",
        includes: "Starting a task for each request and for each of its waits, the work, the timers and the joins.",
        leaves_out: "Real back ends: the waits are timers, so no load generator can be the limit.",
        operations: |p| get(p, "requests_count"),
        checksum: |p| {
            (0..get(p, "requests_count"))
                .map(|request| {
                    lehmer::after(request, get(p, "steps_count")) % 1_000 + get(p, "waits_count")
                })
                .sum()
        },
        ..PLAIN
    },
    Workload {
        id: "io.file_read",
        title: "Reading files",
        question: "What does it cost when each of many tasks reads a file?",
        activity: "reading one file",
        shape: Shape::FileRead,
        parameters: &[
            count(
                "tasks_count",
                "tasks, each with a file of its own",
                [&[4], &[32], &[32]],
                10_000,
            ),
            from_zero(
                "file_bytes",
                "size of each file",
                [&[5_000], &[1 << 20], &[2 << 20]],
                1 << 32,
            ),
            Parameter {
                meaning: "bytes that a task reads at a time",
                values: [&[64 << 10], &[64 << 10], &[64 << 10]],
                ..BLOCK
            },
            from_zero(
                "cold",
                "0: files in the page cache, 1: files dropped from the page cache first",
                [&[0, 1], &[0], &[0, 1]],
                1,
            ),
        ],
        operation: "file",
        includes: "Opening, reading in blocks, adding up the bytes; in async lanes also handing the call to a thread that may block, or to io_uring.",
        leaves_out: "A guarantee that a read reaches a disk: a cache below the kernel may answer.",
        operations: |p| get(p, "tasks_count"),
        checksum: |p| {
            (0..get(p, "tasks_count"))
                .map(|file| bytes::sum(file, get(p, "file_bytes")))
                .sum()
        },
        ..PLAIN
    },
    Workload {
        id: "io.email",
        title: "Sending mail",
        question: "What does it cost when each of many tasks sends a mail to a slow server?",
        activity: "sending one mail",
        shape: Shape::Email,
        parameters: &[
            count(
                "tasks_count",
                "tasks, each of which sends a message over a connection of its own",
                [&[4], &[100], &[100]],
                10_000,
            ),
            from_zero(
                "delay_ns",
                "how long the server takes for each answer",
                [&[1_000_000], &[5_000_000], &[5_000_000]],
                60_000_000_000,
            ),
        ],
        operation: "message",
        figures: &["load_busy_ratio"],
        includes: "Seven exchanges of an SMTP conversation for each message, and the library's own work.",
        leaves_out: "Encryption. Equal libraries: each lane uses one made for it, blocking or async. Where the mail server, which is one thread, is busy nearly all of the time, it is the limit, not the lane.",
        operations: |p| get(p, "tasks_count"),
        checksum: |p| get(p, "tasks_count"),
        ..PLAIN
    },
];
