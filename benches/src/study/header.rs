//! The result file's header: all that is known before the first sample.

use std::collections::BTreeMap;

use reports::schema::{
    Better, Design, Header, Lane, Measure, Metric, SCHEMA_VERSION, Workload as Described,
};
use serde_json::json;
use workloads::catalogue::{MetricKind, Workload};
use workloads::protocol::Parameters;

use super::plan::Plan;
use super::precision::FEWEST_ROUNDS;
use super::probe::{Known, ProbedLane};
use super::setup::Setup;
use crate::environment;

/// The smallest effect that gets a verdict.
const THRESHOLD_RATIO: f64 = 0.05;

/// The name under which the plan is kept in the design.
pub(super) const PLAN: &str = "plan";

pub(super) fn header(setup: &Setup, lanes: &[ProbedLane], plan: &Plan) -> Header {
    let mut design = Design {
        depth: setup.depth,
        command: setup.command.clone(),
        processes_count: match plan.precision_ratio {
            Some(_) => FEWEST_ROUNDS.min(plan.processes_count()),
            None => plan.processes_count(),
        },
        blocks_count: plan.blocks.len() as u64,
        samples_count: plan.samples_count(),
        cpus: setup
            .cpus
            .numbers()
            .iter()
            .filter_map(|&cpu| u32::try_from(cpu).ok())
            .collect(),
        reference_lane: setup.reference_lane.clone(),
        threshold_ratio: THRESHOLD_RATIO,
        precision_ratio: plan.precision_ratio,
        shard: setup.shard,
        preset: setup.preset.map(|preset| preset.name().to_owned()),
        ..Design::default()
    };
    design.extra.insert(PLAN.to_owned(), json!(plan));
    Header {
        schema_version: SCHEMA_VERSION,
        run_id: setup.run_id.clone(),
        started: now(),
        threadbare_version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: setup.seed,
        design,
        host: environment::host(),
        environment: environment::software(),
        lanes: lanes.iter().map(describe_lane).collect(),
        workloads: setup
            .workloads
            .iter()
            .map(|workload| describe(workload, plan))
            .collect(),
        ..Header::default()
    }
}

/// Now, as RFC 3339 with the host's offset.
pub(super) fn now() -> String {
    let now = jiff::Zoned::now();
    now.timestamp()
        .display_with_offset(now.offset())
        .to_string()
}

fn describe_lane(probed: &ProbedLane) -> Lane {
    let lane = &probed.lane;
    let described = Lane {
        name: lane.name.clone(),
        noun: lane.noun.clone(),
        variant_of: lane.variant_of.clone(),
        remark: lane.remark.clone(),
        ..Lane::default()
    };
    match &probed.known {
        Known::Runs(_, hello) => Lane {
            language: hello.language.clone(),
            runtime: hello.runtime.clone(),
            cpus_count: hello.cpus_count,
            workloads: hello.workloads.clone(),
            ..described
        },
        Known::Absent(..) => described,
    }
}

fn describe(workload: &Workload, plan: &Plan) -> Described {
    let points: Vec<&Parameters> = plan
        .cells
        .iter()
        .filter(|cell| cell.workload == workload.id)
        .map(|cell| &cell.parameters)
        .collect();
    Described {
        id: workload.id.to_owned(),
        title: workload.title.to_owned(),
        question: workload.question.to_owned(),
        operation: workload.operation.to_owned(),
        activity: activity(workload),
        measures: workload.metrics.iter().map(measure).collect(),
        metrics: workload.figures.iter().map(|name| figure(name)).collect(),
        axis: axis(workload, &points),
        level: level(workload.id).to_owned(),
        parameters: workload
            .parameters
            .iter()
            .map(|one| (one.name.to_owned(), one.meaning.to_owned()))
            .collect(),
        includes: workload.includes.to_owned(),
        leaves_out: workload.leaves_out.to_owned(),
        ..Described::default()
    }
}

fn measure(kind: &MetricKind) -> Measure {
    match kind {
        MetricKind::TimePerOperation => Measure::Time,
        MetricKind::MemoryLedger => Measure::Memory,
        MetricKind::Latency => Measure::Latency,
        MetricKind::Scaling => Measure::Scaling,
        MetricKind::Efficiency => Measure::Efficiency,
    }
}

fn figure(name: &str) -> Metric {
    // The unit is the last word of the name: the title goes without it.
    let words: Vec<&str> = name.split('_').collect();
    let unit = ["ns", "bytes", "count", "ratio"].contains(words.last().unwrap_or(&""));
    let title = words[..words.len() - usize::from(unit && words.len() > 1)].join(" ");
    let better = if name.ends_with("_per_s") || name.contains("headroom") {
        Better::Higher
    } else {
        Better::Lower
    };
    Metric {
        name: name.to_owned(),
        title,
        better,
    }
}

/// The parameter with the most values among the points; `None` where nothing
/// varies.
fn axis(workload: &Workload, points: &[&Parameters]) -> Option<String> {
    let values_of = |name: &str| {
        let values = points.iter().filter_map(|point| point.get(name));
        values.collect::<std::collections::BTreeSet<_>>().len()
    };
    let counts: BTreeMap<&str, usize> = workload
        .parameters
        .iter()
        .map(|one| (one.name, values_of(one.name)))
        .collect();
    // A sweep of workers is a scaling curve, whatever else varies.
    let workers = counts.get("workers_count").filter(|&&count| count > 1);
    if workers.is_some() {
        return Some("workers_count".to_owned());
    }
    let (name, _) = counts
        .into_iter()
        .filter(|&(_, count)| count > 1)
        .max_by_key(|&(_, c)| c)?;
    Some(name.to_owned())
}

/// What a task does once an operation, as a phrase that can begin a sentence.
fn activity(workload: &Workload) -> String {
    let phrase = match workload.id {
        "spawn.one" => "starting and joining one task",
        "spawn.batch" => "starting and joining one of many tasks",
        "spawn.first_instruction" => "getting a new task to its first instruction",
        "spawn.skynet" => "growing and folding one leaf of a tree of tasks",
        "spawn.fork_rss" => "forking from a parent with much memory",
        "switch.yield" => "yielding to another task",
        "switch.pingpong" => "passing a token to another task and back",
        "switch.roundtrip" => "passing a token through a channel and back",
        "switch.futex" => "passing a token over a futex and back",
        "switch.pipe" => "passing a token through kernel pipes and back",
        "switch.ring" => "passing a token on around a ring",
        "switch.hog" => "running beside tasks that never let go of the CPU",
        "switch.working_set" => "switching between tasks that use their own memory",
        "switch.placement" => "passing a token between two CPUs and back",
        "switch.idle_wake" => "waking a task that has been idle",
        "memory.parked" => "keeping one task waiting",
        "memory.deep" => "keeping one task waiting deep in its stack",
        "memory.shrink" => "keeping one task waiting after it was deep",
        "memory.million" => "keeping one of a million tasks waiting",
        "io.sleepers" => "putting one of many tasks to sleep and waking it",
        "io.tcp_echo" => "answering one request over TCP",
        "io.tcp_burst" => "answering one of many requests that come at once",
        "io.email" => "sending one mail",
        "io.fanout" => "answering a request that waits for three others",
        "io.pipe_ring" => "passing a byte on around a ring of pipes",
        "io.file_read" => "reading one file",
        "share.counter" => "adding one to a shared counter",
        "share.pipeline" => "sending one message through a pipeline",
        "share.sieve" => "sieving one prime by a chain of tasks",
        "share.select" => "receiving from whichever of two channels is ready",
        "share.fan_in" => "sending one message to a receiver whom many send to",
        "share.worker_pool" => "handing one job to a pool of workers",
        "share.bounded_buffer" => "passing one message through a bounded buffer",
        "share.chameneos" => "meeting one other task",
        "share.big" => "asking another task at random",
        "share.philosophers" => "taking two forks and one meal",
        "share.messaging" => "sending one message among groups of tasks",
        "share.brigade" => "passing a byte on along a chain of tasks",
        "cpu.primes" | "cpu.primes_weak" => "counting primes on all workers",
        "cpu.matmul" => "multiplying matrices",
        "cpu.mandelbrot" => "drawing the Mandelbrot set",
        "cpu.nqueens" => "placing queens on a board",
        "cpu.sort" => "sorting",
        "cpu.hash" => "hashing",
        "cpu.json" | "cpu.json_weak" => "writing and reading JSON",
        "cpu.fib" => "computing Fibonacci numbers by recursion",
        _ => return format!("doing one {}", workload.operation),
    };
    phrase.to_owned()
}

/// Which of three questions a switch answers: they are never compared.
fn level(id: &str) -> &'static str {
    match id {
        "switch.yield" | "switch.ring" | "switch.pingpong" | "switch.roundtrip"
        | "switch.working_set" => "scheduler hop",
        "switch.pipe" | "switch.futex" | "switch.placement" | "share.brigade" | "io.pipe_ring" => {
            "kernel I/O hop"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workloads::catalogue::{Size, find};

    #[test]
    fn a_sweep_of_workers_is_the_axis_though_another_parameter_varies() {
        let primes = find("cpu.primes").unwrap();
        let points = primes.points(Size::Full, 4);
        let points: Vec<&Parameters> = points.iter().collect();
        assert_eq!(axis(primes, &points).as_deref(), Some("workers_count"));
    }

    #[test]
    fn a_workload_with_one_point_has_no_axis() {
        let batch = find("spawn.batch").unwrap();
        let points = batch.points(Size::Quick, 4);
        assert_eq!(axis(batch, &points.iter().collect::<Vec<_>>()), None);
    }

    #[test]
    fn a_figures_title_is_its_name_without_the_unit() {
        assert_eq!(figure("first_instruction_ns").title, "first instruction");
        assert_eq!(figure("load_busy_ratio").title, "load busy");
        assert_eq!(figure("replies_per_s").better, Better::Higher);
    }

    #[test]
    fn every_workload_has_a_phrase_of_its_own() {
        for workload in workloads::catalogue::all() {
            let phrase = activity(workload);
            assert!(
                !phrase.starts_with("doing one "),
                "{}: {phrase}",
                workload.id
            );
        }
    }

    #[test]
    fn the_time_of_a_run_has_an_offset() {
        let now = now();
        assert!(now.parse::<jiff::Timestamp>().is_ok(), "{now}");
    }
}
