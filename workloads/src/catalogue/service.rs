//! A whole HTTP service under load.

use super::{
    FirstScreen, Group, MetricKind, PLAIN, Parameter, Presets, Shape, Workload, count, from_zero,
};

pub(super) const GROUP: Group = Group {
    id: "service",
    title: "A whole service",
    lead: "An HTTP API with a backend, as people write and deploy it: which model carries the load within the limit?",
    lists: &[LIST],
};

const LONG: u64 = 60_000_000_000;

const LIST: &[Workload] = &[Workload {
    id: "service.http",
    title: "HTTP service with a backend",
    question: "How many requests a second does an HTTP service answer at most within its limit of latency?",
    activity: "answering an HTTP request with the help of a backend",
    first_screen: Some(FirstScreen {
        quantity: Some("rate_per_s"),
        ..FirstScreen::of("serve", 2)
    }),
    telling: &["rate_per_s", "latency_ns_p99"],
    presets: Presets {
        service: Some(&[
            ("hold_ns", &[1_000_000_000], &[2_000_000_000]),
            ("try_ns", &[250_000_000], &[300_000_000]),
            ("search_ns", &[3_000_000_000], &[5_000_000_000]),
            ("idle_count", &[2_000], &[10_000]),
        ]),
        lanes: &["threadbare", "thread", "tokio", "go"],
        ..Presets::NONE
    },
    shape: Shape::Service,
    parameters: &[
        count(
            "connections_count",
            "connections open at the same time",
            [&[16], &[256], &[256]],
            60_000,
        ),
        count(
            "hold_ns",
            "for how long half of the highest rate is offered",
            [&[100_000_000], &[300_000_000], &[300_000_000]],
            LONG,
        ),
        count(
            "try_ns",
            "for how long each rate is tried",
            [&[20_000_000], &[100_000_000], &[100_000_000]],
            LONG,
        ),
        count(
            "search_ns",
            "after so long no other rate is tried",
            [&[400_000_000], &[1_600_000_000], &[1_600_000_000]],
            LONG,
        ),
        count(
            "limit_ns",
            "the 99th percentile of latency that the service may not exceed",
            [&[1_000_000_000], &[20_000_000], &[20_000_000]],
            LONG,
        ),
        from_zero(
            "idle_count",
            "connections without a request that are opened beside the others at the end, or as many as can be in the time of hold_ns",
            [&[20], &[500], &[500]],
            25_000,
        ),
        count(
            "in_flight_count",
            "requests that the service has under way at the same time; it refuses one more",
            // Three quarters of the connections, so the service begins to refuse when its latency
            // nears the limit.
            [&[8], &[192], &[192]],
            60_000,
        ),
        from_zero(
            "backend",
            "0: the suite's backend, 1: Redis, 2: PostgreSQL",
            [&[0], &[0], &[0]],
            2,
        ),
        count(
            "pool_count",
            "connections that the service has to its backend at most",
            [&[2], &[64], &[64]],
            60_000,
        ),
        count(
            "rounds_count",
            "rounds of the hash that authenticates; about 40 µs for 150",
            [&[10], &[150], &[150]],
            1_000_000,
        ),
        from_zero(
            "steps_count",
            "steps of the generator on the route that computes, which is each 20th request; about 500 µs for 160,000",
            [&[100], &[160_000], &[160_000]],
            1_000_000_000,
        ),
        from_zero(
            "delay_ns",
            "how long the backend takes for an answer at least",
            [&[200_000], &[2_000_000], &[2_000_000]],
            LONG,
        ),
        Parameter {
            // The random numbers that spread the delays have 31 bits.
            range: (0, 2_000_000_000),
            ..from_zero(
                "spread_ns",
                "by how much an answer of the backend may take longer, evenly spread",
                [&[100_000], &[1_000_000], &[1_000_000]],
                0,
            )
        },
        from_zero(
            "slow_ns",
            "how long the backend takes on the slow route, which is each 200th request",
            [&[30_000_000], &[50_000_000], &[50_000_000]],
            LONG,
        ),
        count(
            "timeout_ns",
            "how long the service waits for its backend",
            [&[5_000_000_000], &[1_000_000_000], &[1_000_000_000]],
            LONG,
        ),
    ],
    operation: "request",
    metrics: &[MetricKind::Latency],
    figures: &[
        "rate_per_s",
        "rate_gap_ratio",
        "shed_count",
        "errors_count",
        "lost_count",
        "shutdown_ns",
        "request_cpu_ns",
        "threads_count",
        "memory_bytes",
        "idle_connection_bytes",
        "idle_memory_bytes",
        "recovery_ns",
        "beyond_shed_ratio",
        "beyond_failed_ratio",
        "at_25_ns_p50",
        "at_25_ns_p99",
        "at_25_ns_p999",
        "at_75_ns_p50",
        "at_75_ns_p99",
        "at_75_ns_p999",
        "at_100_ns_p50",
        "at_100_ns_p99",
        "at_100_ns_p999",
        "at_150_ns_p50",
        "at_150_ns_p99",
        "at_150_ns_p999",
        "load_idle_count",
        "load_asked_count",
        "load_headroom_ratio",
        "load_limit_per_s",
        "load_busy_ratio",
    ],
    includes: "Parsing and writing HTTP and JSON, a hash that authenticates, one backend call over TCP from a bounded pool, or three at once, a limit of requests at the same time. The rate is the highest at which, in most of its tries, 99 of 100 requests were answered within the limit and none failed; a refused one is not answered; latencies are those at half of it, on a fixed schedule, without the slow route. The service gets two fifths of the run's CPUs, or one of two; the load generator and the backend have the others.",
    leaves_out: "A network card, TLS, and a database's own work: the suite's backend waits for as long as it is told. Redis and PostgreSQL take the time that they need, and ignore the delays. A backend that stalls or is gone is answered for by 504 or 502, which count as failed: where no rate holds, the sample has no figures but the reason, and the run goes on. On two CPUs the load generator shares one with the backend. The CPU time of an operation is the mean over all requests, those beyond the highest rate among them; the figure for half of the highest rate has no others. A run that names no lanes and no preset has a small form: four lanes, few processes, and a search of about a second, so its highest rates are rough; the whole is measured by: threadbare run --preset service.",
    calibrated: false,
    operations: |_| 0,
    checksum: |_| 1,
    ..PLAIN
}];
