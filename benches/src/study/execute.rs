use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use reports::Run;
use reports::run::{other_commit, other_version, short_commit};
use reports::schema::{Counters, Failure, FailureKind, Header, Phase, Record, Taint};
use reports::store::{Claim, WriteError, Writer};
use workloads::catalogue::Workload;

use super::calibrate::{self, Expected};
use super::header::{PLAN, describe_lane, header};
use super::load::Load;
use super::measure::{Outcome, State, environment_at, nanos};
use super::observer::Observer;
use super::plan::{Candidate, Plan, PlanLimits};
use super::probe::{Known, ProbedLane, probe};
use super::setup::{Setup, TASKS, is_memory};
use super::warm_up::compiles_late;
use crate::environment::{self, Bounds, Watch, debug_build_taint, standing_taints};
use crate::lane_process::Stop;
use crate::scratch::Scratch;

const IDLE_WATCH: Duration = Duration::from_millis(400);
/// The parameter of workloads that read temporary files.
const FILES: &str = "file_bytes";

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// The result file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// No lane can be started.
    #[error("no lane can be started:\n{0}")]
    NoLane(String),
    /// No lane that can be started runs any of the workloads.
    #[error("nothing to measure:\n{0}")]
    NoCell(String),
    /// The user stopped the run before anything was measured.
    #[error("stopped before anything was measured")]
    Stopped,
    /// A lane has another version, or the machine is another one.
    #[error("{0}")]
    Other(String),
    /// The file holds no plan to continue.
    #[error("{0}")]
    NoPlan(String),
}

/// Measures `setup` into a new result file at `path`.
///
/// # Errors
///
/// [`StudyError`]. A lane that fails is no error: the file gets a line about it.
pub fn run(
    setup: &Setup,
    path: &Path,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<Outcome, StudyError> {
    let began = Instant::now();
    observer.preparing("watching the host while it is idle");
    let mut watch = Watch::start();
    std::thread::sleep(IDLE_WATCH);
    let idle = watch.lap();

    let lanes = probe(setup, stop, observer);
    if stop.asked() {
        return Err(StudyError::Stopped);
    }
    refuse_without_lanes(&lanes)?;
    let mut described = lanes.iter().map(describe_lane);
    if let Some(why) = described.find_map(|lane| other_version(&lane)) {
        return Err(StudyError::Other(format!(
            "{why}: correct the table of engines, or name the lane by its version"
        )));
    }
    let load = Load::measure(setup, observer);
    let mut expected = Expected::default();
    let Trials {
        candidates,
        failures,
        counters,
    } = try_cells(setup, &lanes, &load, &mut expected, stop, observer)?;
    if candidates.is_empty() {
        let reasons: BTreeSet<&str> = failures.iter().map(|one| one.message.as_str()).collect();
        return Err(StudyError::NoCell(
            reasons.into_iter().collect::<Vec<_>>().join("\n"),
        ));
    }
    let room = PlanLimits {
        budget: setup.budget.saturating_sub(began.elapsed()),
        samples_count: setup.samples_count,
        sample_target: setup.sample_target,
        seed: setup.seed,
        precision_ratio: setup.precision_ratio,
        goes_on: setup.goes_on,
    };
    let plan = Plan::fit(candidates, room);
    let header = header(setup, &lanes, &plan);
    let mut writer = Writer::create(path, &header)?;
    observer.planned(&plan, 0);
    writer.append(&environment_at(
        Phase::Before,
        nanos(began.elapsed()),
        &idle,
    ))?;
    let mut taints = standing_taints(&idle, &Bounds::default());
    let is_unoptimised = |lane: &ProbedLane| match &lane.known {
        Known::Runs(_, hello) => hello.unoptimised,
        Known::Absent(..) => false,
    };
    taints.extend(lanes.iter().any(is_unoptimised).then(debug_build_taint));
    taints.extend(other_commit(&header).map(|message| Taint {
        kind: "other_commit".to_owned(),
        message,
        ..Taint::default()
    }));
    taints.extend(lanes.iter().filter_map(|lane| cpus_taint(lane, setup)));
    taints.extend(refusal_taints(&lanes));
    for taint in taints {
        observer.tainted(&taint);
        writer.append(&Record::Taint(taint))?;
    }
    for counted in counters {
        writer.append(&Record::Counters(counted))?;
    }
    for check in &setup.cross_checks {
        writer.append(&Record::CrossCheck(check.clone()))?;
    }
    let mut state = State::new(setup, &lanes, load, plan, expected, began, watch);
    for failure in failures {
        state.failed(&mut writer, failure, observer)?;
    }
    state.measure(writer, 0, stop, observer)
}

/// Continues the run in the claimed file after its last complete block, by its plan. `setup` must
/// have the file's lanes and workloads.
///
/// # Errors
///
/// [`StudyError`]; [`StudyError::NoPlan`] if the file is no run that can be continued.
pub fn resume(
    setup: &Setup,
    so_far: &Run,
    claim: Claim,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<Outcome, StudyError> {
    let plan = so_far.header.design.extra.get(PLAN).cloned();
    let plan: Plan = plan
        .and_then(|plan| serde_json::from_value(plan).ok())
        .ok_or_else(|| {
            let path = claim.path().display();
            StudyError::NoPlan(format!("{path} holds no plan to go on with"))
        })?;
    let last = so_far.blocks.last();
    let done = last.map_or(0, |block| block.block_index as usize + 1);
    let began = Instant::now();
    let lanes = probe(setup, stop, observer);
    if stop.asked() {
        return Err(StudyError::Stopped);
    }
    refuse_without_lanes(&lanes)?;
    if let Some(why) = why_not_resumable(&so_far.header, &lanes) {
        return Err(StudyError::Other(why));
    }
    let load = Load::measure(setup, observer);
    let writer = Writer::resume(claim)?;
    observer.planned(&plan, done);
    let mut state = State::new(
        setup,
        &lanes,
        load,
        plan,
        Expected::default(),
        began,
        Watch::start(),
    );
    let is_whole = |block: u64| last.is_some_and(|last| block <= last.block_index);
    for failure in &so_far.failures {
        if done > 0 && is_whole(failure.block_index) {
            state.count_failure(failure);
        }
    }
    let groups = so_far.groups.iter();
    state.add_recorded(groups.filter(|group| is_whole(group.block_index)));
    state.next_order_index = so_far
        .groups
        .iter()
        .map(|group| group.order_index + 1)
        .max()
        .unwrap_or(0);
    state.clock_offset_ns = last.map_or(0, |block| block.at_ns);
    state.measure(writer, done, stop, observer)
}

fn refuse_without_lanes(lanes: &[ProbedLane]) -> Result<(), StudyError> {
    let mut reasons = Vec::new();
    for lane in lanes {
        match &lane.known {
            Known::Runs(..) => return Ok(()),
            Known::Absent(_, why) => reasons.push(format!("{}: {why}", lane.lane.name)),
        }
    }
    Err(StudyError::NoLane(reasons.join("\n")))
}

/// Why this workload's temporary files cannot be created; `None` if they can, or if it reads none.
fn why_no_files(setup: &Setup, workload: &Workload) -> Option<String> {
    if !workload.has_parameter(FILES) {
        return None;
    }
    let made = Scratch::create(&format!("files-{}", setup.run_id));
    made.err().map(|error| error.to_string())
}

/// Why the run cannot be continued here: its figures would be of two machines, or of two versions
/// of a lane.
fn why_not_resumable(recorded_header: &Header, lanes: &[ProbedLane]) -> Option<String> {
    let machines = [&recorded_header.host.machine, &environment::host().machine];
    if machines[0].key() != machines[1].key() {
        let [there, here] = machines
            .map(|one| format!("{}, {} hardware threads", one.cpu_model, one.threads_count));
        return Some(format!(
            "the run was begun on another machine ({there}; this is {here}): go on with it there, or start a new run here"
        ));
    }
    lanes.iter().find_map(|lane| {
        let now = describe_lane(lane);
        let then = recorded_header.lanes.iter().find(|then| then.name == now.name)?;
        let is_known = !then.runtime.is_empty() && !now.runtime.is_empty();
        let has_commits = !then.commit.is_empty() && !now.commit.is_empty();
        let is_one_commit = !has_commits || then.commit == now.commit;
        let versions = [then, &now].map(|lane| match is_one_commit {
            true => format!("{}, {}", lane.language, lane.runtime),
            false => format!(
                "{}, {}, commit {}",
                lane.language,
                lane.runtime,
                short_commit(&lane.commit)
            ),
        });
        (is_known && versions[0] != versions[1]).then(|| {
            format!(
                "the lane {} was begun as {} and is {} now: bring that version back, or start a new run",
                now.name, versions[0], versions[1]
            )
        })
    })
}

fn cpus_taint(lane: &ProbedLane, setup: &Setup) -> Option<Taint> {
    let Known::Runs(_, hello) = &lane.known else {
        return None;
    };
    let right = setup.cpus.count();
    (hello.cpus_count as usize != right).then(|| Taint {
        kind: "cpus".to_owned(),
        message: format!(
            "the lane {} says that it uses {} CPUs, and it was given {right}",
            lane.lane.name, hello.cpus_count
        ),
        value: Some(f64::from(hello.cpus_count)),
        bound: Some(right as f64),
        ..Taint::default()
    })
}

fn refusal_taints(lanes: &[ProbedLane]) -> impl Iterator<Item = Taint> {
    let refused: BTreeSet<&str> = lanes.iter().flat_map(|lane| lane.refused.clone()).collect();
    refused.into_iter().map(|step| Taint {
        kind: "refused".to_owned(),
        message: format!("the kernel, or a sandbox, refuses {step}"),
        ..Taint::default()
    })
}

const LONGEST_PAIRED_NS: f64 = 1e9;

#[derive(Default)]
struct Trials {
    candidates: Vec<Candidate>,
    failures: Vec<Failure>,
    counters: Vec<Counters>,
}

fn try_cells(
    setup: &Setup,
    lanes: &[ProbedLane],
    load: &Load,
    expected: &mut Expected,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<Trials, StudyError> {
    let mut trials = Trials::default();
    for (place, &workload) in setup.workloads.iter().enumerate() {
        let cases = setup.cases(workload);
        let why_no_files = why_no_files(setup, workload);
        let processes_count = setup.processes(workload, &cases);
        let mut firsts: Vec<Candidate> = Vec::new();
        for lane in lanes
            .iter()
            .filter(|one| setup.measures(&one.lane, workload))
        {
            let name = &lane.lane.name;
            let refusal = lane.refusal(workload.id);
            let why_no_files = || Some((FailureKind::Limit, why_no_files.clone()?));
            if let Some((kind, message)) = refusal.or_else(why_no_files) {
                let (workload, lane) = (workload.id.to_owned(), name.clone());
                trials.failures.push(Failure {
                    workload,
                    lane,
                    kind,
                    message,
                    ..Failure::default()
                });
                continue;
            }
            let Known::Runs(command, hello) = &lane.known else {
                continue;
            };
            let compiles_late = compiles_late(&hello.language);
            for parameters in &cases {
                let parameters = &setup.parameters_of(&lane.lane, workload, parameters);
                if let Some(refused) = load.refusal(workload, name, parameters) {
                    trials.failures.push(refused);
                    continue;
                }
                observer.preparing(&format!("trying {} on {name}", workload.id));
                let lane = (name.as_str(), command);
                let tried =
                    calibrate::calibrate(setup, load, lane, workload, parameters, expected, stop);
                let cost = match tried {
                    Ok(tried) => {
                        trials.counters.extend(tried.counters);
                        tried.cost
                    }
                    Err(refusal) if refusal.is_interruption() => return Err(StudyError::Stopped),
                    Err(refusal) => {
                        trials
                            .failures
                            .push(refusal.into_failure(workload.id, name, parameters));
                        continue;
                    }
                };
                let candidate = Candidate {
                    workload: workload.id,
                    lane: name.clone(),
                    parameters: parameters.clone(),
                    control: false,
                    processes_count,
                    grows: !is_memory(workload) && !setup.is_small(workload),
                    compiles_late,
                    most_samples: match workload.is_one_experiment() {
                        true => 1,
                        false => u64::MAX,
                    },
                    is_of_sweep: is_memory(workload),
                    cost,
                };
                if firsts.iter().all(|first| first.lane != *name) {
                    firsts.push(candidate.clone());
                }
                trials.candidates.push(candidate);
            }
        }
        // Adds the A/A pairs. If not all cells get one, one lane of each workload is measured
        // again: at its first case, or at all points of that case's sweep. Each workload takes the
        // next lane.
        if firsts.is_empty() {
            continue;
        }
        let first = &firsts[place % firsts.len()];
        // Figures of memory hardly vary, so a slow pair shows no more than the pair of
        // memory.parked.
        let sample_ns = first.cost.around_ns + first.cost.iteration_ns;
        let has_pair = !is_memory(workload) || sample_ns < LONGEST_PAIRED_NS;
        let is_pair = |cell: &&Candidate| {
            cell.workload == workload.id && (setup.twice || has_pair && is_on_slope_of(cell, first))
        };
        let pairs: Vec<Candidate> = trials.candidates.iter().filter(is_pair).cloned().collect();
        trials
            .candidates
            .extend(pairs.into_iter().map(|cell| Candidate {
                control: true,
                ..cell
            }));
    }
    Ok(trials)
}

/// Whether `cell` is `first` or another point of its slope: a figure of memory is a slope over the
/// numbers of tasks, so its A/A pair needs all points.
fn is_on_slope_of(cell: &Candidate, first: &Candidate) -> bool {
    let without_tasks = |cell: &Candidate| {
        let mut parameters = cell.parameters.clone();
        parameters.remove(TASKS);
        parameters
    };
    let is_same = (cell.workload, &cell.lane) == (first.workload, &first.lane);
    is_same
        && match first.is_of_sweep {
            true => without_tasks(cell) == without_tasks(first),
            false => cell.parameters == first.parameters,
        }
}
