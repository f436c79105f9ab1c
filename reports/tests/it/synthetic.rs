//! A synthetic run that resembles a real one: lanes, spreads and failures as on a small virtual
//! machine.

use std::collections::BTreeMap;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use reports::Run;
use reports::schema::{
    Better, Block, Cache, Depth, Design, End, EnvironmentSample, Failure, FailureKind,
    FirstQuestion, FirstScreen, Group, Header, Host, Lane, Latency, MachineKeyInputs, Measure,
    Memory, Metric, Parameters, Phase, Role, SCHEMA_VERSION, Sample, Taint, Workload,
};

#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) seed: u64,
    pub(crate) host: &'static str,
    pub(crate) cpu: &'static str,
    /// Factor on the times of all lanes, as of another machine.
    pub(crate) scale: f64,
    pub(crate) slower: Option<(&'static str, f64)>,
    /// Standard deviation of the change of a cell from run to run, in addition to the spread of its
    /// processes.
    pub(crate) drift: f64,
    pub(crate) depth: Depth,
    pub(crate) processes: u64,
}

impl Default for Wish {
    fn default() -> Wish {
        Wish {
            seed: 7,
            host: "vm-2",
            cpu: "AMD EPYC 9R45",
            scale: 1.0,
            slower: None,
            drift: 0.0,
            depth: Depth::Standard,
            processes: 5,
        }
    }
}

struct Maker {
    wish: Wish,
    rng: Xoshiro256PlusPlus,
    run: Run,
    order: u64,
}

const LANES: [(&str, &str, &str, &str); 6] = [
    (
        "threadbare",
        "threadbare goroutine",
        "rust 1.95.0",
        "bench-runtime 0.1.0",
    ),
    ("thread", "thread", "rust 1.95.0", "std"),
    ("process", "process", "rust 1.95.0", "fork through nix"),
    ("tokio", "tokio task", "rust 1.95.0", "tokio 1.54.1"),
    ("rayon", "rayon job", "rust 1.95.0", "rayon 1.12.0"),
    ("go", "Go goroutine", "go 1.27.3", "go 1.27.3"),
];

/// Time of an operation for each lane of [`LANES`]; zero means not supported.
type Costs = [f64; 6];

impl Maker {
    fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (self.rng.random(), self.rng.random());
        (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn group(
        &mut self,
        workload: &str,
        lane: &str,
        parameters: &Parameters,
        process: u64,
        control: bool,
        mut sample: impl FnMut(&mut Maker) -> Sample,
    ) {
        let samples = (0..6).map(|_| sample(self)).collect();
        self.run.groups.push(Group {
            workload: workload.into(),
            lane: lane.into(),
            parameters: parameters.clone(),
            iterations: 1,
            process_index: process,
            block_index: process,
            order_index: self.order,
            control,
            at_ns: self.order * 40_000_000,
            samples,
            ..Group::default()
        });
        self.order += 1;
    }

    fn timed(&mut self, workload: &str, parameters: &[(&str, u64)], operations: u64, costs: Costs) {
        let parameters: Parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).into(), *value))
            .collect();
        let costs = match self.wish.drift {
            0.0 => costs,
            drift => costs.map(|cost| cost * (drift * self.normal()).exp()),
        };
        for process in 0..self.wish.processes {
            for (index, (lane, ..)) in LANES.iter().enumerate() {
                if costs[index] == 0.0 {
                    continue;
                }
                for control in [false, true] {
                    if control && *lane != "thread" {
                        continue;
                    }
                    let slower = match self.wish.slower {
                        Some((slow, factor)) if slow == *lane => factor,
                        _ => 1.0,
                    };
                    let drift = 1.0 + 0.008 * self.normal();
                    let base = costs[index] * self.wish.scale * slower * drift;
                    self.group(workload, lane, &parameters, process, control, |maker| {
                        let hit = if maker.rng.random_range(0..60) == 0 {
                            1.35
                        } else {
                            1.0
                        };
                        let elapsed =
                            base * hit * (1.0 + 0.012 * maker.normal().abs()) * operations as f64;
                        Sample {
                            elapsed_ns: elapsed as u64,
                            operations_count: operations,
                            cpu_ns: (elapsed * 1.1) as u64,
                            voluntary_switches_count: if index == 1 { operations * 2 } else { 3 },
                            involuntary_switches_count: 1,
                            ..Sample::default()
                        }
                    });
                }
            }
        }
    }

    fn memory(&mut self) {
        // Bytes of a task on each lane: user pages, kernel stack, slab, page tables, per-CPU area,
        // and bytes that only the host's account contains.
        let bytes: [[f64; 6]; 6] = [
            [2_560.0, 0.0, 30.0, 21.0, 0.0, 60.0],
            [9_756.0, 16_384.0, 7_900.0, 4_100.0, 12.0, 90.0],
            [28_700.0, 16_384.0, 21_300.0, 49_152.0, 60.0, 1_900.0],
            [436.0, 0.0, 2.0, 3.0, 0.0, 12.0],
            [0.0; 6],
            [2_690.0, 0.0, 22.0, 18.0, 0.0, 45.0],
        ];
        for tasks in [200_u64, 400, 600, 800, 1000] {
            for process in 0..self.wish.processes {
                for (index, (lane, ..)) in LANES.iter().enumerate() {
                    let row = bytes[index];
                    if row[0] == 0.0 {
                        continue;
                    }
                    let parameters = Parameters::from([("tasks_count".into(), tasks)]);
                    self.group(
                        "memory.parked",
                        lane,
                        &parameters,
                        process,
                        false,
                        |maker| {
                            let mut grown = |each: f64| {
                                (each * tasks as f64 * (1.0 + 0.002 * maker.normal())) as i64
                            };
                            let parts = row.map(&mut grown);
                            Sample {
                                elapsed_ns: 1_000 * tasks,
                                operations_count: tasks,
                                memory: Some(Memory {
                                    tasks_count: tasks,
                                    available_bytes: parts.iter().sum::<i64>() + 350_000,
                                    group_bytes: None,
                                    anonymous_bytes: parts[0] + 300_000,
                                    kernel_stack_bytes: parts[1],
                                    slab_bytes: parts[2],
                                    page_tables_bytes: parts[3],
                                    percpu_bytes: parts[4],
                                    virtual_bytes: 2_101_248 * tasks as i64,
                                }),
                                ..Sample::default()
                            }
                        },
                    );
                }
            }
        }
    }

    fn echo(&mut self) {
        let base: Costs = [190_000.0, 410_000.0, 880_000.0, 205_000.0, 0.0, 260_000.0];
        for offered in [0_u64, 5_000, 20_000, 40_000, 80_000] {
            let parameters = Parameters::from([
                ("connections_count".into(), 64),
                ("offered_per_s".into(), offered),
            ]);
            for process in 0..self.wish.processes {
                for (index, (lane, ..)) in LANES.iter().enumerate() {
                    if base[index] == 0.0 {
                        continue;
                    }
                    let capacity = 1.9e10 / base[index];
                    let busy = if offered == 0 {
                        0.5
                    } else {
                        offered as f64 / capacity
                    };
                    let queue = if busy < 0.98 {
                        1.0 / (1.0 - busy)
                    } else {
                        60.0 * busy
                    };
                    let median = base[index] * 0.4 * queue * (1.0 + 0.02 * self.normal());
                    self.group("io.tcp_echo", lane, &parameters, process, false, |maker| {
                        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
                        for _ in 0..400 {
                            let latency = median * (0.45 * maker.normal()).exp();
                            let step = 10f64.powf(latency.log10().floor() - 1.0);
                            *buckets
                                .entry(((latency / step).ceil() * step) as u64)
                                .or_default() += 50;
                        }
                        let achieved = if offered == 0 {
                            capacity
                        } else {
                            capacity.min(offered as f64)
                        };
                        Sample {
                            elapsed_ns: (20_000.0 * 1e9 / achieved) as u64,
                            operations_count: 20_000,
                            cpu_ns: 900_000_000,
                            latency: Some(Latency {
                                corrected: offered > 0,
                                offered_per_s: (offered > 0).then_some(offered as f64),
                                achieved_per_s: achieved,
                                buckets: buckets.into_iter().collect(),
                            }),
                            metrics: BTreeMap::from([(
                                "load_busy_ratio".into(),
                                busy.min(1.0) * 0.6,
                            )]),
                            ..Sample::default()
                        }
                    });
                }
            }
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a table of texts, one call a line of it"
)]
fn workload(
    id: &str,
    title: &str,
    question: &str,
    operation: &str,
    activity: &str,
    measures: &[Measure],
    axis: Option<&str>,
    level: &str,
) -> Workload {
    Workload {
        id: id.into(),
        title: title.into(),
        question: question.into(),
        operation: operation.into(),
        activity: activity.into(),
        measures: measures.to_vec(),
        axis: axis.map(Into::into),
        level: level.into(),
        includes: "Everything between the call and the result of the join.".into(),
        leaves_out: "The tasks' own work: there is none.".into(),
        ..Workload::default()
    }
}

fn header(wish: &Wish) -> Header {
    let time = &[Measure::Time];
    let mut workloads = vec![
        workload(
            "spawn.one",
            "Start one task and wait for it",
            "What does it cost to start one task and wait for its result?",
            "task",
            "starting one task and waiting for it",
            time,
            None,
            "",
        ),
        workload(
            "spawn.batch",
            "Start many tasks, then wait for all",
            "What does one of many tasks cost that are started together?",
            "task",
            "starting one of many tasks",
            time,
            Some("tasks_count"),
            "",
        ),
        workload(
            "spawn.fork_rss",
            "Fork against the parent's memory",
            "How does the cost of a new process follow the memory that its parent holds?",
            "process",
            "forking a process",
            time,
            Some("resident_bytes"),
            "",
        ),
        workload(
            "switch.yield",
            "Yield to the others",
            "What does it cost when a task gives the CPU to another that is ready to run?",
            "yield",
            "yielding to another task",
            time,
            None,
            "scheduler hop",
        ),
        workload(
            "switch.pingpong",
            "Ping-pong over the lane's own channel",
            "What does a round trip between two tasks cost?",
            "round trip",
            "a round trip between two tasks",
            time,
            None,
            "scheduler hop",
        ),
        workload(
            "memory.parked",
            "A task that waits",
            "What does a waiting task cost in memory, the kernel's share included?",
            "task",
            "keeping a waiting task",
            &[Measure::Memory, Measure::Time],
            Some("tasks_count"),
            "",
        ),
        workload(
            "share.counter",
            "One counter, three ways",
            "What does it cost to share memory by communicating, against a lock, against an atomic?",
            "addition",
            "adding to a shared counter",
            time,
            None,
            "",
        ),
        workload(
            "cpu.primes",
            "Counting primes",
            "How does a loop of whole-number arithmetic scale over the cores, in even and in uneven parts?",
            "run",
            "counting primes",
            &[Measure::Scaling, Measure::Time],
            Some("workers_count"),
            "",
        ),
        workload(
            "io.sleepers",
            "Tasks that sleep",
            "How well does a lane hold many tasks that wait for the clock?",
            "task",
            "letting a task sleep",
            time,
            Some("tasks_count"),
            "",
        ),
        workload(
            "io.tcp_echo",
            "TCP echo server",
            "How many requests does an echo server answer, and how long do they wait?",
            "request",
            "answering an echo request",
            &[Measure::Latency, Measure::Time],
            Some("offered_per_s"),
            "kernel I/O hop",
        ),
    ];
    workloads[9].metrics = vec![Metric {
        name: "load_busy_ratio".into(),
        title: "how busy the load generator was".into(),
        better: Better::Lower,
    }];
    for workload in &mut workloads {
        let (place, roles) = facts(&workload.id);
        workload.first_screen = place.map(|(question, rank)| FirstScreen {
            question,
            rank,
            quantity: None,
            parameters: Parameters::new(),
        });
        workload.roles = roles.to_vec();
    }
    Header {
        schema_version: SCHEMA_VERSION,
        run_id: format!("synthetic-{}", wish.seed),
        started: "2026-11-21T05:00:00+00:00".into(),
        threadbare_version: "0.1.0".into(),
        seed: wish.seed,
        design: Design {
            depth: wish.depth,
            command: ["threadbare", "run", "--out", "results/a b", "--seed", "7"]
                .map(Into::into)
                .to_vec(),
            processes_count: wish.processes,
            blocks_count: wish.processes,
            samples_count: 6,
            cpus: vec![0, 1],
            reference_lane: "thread".into(),
            threshold_ratio: 0.02,
            ..Design::default()
        },
        host: Host {
            name: wish.host.into(),
            machine: MachineKeyInputs {
                architecture: "x86_64".into(),
                cpu_model: wish.cpu.into(),
                cpu_stepping: "26/2/1".into(),
                sockets_count: 1,
                cores_count: 2,
                threads_count: 2,
                nodes_count: 1,
                caches: vec![
                    Cache {
                        level: 1,
                        kind: "data".into(),
                        size_bytes: 49_152,
                        shared_by_count: 1,
                    },
                    Cache {
                        level: 2,
                        kind: "unified".into(),
                        size_bytes: 1 << 20,
                        shared_by_count: 1,
                    },
                    Cache {
                        level: 3,
                        kind: "unified".into(),
                        size_bytes: 32 << 20,
                        shared_by_count: 2,
                    },
                ],
                hypervisor: "kvm".into(),
                ..MachineKeyInputs::default()
            },
            memory_bytes: 8 << 30,
            operating_system: "Linux 6.18.0".into(),
            facts: BTreeMap::from([
                ("vm.max_map_count".into(), 65_530.into()),
                ("kernel.pid_max".into(), 4_194_304.into()),
                ("pids.max".into(), 30_000.into()),
                ("mitigations".into(), "spectre_v2: IBRS".into()),
            ]),
            ..Host::default()
        },
        environment: BTreeMap::from([
            ("rustc".into(), "1.95.0 (59807616e 2026-04-16)".into()),
            ("rustflags".into(), "".into()),
            ("git_commit".into(), "f00dfeed".into()),
            ("git_dirty".into(), false.into()),
            ("governor".into(), "performance".into()),
            ("clock_source".into(), "tsc".into()),
            ("transparent_hugepages".into(), "madvise".into()),
            ("libc".into(), "glibc 2.36".into()),
        ]),
        lanes: LANES
            .iter()
            .map(|(name, noun, language, runtime)| Lane {
                name: (*name).into(),
                noun: (*noun).into(),
                language: (*language).into(),
                runtime: (*runtime).into(),
                cpus_count: 2,
                workloads: workloads
                    .iter()
                    .map(|workload| {
                        let cannot = *name == "rayon"
                            && [
                                "switch.pingpong",
                                "io.sleepers",
                                "io.tcp_echo",
                                "memory.parked",
                            ]
                            .contains(&workload.id.as_str());
                        let reason = "a rayon job cannot wait without holding its worker";
                        (workload.id.clone(), cannot.then(|| reason.into()))
                    })
                    .collect(),
                ..Lane::default()
            })
            .collect(),
        workloads,
        ..Header::default()
    }
}

type Place = Option<(FirstQuestion, u32)>;

/// A workload's place and roles, as in the catalogue.
fn facts(id: &str) -> (Place, &'static [Role]) {
    match id {
        "spawn.one" => (Some((FirstQuestion::Start, 0)), &[Role::Create]),
        "spawn.batch" => (Some((FirstQuestion::Start, 1)), &[Role::Create]),
        "switch.pingpong" => (
            Some((FirstQuestion::Switch, 0)),
            &[
                Role::Switch,
                Role::ProcessSwitch,
                Role::Communicate,
                Role::RoundTrip,
            ],
        ),
        "switch.yield" => (
            Some((FirstQuestion::Switch, 1)),
            &[Role::Switch, Role::ProcessSwitch],
        ),
        "memory.parked" => (Some((FirstQuestion::Wait, 0)), &[Role::WaitingMemory]),
        "io.tcp_echo" => (Some((FirstQuestion::Serve, 0)), &[]),
        "cpu.primes" => (Some((FirstQuestion::Compute, 0)), &[]),
        "io.sleepers" => (None, &[Role::Sleep]),
        "share.counter" => (None, &[Role::Counter]),
        _ => (None, &[]),
    }
}

pub(crate) fn run(wish: Wish) -> Run {
    let mut maker = Maker {
        rng: Xoshiro256PlusPlus::seed_from_u64(wish.seed),
        run: Run::new(header(&wish)),
        order: 0,
        wish,
    };
    maker.timed(
        "spawn.one",
        &[],
        1_000,
        [302.0, 25_900.0, 101_122.0, 232.0, 71.0, 314.0],
    );
    for tasks in [100, 1_000, 10_000] {
        let growth_factor = 1.0 + (tasks as f64).log10() / 40.0;
        let costs =
            [158.0, 39_715.0, 105_663.0, 297.0, 152.0, 163.0].map(|cost| cost * growth_factor);
        maker.timed("spawn.batch", &[("tasks_count", tasks)], tasks, costs);
    }
    for mib in [0_u64, 64, 256, 1024] {
        let cost = 50_000.0 + 15_600.0 * mib as f64;
        let parameters = [("resident_bytes", mib << 20)];
        maker.timed(
            "spawn.fork_rss",
            &parameters,
            20,
            [0.0, 0.0, cost, 0.0, 0.0, 0.0],
        );
    }
    maker.timed(
        "switch.yield",
        &[("tasks_count", 2)],
        10_000,
        [24.0, 1_082.0, 1_136.0, 225.0, 0.0, 81.0],
    );
    maker.timed(
        "switch.yield",
        &[("tasks_count", 1_000)],
        10_000,
        [29.0, 1_397.0, 2_182.0, 48.0, 0.0, 78.0],
    );
    maker.timed(
        "switch.pingpong",
        &[],
        10_000,
        [118.0, 4_030.0, 4_073.0, 246.0, 0.0, 239.0],
    );
    for means_code in 0..3 {
        let costs = [
            [9.0, 31.0, 44.0, 11.0, 7.0, 12.0],
            [48.0, 52.0, 0.0, 61.0, 50.0, 55.0],
            [140.0, 3_900.0, 0.0, 250.0, 0.0, 210.0],
        ];
        maker.timed(
            "share.counter",
            &[("means", means_code)],
            100_000,
            costs[means_code as usize],
        );
    }
    maker.memory();
    for workers in 1..=8_u64 {
        let p = workers as f64;
        let law = |contention: f64| (1.0 + contention * (p - 1.0) + 0.002 * p * (p - 1.0)) / p;
        let costs = [0.02, 0.021, 0.05, 0.022, 0.018, 0.024].map(|c| 348_000_000.0 * law(c));
        maker.timed("cpu.primes", &[("workers_count", workers)], 1, costs);
    }
    for tasks in [1_000, 10_000, 100_000] {
        let t = tasks as f64;
        let late = [
            t * 300.0,
            t * 40_000.0,
            t * 110_000.0,
            t * 305.0,
            0.0,
            t * 3_100.0,
        ];
        let costs = late.map(|late| if late == 0.0 { 0.0 } else { (1e9 + late) / t });
        let parameters = [("tasks_count", tasks), ("sleep_ns", 1_000_000_000)];
        maker.timed("io.sleepers", &parameters, tasks, costs);
    }
    maker.echo();
    maker.run.groups.retain(|group| {
        let too_many = group.parameters.get("tasks_count") == Some(&100_000);
        !(group.workload == "io.sleepers"
            && too_many
            && ["thread", "process"].contains(&&*group.lane))
    });
    finish(maker.run)
}

fn finish(mut run: Run) -> Run {
    let limit = |lane: &str, message: &str| Failure {
        workload: "io.sleepers".into(),
        lane: lane.into(),
        parameters: Parameters::from([
            ("sleep_ns".into(), 1_000_000_000),
            ("tasks_count".into(), 100_000),
        ]),
        kind: FailureKind::Limit,
        message: message.into(),
        ..Failure::default()
    };
    run.failures.push(limit(
        "thread",
        "could not start thread 29,874: EAGAIN (pids.max is 30,000); raise pids.max",
    ));
    run.failures.push(limit(
        "process",
        "fork 29,870 failed: EAGAIN (pids.max is 30,000)",
    ));
    run.failures.push(Failure {
        workload: "switch.yield".into(),
        lane: "go".into(),
        process_index: 3,
        kind: FailureKind::Crashed,
        message: "killed by SIGSEGV".into(),
        ..Failure::default()
    });
    run.taints.push(Taint {
        kind: "steal".into(),
        message: "2.1% of the CPU time went to other machines on the same hardware; measure on a dedicated machine, or at another time".into(),
        value: Some(0.021),
        bound: Some(0.01),
        block_index: Some(3),
        ..Taint::default()
    });
    for (index, phase) in [Phase::Before, Phase::During, Phase::During, Phase::After]
        .into_iter()
        .enumerate()
    {
        run.environment.push(EnvironmentSample {
            phase,
            at_ns: index as u64 * 60_000_000_000,
            readings: BTreeMap::from([
                ("steal_ratio".into(), (0.002 * index as f64).into()),
                ("run_queue_count".into(), 1.into()),
                ("frequency_hz".into(), 3.7e9.into()),
            ]),
            ..EnvironmentSample::default()
        });
    }
    run.blocks.extend(
        (0..run.header.design.blocks_count).map(|block_index| Block {
            block_index,
            at_ns: 60_000_000_000 * (block_index + 1),
            ..Block::default()
        }),
    );
    run.end = Some(End {
        finished: "2026-11-21T05:08:12+00:00".into(),
        groups_count: run.groups.len() as u64,
        samples_count: run.samples_count() as u64,
        failures_count: run.failures.len() as u64,
        records_count: run.records_count(),
        elapsed_ns: 492_000_000_000,
        ..End::default()
    });
    run
}
