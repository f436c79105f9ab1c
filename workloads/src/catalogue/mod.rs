//! The catalogue: every workload with its question, shape, parameters and right answer.
//!
//! A workload has a shape; one of the shape [`Shape::Chunks`] also has a kernel. To add a kernel,
//! write a file in [`crate::kernels`] and add its name to the list there. To add a workload of
//! another shape, add an entry to the list of its group here.

mod answer;
pub(crate) mod cpu;
mod io;
mod memory;
mod own;
mod service;
mod share;
mod spawn;
mod switch;

pub use answer::WrongAnswer;
pub use cpu::{CHUNKS, WORKERS, all_chunks};
pub use own::{COMPUTES, SERVES, has_own, register};

use crate::handler::Handler;
use crate::kernels::Kernel;
use crate::protocol::Parameters;

/// A workload, with all facts about it.
#[derive(Debug)]
pub struct Workload {
    /// The stable id, such as `spawn.batch`: never renamed.
    pub id: &'static str,
    /// A short name for headings.
    pub title: &'static str,
    /// The question that it answers, in one sentence that ends in a question mark.
    pub question: &'static str,
    /// A task's work in one operation, as a phrase: `starting and joining one task`.
    pub activity: &'static str,
    /// The kind of cost, such as `scheduler hop`; may be empty. The report compares no workloads of
    /// different kinds.
    pub level: &'static str,
    /// Its place on the page's first screen, if it has one.
    pub first_screen: Option<FirstScreen>,
    /// The uses of its figures in the report, such as `waiting_memory`.
    pub roles: &'static [&'static str],
    /// The ids of its most important quantities; if empty, the first quantity.
    pub telling: &'static [&'static str],
    /// Another workload, and the parameters at which this one measures the same.
    pub same_as: Option<(&'static str, &'static [(&'static str, u64)])>,
    /// The group of the Criterion benchmarks that measure the same operation.
    pub criterion: Option<&'static str>,
    /// The presets of which it is part.
    pub presets: Presets,
    /// How its tasks are connected.
    pub shape: Shape,
    /// Its parameters, each with the values of every size.
    pub parameters: &'static [Parameter],
    /// The name of one operation, such as `task` or `round trip`.
    pub operation: &'static str,
    /// The quantities that are measured, the most important first.
    pub metrics: &'static [MetricKind],
    /// The names that the `metrics` of a sample (`PROTOCOL.md`) may have.
    pub figures: &'static [&'static str],
    /// The costs that the figure includes.
    pub includes: &'static str,
    /// The costs that it leaves out, or how it may mislead.
    pub leaves_out: &'static str,
    /// Iterations of one sample at sizes tiny, quick and full.
    pub iterations: [u64; 3],
    /// Whether the study may change the number of iterations; false if one iteration is the whole
    /// experiment.
    pub calibrated: bool,
    /// Operations of one iteration; 0 if the number is known only after the sample.
    pub operations: fn(&Parameters) -> u64,
    /// The right checksum of one iteration. For `cpu.*` it runs the kernel.
    pub checksum: fn(&Parameters) -> u64,
}

/// Defaults for fields of a workload.
pub const PLAIN: Workload = Workload {
    id: "",
    title: "",
    question: "",
    activity: "",
    level: "",
    first_screen: None,
    roles: &[],
    telling: &[],
    same_as: None,
    criterion: None,
    presets: Presets::NONE,
    shape: Shape::ForkJoin,
    parameters: &[],
    operation: "",
    metrics: &[MetricKind::TimePerOperation],
    figures: &[],
    includes: "",
    leaves_out: "",
    iterations: [1, 1, 1],
    calibrated: true,
    operations: |_| 1,
    checksum: |_| 1,
};

/// A workload's place on the page's first screen.
#[derive(Clone, Copy, Debug)]
pub struct FirstScreen {
    /// The question's name in the header.
    pub question: &'static str,
    /// The workload with the lowest rank answers the question.
    pub rank: u32,
    /// The quantity that answers it; `None`: the first.
    pub quantity: Option<&'static str>,
    /// The parameters of the case that answers it; those left out may have any value.
    pub parameters: &'static [(&'static str, u64)],
}

impl FirstScreen {
    /// Answers the question by the first quantity, on any case.
    pub const fn of(question: &'static str, rank: u32) -> Self {
        Self {
            question,
            rank,
            quantity: None,
            parameters: &[],
        }
    }
}

/// Several workloads of one kind.
#[derive(Debug)]
pub struct Group {
    /// The first word of its workloads' ids.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// A sentence or two below the heading.
    pub lead: &'static str,
    lists: &'static [&'static [Workload]],
}

/// Values that differ from the catalogue's: a parameter, its values in a quick run, and those in
/// other runs.
pub type Values = &'static [(&'static str, &'static [u64], &'static [u64])];

/// The presets of which a workload is part, with its values there.
#[derive(Clone, Copy, Debug)]
pub struct Presets {
    /// Part of a quick run that names no workload.
    pub quick: bool,
    /// Part of what `threadbare doctor` measures.
    pub doctor: bool,
    /// Part of the preset `peers`, which compares our runtime with others.
    pub peers: Option<Values>,
    /// Part of the preset `growth`: cost over the number of tasks.
    pub growth: Option<Values>,
    /// Part of the preset `service`.
    pub service: Option<Values>,
    /// The lanes of a run that names neither lanes nor a preset; empty for all.
    pub lanes: &'static [&'static str],
}

impl Presets {
    /// Part of no preset.
    pub const NONE: Self = Self {
        quick: false,
        doctor: false,
        peers: None,
        growth: None,
        service: None,
        lanes: &[],
    };
}

/// One parameter of a workload.
#[derive(Debug)]
pub struct Parameter {
    /// The name, its unit last (`tasks_count`, `sleep_ns`).
    pub name: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
    /// Values at sizes tiny, quick and full. An empty list excludes the workload at that size.
    pub values: [&'static [u64]; 3],
    /// The lowest and the highest value that a lane accepts.
    pub range: (u64, u64),
    /// The divisor of the values on lanes whose tasks are threads or processes of the host.
    pub os_task_divisor: u64,
}

impl Parameter {
    /// Whether its values are codes, described as `0: an atomic, 1: a mutex`.
    #[must_use]
    pub fn is_code(&self) -> bool {
        self.meaning
            .split_once(": ")
            .is_some_and(|(code, _)| code.parse::<u64>().is_ok())
    }
}

/// How large the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// For tests: milliseconds a sample.
    Tiny,
    /// For a first look.
    Quick,
    /// For figures to publish.
    Full,
}

/// The kind of figure that a workload gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// `elapsed_ns / operations_count`.
    TimePerOperation,
    /// Bytes for each task, by regression over `tasks_count`.
    MemoryLedger,
    /// Operations per second, from `operations_count` and `elapsed_ns`.
    Throughput,
    /// A histogram of latencies.
    Latency,
    /// Speed-up over `workers_count`.
    Scaling,
    /// Efficiency over `workers_count`, if the work grows with the workers.
    Efficiency,
}

/// How the tasks of a workload are connected.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Start tasks with no work of their own and join them.
    ForkJoin,
    /// Start one task and record when it first runs.
    FirstInstruction,
    /// A tree of tasks that adds up its leaves.
    Skynet,
    /// Fork from a parent with much resident memory.
    ForkResident,
    /// Tasks that yield to each other.
    Yield,
    /// Two tasks and a token, over the lane's own channel.
    PingPong,
    /// Two tasks and a token, over channels of a given capacity, on a given
    /// number of CPUs.
    RoundTrip,
    /// Two threads or processes and a token, over a futex.
    Futex,
    /// Two tasks and a token, over kernel pipes.
    PipePingPong,
    /// Tasks in a ring and a token.
    Ring,
    /// A ring whose tasks each read memory of their own.
    WorkingSet,
    /// Tasks that never yield the CPU beside one that sleeps.
    Hog,
    /// Wake a task that has been idle for a while.
    IdleWake,
    /// Tasks that wait, and their memory.
    Parked,
    /// Tasks that wait deep in their stacks.
    Deep,
    /// Tasks that wait after they have been deep in their stacks.
    Shrink,
    /// Tasks that add to one counter.
    Counter,
    /// A chain of stages.
    Pipeline,
    /// A chain of filters that grows.
    Sieve,
    /// Many senders, one receiver.
    FanIn,
    /// Two senders, and one receiver that waits for both.
    Select,
    /// Tasks that take jobs from a channel.
    WorkerPool,
    /// Many senders and receivers on one small buffer.
    BoundedBuffer,
    /// Tasks that meet in pairs at one place (the benchmark chameneos-redux).
    Chameneos,
    /// Tasks that each send requests to others at random.
    Big,
    /// Tasks that each need two locks.
    Philosophers,
    /// Groups in which each task sends to all others.
    Messaging,
    /// A chain of tasks over kernel pipes.
    Brigade,
    /// Independent chunks of a kernel, at most `workers_count` of them at once.
    Chunks(Kernel),
    /// Tasks that sleep.
    Sleepers,
    /// A TCP server under load.
    TcpEcho,
    /// Requests that compute and then wait for several timers at once.
    Fanout,
    /// Tasks that read files.
    FileRead,
    /// Tasks that each send a mail.
    Email,
    /// An HTTP service with a backend under load.
    Service,
    /// A TCP server under load that answers by a handler.
    Handler(Handler),
}

/// The groups, in the order of the report.
pub const GROUPS: [Group; 8] = [
    spawn::GROUP,
    switch::GROUP,
    memory::GROUP,
    share::GROUP,
    cpu::GROUP,
    io::GROUP,
    service::GROUP,
    own::GROUP,
];

/// The names of a sample's further figures in the report, by their names in `metrics`.
pub const FIGURES: [(&str, &str); 44] = [
    (
        "spawn_return_ns",
        "time until the call that starts it returns",
    ),
    ("first_instruction_ns", "time until its first instruction"),
    (
        "finish_ns",
        "time from its first instruction to the end of the join",
    ),
    ("fork_return_ns", "time until fork returns in the parent"),
    ("copy_on_write_ns", "time of the child's writes"),
    ("exit_wait_ns", "time of exit and wait"),
    ("worst_delay_ns", "largest delay of a tick"),
    ("missed_ticks_ratio", "share of ticks that were missed"),
    (
        "sum_alone_ns",
        "time of reading the memory alone, for each hop",
    ),
    ("wake_ns", "time from the send to the woken task"),
    ("stolen_ratio", "share of a queue that was stolen at a time"),
    ("over_ns", "time beyond the sleep"),
    ("load_headroom_ratio", "headroom of the load generator"),
    ("load_limit_per_s", "limit of the load generator"),
    (
        "load_busy_ratio",
        "share of the time in which the load generator was busy",
    ),
    ("capacity_per_s", "capacity of the server"),
    ("rate_per_s", "highest rate within the limit"),
    ("shed_count", "requests refused as too many"),
    ("errors_count", "requests that failed"),
    (
        "rate_gap_ratio",
        "the lowest rate that did not hold, over the highest that did",
    ),
    (
        "lost_count",
        "requests under way that the end of the service cut off",
    ),
    (
        "request_cpu_ns",
        "CPU time for each request at half of the highest rate",
    ),
    ("threads_count", "threads of the service"),
    (
        "memory_bytes",
        "memory of the service at half of the highest rate",
    ),
    ("idle_connection_bytes", "memory for each idle connection"),
    (
        "idle_memory_bytes",
        "memory of the service with all idle connections",
    ),
    (
        "load_idle_count",
        "idle connections that the load generator opened",
    ),
    (
        "recovery_ns",
        "time from the end of a surge of twice the highest rate until the last request that was late, refused or failed",
    ),
    (
        "beyond_shed_ratio",
        "share of the requests refused at 1.5 times the highest rate",
    ),
    (
        "beyond_failed_ratio",
        "share of the requests failed at 1.5 times the highest rate",
    ),
    ("at_25_ns_p50", "median latency at 25% of the highest rate"),
    (
        "at_25_ns_p99",
        "99th percentile of latency at 25% of the highest rate",
    ),
    (
        "at_25_ns_p999",
        "99.9th percentile of latency at 25% of the highest rate",
    ),
    ("at_75_ns_p50", "median latency at 75% of the highest rate"),
    (
        "at_75_ns_p99",
        "99th percentile of latency at 75% of the highest rate",
    ),
    (
        "at_75_ns_p999",
        "99.9th percentile of latency at 75% of the highest rate",
    ),
    (
        "at_100_ns_p50",
        "median latency at 100% of the highest rate",
    ),
    (
        "at_100_ns_p99",
        "99th percentile of latency at 100% of the highest rate",
    ),
    (
        "at_100_ns_p999",
        "99.9th percentile of latency at 100% of the highest rate",
    ),
    (
        "at_150_ns_p50",
        "median latency at 150% of the highest rate",
    ),
    (
        "at_150_ns_p99",
        "99th percentile of latency at 150% of the highest rate",
    ),
    (
        "at_150_ns_p999",
        "99.9th percentile of latency at 150% of the highest rate",
    ),
    ("shutdown_ns", "time from asking for the end to the end"),
    ("load_asked_count", "requests of the whole search"),
];

/// All workloads in the order of the report.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    let lists = GROUPS.iter().flat_map(|group| group.lists);
    lists.copied().flatten().chain(own::registered())
}

/// The workload of that id.
pub fn find(id: &str) -> Option<&'static Workload> {
    all().find(|workload| workload.id == id)
}

impl Workload {
    /// The id of its group.
    pub fn group(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }

    /// Every combination of the parameters' values at that size; the last parameter varies
    /// fastest. Empty if the size excludes the workload. A sweep over `workers_count` goes from 1
    /// to `cpus`.
    pub fn cases(&self, size: Size, cpus: usize) -> Vec<Parameters> {
        let mut cases = vec![Parameters::new()];
        for parameter in self.parameters {
            let values = parameter.values(size, cpus);
            cases = cases
                .iter()
                .flat_map(|case| {
                    values.iter().map(|&value| {
                        let mut case = case.clone();
                        case.insert(parameter.name.to_owned(), value);
                        case
                    })
                })
                .collect();
        }
        cases
    }

    /// The case to measure instead of `case` on a lane whose tasks are threads or processes, which
    /// take more memory.
    pub fn for_os_tasks(&self, mut case: Parameters) -> Parameters {
        for parameter in self.parameters {
            if let Some(value) = case.get_mut(parameter.name) {
                *value = (*value / parameter.os_task_divisor).max(parameter.range.0);
            }
        }
        case
    }

    /// Whether a sample has exactly one iteration, however short it is.
    pub fn is_one_experiment(&self) -> bool {
        ["memory", "service"].contains(&self.group())
    }

    /// Whether the work grows with the workers (weak scaling).
    pub fn grows(&self) -> bool {
        self.metrics.contains(&MetricKind::Efficiency)
    }

    /// Whether [`register`] added it.
    pub fn is_own(&self) -> bool {
        self.group() == own::GROUP.id
    }

    /// Iterations of one sample at that size, before any calibration.
    pub fn iterations(&self, size: Size) -> u64 {
        self.iterations[size as usize]
    }

    /// The right checksum of a sample.
    pub fn expected(&self, parameters: &Parameters, iterations: u64) -> u64 {
        (self.checksum)(parameters) * iterations
    }

    /// Whether it has a parameter of that name.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.parameters.iter().any(|known| known.name == name)
    }

    /// Checks that `parameters` has exactly this workload's parameters, each in its range.
    ///
    /// # Errors
    ///
    /// A sentence that names the problem.
    pub fn check(&self, parameters: &Parameters) -> Result<(), String> {
        for parameter in self.parameters {
            let (least, most) = parameter.range;
            match parameters.get(parameter.name) {
                None => {
                    return Err(format!(
                        "{} needs the parameter {}: {}",
                        self.id, parameter.name, parameter.meaning
                    ));
                }
                Some(value) if !(least..=most).contains(value) => {
                    return Err(format!(
                        "{} of {} is {value}; it must lie in {least} to {most}",
                        parameter.name, self.id
                    ));
                }
                Some(_) => {}
            }
        }
        match parameters.keys().find(|name| !self.has_parameter(name)) {
            Some(name) => Err(format!("{} has no parameter {name}", self.id)),
            None => Ok(()),
        }
    }
}

impl Parameter {
    fn values(&self, size: Size, cpus: usize) -> Vec<u64> {
        let values = self.values[size as usize];
        if self.name != "workers_count" || values != FROM_ONE_TO_CPUS {
            return values.to_vec();
        }
        // Every count up to 8, enough for a fit on small hosts; then 12, 16, 24, 32 and so on, and
        // last the number of CPUs.
        let mut counts: Vec<u64> = (1..=cpus.min(8) as u64).collect();
        let mut next = 12;
        while next < cpus as u64 {
            counts.push(next);
            next = if next.is_power_of_two() {
                next + next / 2
            } else {
                next / 3 * 4
            };
        }
        if cpus > 8 {
            counts.push(cpus as u64);
        }
        counts
    }
}

/// Stands for the sweep of `workers_count`, from 1 to the number of CPUs.
const FROM_ONE_TO_CPUS: &[u64] = &[u64::MAX];

/// The value of a parameter.
///
/// # Panics
///
/// If the set has no such parameter.
pub fn get(parameters: &Parameters, name: &str) -> u64 {
    *parameters
        .get(name)
        .unwrap_or_else(|| panic!("the parameters {parameters:?} have no {name}"))
}

const POWERS: &[u64] = &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const FEW_POWERS: &[u64] = &[1, 10, 100, 1_000, 10_000];

fn triangle(n: u64) -> u64 {
    n * (n + 1) / 2
}

/// A parameter of at least 1: its values at sizes tiny, quick and full, and the highest.
pub const fn count(
    name: &'static str,
    meaning: &'static str,
    values: [&'static [u64]; 3],
    most: u64,
) -> Parameter {
    Parameter {
        name,
        meaning,
        values,
        range: (1, most),
        os_task_divisor: 1,
    }
}

/// As [`count`], for a parameter that may be 0.
pub const fn from_zero(
    name: &'static str,
    meaning: &'static str,
    values: [&'static [u64]; 3],
    most: u64,
) -> Parameter {
    Parameter {
        range: (0, most),
        ..count(name, meaning, values, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorKind;

    #[test]
    fn ids_are_unique_and_named_after_their_group() {
        let mut seen = std::collections::BTreeSet::new();
        for workload in all() {
            assert!(seen.insert(workload.id), "{} is there twice", workload.id);
            let mut groups = GROUPS.iter();
            assert!(
                groups.any(|group| group.id == workload.group()),
                "{}",
                workload.id
            );
            assert!(workload.question.ends_with('?'), "{}", workload.id);
            for text in [
                workload.title,
                workload.activity,
                workload.operation,
                workload.includes,
                workload.leaves_out,
            ] {
                assert!(!text.is_empty(), "{} does not say all", workload.id);
            }
            assert!(!workload.metrics.is_empty(), "{}", workload.id);
        }
    }

    #[test]
    fn collatz_has_its_known_sum_on_every_lane_of_light_tasks_that_runs_chunks() {
        let collatz = find("cpu.collatz").expect("the catalogue has it");
        let mut lanes = 0;
        for entry in crate::lanes::ALL.iter().filter(|lane| !lane.kernel_tasks) {
            if (entry.refuses)(collatz).is_some() {
                continue;
            }
            for parameters in collatz.cases(Size::Tiny, 2) {
                let mut lane =
                    (entry.start)(2).unwrap_or_else(|error| panic!("{}: {error:?}", entry.name));
                let outcome = lane.run(&crate::lane::Order {
                    workload: collatz,
                    parameters: parameters.clone(),
                    iterations: 1,
                    cpus: 2,
                });
                let outcome = match outcome {
                    // A runtime with one thread cannot have two workers.
                    Err(failure) if failure.kind == ErrorKind::NotSupported => continue,
                    outcome => outcome.unwrap_or_else(|error| panic!("{}: {error:?}", entry.name)),
                };
                // The steps of 1 to 100: 3,142, counted by another program.
                assert_eq!(outcome.checksum, 3_142, "{}", entry.name);
                assert_eq!(collatz.expected(&parameters, 1), 3_142);
            }
            lanes += 1;
        }
        assert!(lanes >= 3, "{lanes}");
    }

    #[test]
    fn every_question_of_the_first_screen_has_workloads_of_distinct_ranks() {
        for question in ["start", "wait", "switch", "serve", "compute"] {
            let ranks = all()
                .filter_map(|workload| workload.first_screen)
                .filter(|place| place.question == question);
            let mut ranks: Vec<u32> = ranks.map(|place| place.rank).collect();
            ranks.sort_unstable();
            assert_eq!(
                ranks,
                (0..ranks.len() as u32).collect::<Vec<_>>(),
                "{question}"
            );
            assert!(!ranks.is_empty(), "{question}");
        }
    }

    #[test]
    fn every_case_of_every_size_is_valid_and_its_checksum_fits() {
        for workload in all() {
            for size in [Size::Tiny, Size::Quick, Size::Full] {
                for case in workload.cases(size, 4) {
                    workload.check(&case).unwrap();
                    let operations = (workload.operations)(&case) * workload.iterations(size);
                    assert!(operations < 1 << 53, "{} {case:?}", workload.id);
                    if size == Size::Tiny || !workload.id.starts_with("cpu.") {
                        let checksum = workload.expected(&case, workload.iterations(size));
                        assert!(
                            (1..1 << 53).contains(&checksum),
                            "{} {case:?}: {checksum}",
                            workload.id
                        );
                    }
                }
            }
            assert!(
                !workload.cases(Size::Tiny, 4).is_empty(),
                "{} has no tiny case",
                workload.id
            );
        }
    }

    #[test]
    fn workers_sweep_ends_at_all_cpus_without_repeats() {
        let workload = find("cpu.primes").unwrap();
        for cpus in [1, 2, 7, 8, 9, 12, 16, 96, 192] {
            let counts: Vec<u64> = workload
                .cases(Size::Full, cpus)
                .iter()
                .filter(|case| get(case, "skewed") == 0)
                .map(|case| get(case, "workers_count"))
                .collect();
            assert_eq!(counts.last(), Some(&(cpus as u64)));
            assert!(counts.is_sorted_by(|a, b| a < b), "{counts:?}");
        }
    }

    #[test]
    fn lanes_of_threads_and_processes_get_valid_cases_with_fewer_tasks() {
        for workload in all() {
            for size in [Size::Tiny, Size::Quick, Size::Full] {
                for case in workload.cases(size, 4) {
                    let fewer = workload.for_os_tasks(case.clone());
                    workload.check(&fewer).unwrap();
                    assert_eq!(fewer != case, workload.id == "memory.parked", "{fewer:?}");
                }
            }
        }
    }

    #[test]
    fn missing_unknown_and_out_of_range_parameters_are_named() {
        let workload = find("spawn.batch").unwrap();
        let message = workload.check(&Parameters::new()).unwrap_err();
        assert!(message.contains("tasks_count"), "{message}");
        let message = workload
            .check(&Parameters::from([("tasks_count".to_owned(), 0)]))
            .unwrap_err();
        assert!(message.contains("must lie in"), "{message}");
        let parameters =
            Parameters::from([("tasks_count".to_owned(), 1), ("colour".to_owned(), 1)]);
        assert!(
            workload
                .check(&parameters)
                .unwrap_err()
                .contains("no parameter colour")
        );
    }

    #[test]
    fn protocol_page_describes_every_workload_and_parameter() {
        let page = include_str!("../../PROTOCOL.md");
        for workload in all().filter(|workload| workload.id != "cpu.collatz") {
            assert!(
                page.contains(&format!("**`{}`**", workload.id)),
                "PROTOCOL.md lacks {}",
                workload.id
            );
            for parameter in workload.parameters {
                assert!(
                    page.contains(&format!("`{}`", parameter.name)),
                    "PROTOCOL.md lacks {} of {}",
                    parameter.name,
                    workload.id
                );
            }
        }
    }
}
