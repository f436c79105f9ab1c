//! How long a cell takes: tried once, before anything is recorded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reports::schema::{Failure, FailureKind};
use workloads::catalogue::Workload;
use workloads::protocol::{ErrorKind, Parameters, Sample};

use super::probe::kind_of;
use super::setup::{Setup, is_memory};
use crate::lane_process::{Answer, Cause, LaneCommand, LaneFailure, LaneProcess, Stop};

/// Long enough that a clock's step and a process's first touches fade.
const ENOUGH: Duration = Duration::from_millis(2);
/// The most steps from one iteration up to [`ENOUGH`].
const STEPS: u32 = 8;
/// The most iterations that the protocol allows.
const MOST_ITERATIONS: u64 = 1_000_000_000;
/// Checksums and counts stay below this, so that every language holds them.
const EXACT: u64 = 1 << 53;

/// What one cell costs, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Starting the lane and ending it.
    pub(super) process_ns: f64,
    /// What a sample takes beside its timed section.
    pub(super) around_ns: f64,
    /// One iteration of the timed section.
    pub(super) iteration_ns: f64,
    /// The fewest and the most iterations that one sample may have.
    pub(super) iterations: (u64, u64),
}

/// Why a cell gave no sample.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The lane's process failed.
    Lane(LaneFailure),
    /// The lane refused.
    Answer(ErrorKind, String),
    /// The answer was wrong.
    Checksum(String),
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
        }
    }

    pub(super) fn is_interruption(&self) -> bool {
        matches!(self, Self::Lane(failure) if failure.cause == Cause::Interrupted)
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Lane(failure) => failure.to_string(),
            Self::Answer(_, message) | Self::Checksum(message) => message.clone(),
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

/// The right checksums, each worked out once: for `cpu.*` that is real work.
#[derive(Debug, Default)]
pub(super) struct Expected(BTreeMap<(&'static str, Parameters), u64>);

impl Expected {
    /// The right checksum of one iteration.
    pub(super) fn of_one(&mut self, workload: &'static Workload, parameters: &Parameters) -> u64 {
        *self
            .0
            .entry((workload.id, parameters.clone()))
            .or_insert_with(|| workload.expected(parameters, 1))
    }
}

/// Asks for one sample and checks its answer.
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
            let right = expected
                .of_one(workload, parameters)
                .saturating_mul(iterations);
            if sample.checksum != right {
                return Err(Refusal::Checksum(format!(
                    "the answer was {}, the right one is {right} ({iterations} iterations): the sample is void",
                    sample.checksum
                )));
            }
            check_counts(&sample, workload, parameters, iterations)?;
            Ok(*sample)
        }
    }
}

/// Checks what a figure is divided by, and what a reader of the file insists on.
fn check_counts(
    sample: &Sample,
    workload: &Workload,
    parameters: &Parameters,
    iterations: u64,
) -> Result<(), Refusal> {
    let broken = |message| Err(Refusal::Answer(ErrorKind::BadRequest, message));
    let right = (workload.operations)(parameters).saturating_mul(iterations);
    if sample.operations_count != right {
        return broken(format!(
            "the lane counted {} operations where PROTOCOL.md says {right}",
            sample.operations_count
        ));
    }
    let falls = |pair: &[(u64, u64)]| pair[0].0 >= pair[1].0;
    if sample
        .latency
        .iter()
        .any(|latency| latency.buckets.windows(2).any(falls))
    {
        return broken(
            "the lane's latency buckets do not rise, as PROTOCOL.md says they must".to_owned(),
        );
    }
    Ok(())
}

/// Finds what a cell costs by trying it.
pub(super) fn calibrate(
    setup: &Setup,
    command: &LaneCommand,
    workload: &'static Workload,
    parameters: &Parameters,
    expected: &mut Expected,
    stop: &Stop,
) -> Result<Cost, Refusal> {
    let most_iterations = most_iterations(workload, parameters, expected);
    let fixed = workload.iterations(setup.size).clamp(1, most_iterations);
    let began = Instant::now();
    let mut process =
        LaneProcess::start(command, &setup.cpus, setup.limits, stop).map_err(Refusal::Lane)?;
    let start = began.elapsed();
    let mut iterations = if workload.calibrated { 1 } else { fixed };
    for step in 1.. {
        let began = Instant::now();
        let sample = checked_sample(&mut process, workload, parameters, iterations, expected)?;
        let whole = began.elapsed();
        let elapsed = Duration::from_nanos(sample.elapsed_ns).min(whole);
        let done = !workload.calibrated || elapsed >= ENOUGH || iterations == most_iterations;
        if done || step == STEPS {
            process.quit().map_err(Refusal::Lane)?;
            return Ok(Cost {
                process_ns: start.as_nanos() as f64,
                around_ns: (whole - elapsed).as_nanos() as f64,
                iteration_ns: elapsed.as_nanos() as f64 / iterations as f64,
                iterations: if workload.calibrated {
                    (1, most_iterations)
                } else {
                    (fixed, fixed)
                },
            });
        }
        // The first iterations are the slowest: aim past the mark, but not so
        // far that a wrong guess costs a second.
        let factor = (2 * ENOUGH.as_nanos() / elapsed.as_nanos().max(1)).clamp(2, 32);
        iterations = (iterations * u64::try_from(factor).unwrap_or(2)).min(most_iterations);
    }
    unreachable!("the loop above returns at its last step")
}

/// What a cell of an uncalibrated workload may cost, without trying it: for
/// the ledger of memory every try costs as much as the sample.
pub(super) fn guess(
    setup: &Setup,
    workload: &'static Workload,
    parameters: &Parameters,
) -> Option<Cost> {
    const SETTLE_NS: f64 = 7e8;
    const TASK_NS: f64 = 6e4;
    if !is_memory(workload) {
        return None;
    }
    let tasks = parameters.get("tasks_count").copied().unwrap_or(1);
    let fixed = workload.iterations(setup.size).max(1);
    Some(Cost {
        process_ns: 2e7,
        around_ns: SETTLE_NS,
        iteration_ns: TASK_NS * tasks as f64,
        iterations: (fixed, fixed),
    })
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
    use workloads::catalogue;

    #[test]
    fn iterations_never_carry_a_checksum_beyond_what_every_language_holds() {
        let mut expected = Expected::default();
        for workload in catalogue::all().filter(|workload| !workload.id.starts_with("cpu.")) {
            for point in workload.points(catalogue::Size::Full, 4) {
                let most = most_iterations(workload, &point, &mut expected);
                let checksum = u128::from(expected.of_one(workload, &point)) * u128::from(most);
                assert!(
                    checksum < u128::from(EXACT) || most == 1,
                    "{} {point:?}",
                    workload.id
                );
            }
        }
    }
}
