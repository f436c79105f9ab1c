//! Finds how long a cell takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reports::schema::{Counters, Failure, FailureKind};
use workloads::catalogue::{Shape, Workload, WrongAnswer};
use workloads::protocol::{ErrorKind, Parameters, Sample};

use super::load::Load;
use super::probe::kind_of;
use super::setup::{Setup, is_memory};
use crate::lane_process::{Answer, Cause, LaneCommand, LaneFailure, LaneProcess, Limits, Stop};

/// A sample of this length ends the trial: the clock's resolution and the first page faults are a
/// small part of it.
const ENOUGH: Duration = Duration::from_millis(2);
/// The most samples of a trial. Each has more iterations than the one before.
const STEPS: u32 = 8;
const MOST_ITERATIONS: u64 = 1_000_000_000;
/// Numbers below this are exact in every language.
const EXACT: u64 = 1 << 53;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) process_ns: f64,
    /// A sample's time outside its timed section.
    pub(super) around_ns: f64,
    pub(super) iteration_ns: f64,
    /// The fewest and the most iterations of one sample.
    pub(super) iterations: (u64, u64),
}

#[derive(Debug)]
pub(super) enum Refusal {
    Lane(LaneFailure),
    /// The lane answered with an error, or with a sample that cannot be right.
    Answer(ErrorKind, String),
    Checksum(String),
    /// One sample takes longer than the budget allows for a trial.
    TooLong {
        limit: Duration,
        budget: Duration,
    },
}

impl Refusal {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Lane(failure) => kind_of(&failure.cause),
            Self::Answer(ErrorKind::NotSupported, _) => FailureKind::NotSupported,
            Self::Answer(ErrorKind::Limit, _) => FailureKind::Limit,
            Self::Answer(ErrorKind::BadRequest, _) => FailureKind::Protocol,
            Self::Answer(ErrorKind::Failed, _) => FailureKind::Failed,
            Self::Checksum(_) => FailureKind::WrongChecksum,
            Self::TooLong { .. } => FailureKind::TimedOut,
        }
    }

    pub(super) fn is_interruption(&self) -> bool {
        matches!(self, Self::Lane(failure) if failure.cause == Cause::Interrupted)
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Lane(failure) => failure.to_string(),
            Self::Answer(_, message) | Self::Checksum(message) => message.clone(),
            Self::TooLong { limit, budget } => format!(
                "one sample took over {} s; use --budget {}",
                limit.as_secs(),
                2 * budget.as_secs()
            ),
        }
    }

    pub(super) fn into_failure(
        self,
        workload: &str,
        lane: &str,
        parameters: &Parameters,
    ) -> Failure {
        Failure {
            workload: workload.to_owned(),
            lane: lane.to_owned(),
            parameters: parameters.clone(),
            kind: self.kind(),
            message: self.message(),
            ..Failure::default()
        }
    }
}

/// The right checksums. Each is computed once, because that takes long for `cpu.*`.
#[derive(Debug, Default)]
pub(super) struct Expected(BTreeMap<(&'static str, Parameters), u64>);

impl Expected {
    pub(super) fn of_one(&mut self, workload: &'static Workload, parameters: &Parameters) -> u64 {
        *self
            .0
            .entry((workload.id, parameters.clone()))
            .or_insert_with(|| workload.expected(parameters, 1))
    }
}

pub(super) fn checked_sample(
    process: &mut LaneProcess,
    workload: &'static Workload,
    parameters: &Parameters,
    iterations: u64,
    expected: &mut Expected,
) -> Result<Sample, Refusal> {
    match process
        .run(workload.id, parameters, iterations)
        .map_err(Refusal::Lane)?
    {
        Answer::Refused { kind, message } => Err(Refusal::Answer(kind, message)),
        Answer::Sample(sample) => {
            let one = expected.of_one(workload, parameters);
            match workload.check_answer(&sample, parameters, iterations, one) {
                Ok(()) => Ok(*sample),
                Err(wrong @ WrongAnswer::Checksum { .. }) => {
                    Err(Refusal::Checksum(wrong.to_string()))
                }
                Err(wrong) => Err(Refusal::Answer(ErrorKind::BadRequest, wrong.to_string())),
            }
        }
    }
}

pub(super) struct Trial {
    pub(super) cost: Cost,
    pub(super) counters: Option<Counters>,
}

/// Finds a cell's cost by a trial, which also counts events, or by [`guess`].
pub(super) fn calibrate(
    setup: &Setup,
    load: &Load,
    (lane, command): (&str, &LaneCommand),
    workload: &'static Workload,
    parameters: &Parameters,
    expected: &mut Expected,
    stop: &Stop,
) -> Result<Trial, Refusal> {
    if let Some(cost) = guess(setup, workload, lane, parameters) {
        return Ok(Trial {
            cost,
            counters: None,
        });
    }
    let most_iterations = most_iterations(workload, parameters, expected);
    let fixed = workload.iterations(setup.size).clamp(1, most_iterations);
    let began = Instant::now();
    let (command, cpus) = load.command(command, &setup.cpus, workload, parameters);
    let mut process =
        LaneProcess::start(&command, &cpus, trial_limits(setup), stop).map_err(Refusal::Lane)?;
    let start = began.elapsed();
    let mut iterations = if workload.calibrated { 1 } else { fixed };
    for step in 1.. {
        process.count();
        let began = Instant::now();
        let sample = checked_sample(&mut process, workload, parameters, iterations, expected)
            .map_err(|refusal| too_long(refusal, setup))?;
        let total_time = began.elapsed();
        let elapsed = Duration::from_nanos(sample.elapsed_ns).min(total_time);
        let done = !workload.calibrated || elapsed >= ENOUGH || iterations == most_iterations;
        if done || step == STEPS {
            let events = process.take_counts();
            process.quit().map_err(Refusal::Lane)?;
            let cost = Cost {
                process_ns: start.as_nanos() as f64,
                around_ns: (total_time - elapsed).as_nanos() as f64,
                iteration_ns: elapsed.as_nanos() as f64 / iterations as f64,
                iterations: if workload.calibrated {
                    (1, most_iterations)
                } else {
                    (fixed, fixed)
                },
            };
            let counters = (!events.is_empty()).then(|| Counters {
                workload: workload.id.to_owned(),
                lane: lane.to_owned(),
                parameters: parameters.clone(),
                operations_count: sample.operations_count,
                events,
                ..Counters::default()
            });
            return Ok(Trial { cost, counters });
        }
        // The first iterations are the slowest, so the next step aims above the target. The factor
        // is limited, so that a wrong estimate costs much less than 1 s.
        let factor = (2 * ENOUGH.as_nanos() / elapsed.as_nanos().max(1)).clamp(2, 32);
        iterations = (iterations * u64::try_from(factor).unwrap_or(2)).min(most_iterations);
    }
    unreachable!("the loop above returns at its last step")
}

/// The budget also limits a trial's sample: each process of the cell would repeat a longer sample,
/// and use up the run's time.
fn trial_limits(setup: &Setup) -> Limits {
    const MOST_SHARES: usize = 80;
    const LEAST: Duration = Duration::from_secs(5);
    // With up to 40 cells, one sample of each takes at most half of the budget, unless `LEAST` is
    // longer than a cell's share.
    let shares = (2 * setup.cells_count()).clamp(1, MOST_SHARES) as u32;
    Limits {
        sample: setup.limits.sample.min((setup.budget / shares).max(LEAST)),
        ..setup.limits
    }
}

/// A timeout means [`Refusal::TooLong`] if the budget has shortened the limit.
fn too_long(refusal: Refusal, setup: &Setup) -> Refusal {
    match refusal {
        Refusal::Lane(LaneFailure {
            cause: Cause::TimedOut(limit),
            ..
        }) if limit < setup.limits.sample => Refusal::TooLong {
            limit,
            budget: setup.budget,
        },
        other => other,
    }
}

/// The cost of a cell that gets no trial. For memory ledgers, loads on a fixed schedule and whole
/// services, a trial would take as long as a sample. `None` for other cells, which need one.
fn guess(
    setup: &Setup,
    workload: &'static Workload,
    lane: &str,
    parameters: &Parameters,
) -> Option<Cost> {
    const START_NS: f64 = 2e7;
    const READINGS_NS: f64 = 1.2e8;
    let parameter = |name: &str| parameters.get(name).copied().unwrap_or(0);
    let fixed = workload.iterations(setup.size).max(1);
    let cost = |around_ns, iteration_ns| Cost {
        process_ns: START_NS,
        around_ns,
        iteration_ns,
        iterations: (fixed, fixed),
    };
    if is_memory(workload) {
        let (task_ns, most_tasks) = parked_cost(lane);
        let tasks = parameter("tasks_count").min(most_tasks) as f64;
        let around_ns = READINGS_NS + parameter("wait_ns") as f64;
        return Some(cost(around_ns, task_ns * tasks));
    }
    if matches!(workload.shape, Shape::Service) {
        return Some(cost(
            workloads::load::service::around_ns(parameters) as f64,
            parameter("hold_ns") as f64,
        ));
    }
    let offered = parameter("offered_per_s");
    if offered > 0 {
        const CONNECT_NS: f64 = 1e5;
        let schedule_ns = parameter("requests_count") as f64 / offered as f64 * 1e9;
        let around_ns = CONNECT_NS * parameter("connections_count") as f64;
        return Some(cost(around_ns, schedule_ns));
    }
    None
}

/// The time to start and end one waiting task, and the most waiting tasks of a lane: the kernel
/// limits the number of threads and processes.
fn parked_cost(lane: &str) -> (f64, u64) {
    const KERNEL_TASKS: u64 = 32_768;
    match lane {
        // This arm is first, because `threadbare` contains `thread` too.
        _ if lane.starts_with("threadbare") => (9e3, u64::MAX),
        _ if lane.contains("process") || lane.contains("fork") => (2e5, KERNEL_TASKS),
        _ if lane.contains("thread") => (6e4, KERNEL_TASKS),
        _ => (9e3, u64::MAX),
    }
}

fn most_iterations(
    workload: &'static Workload,
    parameters: &Parameters,
    expected: &mut Expected,
) -> u64 {
    let operations = (workload.operations)(parameters).max(1);
    let checksum = expected.of_one(workload, parameters).max(1);
    ((EXACT - 1) / operations.max(checksum)).clamp(1, MOST_ITERATIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpus::Cpus;
    use crate::study::{Depth, StudyLane};
    use workloads::catalogue;

    fn setup_of(lanes: usize) -> Setup {
        let lane = StudyLane {
            name: "a".into(),
            noun: "a".into(),
            variant_of: None,
            remark: String::new(),
            kernel_tasks: false,
            command: Ok(LaneCommand::default()),
        };
        let one = catalogue::find("spawn.one").unwrap();
        let (lanes, cpus) = (vec![lane; lanes], Cpus::allowed().unwrap());
        Setup::new(Depth::Standard, lanes, vec![one], cpus, 1)
    }

    #[test]
    fn trial_that_the_budget_ended_says_so_and_one_that_the_limit_ended_does_not() {
        let mut setup = setup_of(100);
        setup.budget = Duration::from_secs(120);
        setup.limits.sample = Duration::from_secs(30);
        let timed_out = |limit| {
            Refusal::Lane(LaneFailure {
                cause: Cause::TimedOut(limit),
                asked: "for a sample",
                last_words: String::new(),
            })
        };
        let limit = trial_limits(&setup).sample;
        let over_budget = too_long(timed_out(limit), &setup);
        assert_eq!(over_budget.kind(), FailureKind::TimedOut);
        let message = over_budget.message();
        assert!(message.contains("over 5 s"), "{message}");
        assert!(message.contains("--budget 240"), "{message}");
        let other = too_long(timed_out(setup.limits.sample), &setup);
        assert!(matches!(other, Refusal::Lane(_)));
    }

    #[test]
    fn trial_may_take_its_cells_share_of_the_budget() {
        for (lanes, seconds) in [(1, 150), (2, 75), (100, 5)] {
            let mut setup = setup_of(lanes);
            assert_eq!(setup.cells_count(), lanes, "one case");
            setup.budget = Duration::from_secs(300);
            setup.limits.sample = Duration::from_secs(1_000);
            assert_eq!(trial_limits(&setup).sample.as_secs(), seconds);
        }
    }

    #[test]
    fn checksum_of_the_most_iterations_is_exact_in_every_language() {
        let mut expected = Expected::default();
        for workload in catalogue::all().filter(|workload| !workload.id.starts_with("cpu.")) {
            for case in workload.cases(catalogue::Size::Full, 4) {
                let most = most_iterations(workload, &case, &mut expected);
                let checksum = u128::from(expected.of_one(workload, &case)) * u128::from(most);
                assert!(
                    checksum < u128::from(EXACT) || most == 1,
                    "{} {case:?}",
                    workload.id
                );
            }
        }
    }
}
