//! Measures the blocks of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reports::analysis::Quantity;
use reports::schema::{
    Block, End, EnvironmentSample, Failure, FailureKind, Group, Phase, Record, Sample, Taint,
};
use reports::store::Writer;
use workloads::catalogue::{self, Workload};
use workloads::protocol;

use super::calibrate::{Expected, Refusal, checked_sample};
use super::comparisons::Comparisons;
use super::execute::StudyError;
use super::header::{describe, now};
use super::load::{Load, headroom_taint};
use super::observer::Observer;
use super::plan::{Plan, PlannedBlock, PlannedCell};
use super::probe::{Known, ProbedLane};
use super::setup::Setup;
use super::warm_up::{WarmUp, compiles_late};
use crate::environment::{
    Bounds, FREQUENCY, Readings, Watch, as_values, frequency_taint, migrations_taint, taints_of,
};
use crate::lane_process::{LaneCommand, LaneProcess, Stop};

/// A run is cut short after this many times its budget.
const OVERRUN: f64 = 1.2;
/// Samples of a process that is this many times as slow as planned are shortened, so it ends before
/// the time limit.
const MUCH_SLOWER: f64 = 10.0;
/// A cell is given up after this many processes that failed.
const MOST_CRASHES: u64 = 2;
/// A cell is given up if its process takes this long to fail.
const LONG_FAILURE: Duration = Duration::from_secs(5);

/// The outcome of a study.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Blocks that are complete.
    pub blocks_count: usize,
    /// The user stopped the run, which can be resumed: the file has no end record.
    pub stopped: bool,
    /// The time limit cut the run short.
    pub out_of_time: bool,
    /// Samples with a wrong answer: the run has failed.
    pub wrong_checksums_count: u64,
    /// Processes that failed otherwise.
    pub failures_count: u64,
    /// The failures among them in which a lane crashed, hung or violated the protocol: the run has
    /// failed.
    pub crashes_count: u64,
    /// The number of cells with such failures.
    pub failed_cells_count: u64,
    /// Cells that ended at a limit of the host or of the lane, which is a result.
    pub limits_count: u64,
}

/// A cell and its control have the same key.
type CellKey = (String, String, protocol::Parameters);

fn key_of(cell: &PlannedCell) -> CellKey {
    (
        cell.workload.clone(),
        cell.lane.clone(),
        cell.parameters.clone(),
    )
}

pub(super) struct State<'a> {
    setup: &'a Setup,
    commands: BTreeMap<&'a str, &'a LaneCommand>,
    load: Load,
    plan: Plan,
    expected: Expected,
    began: Instant,
    /// Cells that the load generator is known to limit.
    limited: BTreeSet<CellKey>,
    pub(super) clock_offset_ns: u64,
    watch: Watch,
    pub(super) next_order_index: u64,
    given_up: BTreeSet<CellKey>,
    crashes: BTreeMap<CellKey, u64>,
    outcome: Outcome,
    fastest_hz: f64,
    /// The time of the blocks so far: as planned, and as measured.
    planned_and_measured: (Duration, Duration),
    comparisons: Comparisons,
    quantities: BTreeMap<String, Quantity>,
    /// Lanes in languages that are compiled while they run.
    compiled_late: BTreeSet<&'a str>,
}

impl<'a> State<'a> {
    pub(super) fn new(
        setup: &'a Setup,
        lanes: &'a [ProbedLane],
        load: Load,
        plan: Plan,
        expected: Expected,
        began: Instant,
        watch: Watch,
    ) -> Self {
        let commands = lanes
            .iter()
            .filter_map(|lane| match &lane.known {
                Known::Runs(command, _) => Some((lane.lane.name.as_str(), command)),
                Known::Absent(..) => None,
            })
            .collect();
        let compiled_late = lanes
            .iter()
            .filter(|lane| match &lane.known {
                Known::Runs(_, hello) => compiles_late(&hello.language),
                Known::Absent(..) => false,
            })
            .map(|lane| lane.lane.name.as_str())
            .collect();
        Self {
            setup,
            commands,
            comparisons: Comparisons::of(&plan, &setup.reference_lane, setup.seed),
            quantities: quantities(setup, &plan),
            compiled_late,
            load,
            plan,
            expected,
            began,
            limited: BTreeSet::new(),
            clock_offset_ns: 0,
            watch,
            next_order_index: 0,
            given_up: BTreeSet::new(),
            crashes: BTreeMap::new(),
            outcome: Outcome::default(),
            fastest_hz: 0.0,
            planned_and_measured: (Duration::ZERO, Duration::ZERO),
        }
    }

    fn at_ns(&self) -> u64 {
        self.clock_offset_ns
            .saturating_add(nanos(self.began.elapsed()))
    }

    pub(super) fn measure(
        mut self,
        mut writer: Writer,
        done: usize,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, StudyError> {
        self.outcome.blocks_count = done;
        let _ = self.watch.lap();
        for index in done.. {
            let Some(block) = self.block(index) else {
                if let Some(text) = self.comparisons.conclusion() {
                    observer.note(&text);
                }
                break;
            };
            let block_began = Instant::now();
            if !self.measure_block(&block, &mut writer, stop, observer)? {
                // Without an end record the run can be resumed.
                self.outcome.stopped = true;
                return Ok(self.outcome);
            }
            let readings = self.watch.lap();
            writer.append(&environment_at(Phase::During, self.at_ns(), &readings))?;
            let slowed = self.frequency_taint(&readings, block.index);
            let taints = taints_of(&readings, &Bounds::default(), Some(block.index));
            for taint in taints.into_iter().chain(slowed) {
                observer.tainted(&taint);
                writer.append(&Record::Taint(taint))?;
            }
            let at_ns = self.at_ns();
            writer.end_block(Block {
                block_index: block.index,
                at_ns,
                ..Block::default()
            })?;
            self.outcome.blocks_count += 1;
            self.add_block_time(&block, block_began.elapsed());
            observer.block_done(&block, self.left(index + 1));
            if index + 1 >= self.plan.blocks.len() {
                self.comparisons.judge();
                let (decided, all) = self.comparisons.decided();
                observer.decided(decided, all);
            } else if self.is_far_out_of_time() {
                self.outcome.out_of_time = true;
                observer.note("the time is up before every cell had its planned processes; the run ends with what it has (--budget gives more time)");
                break;
            }
        }
        let after = Watch::start().lap();
        writer.append(&environment_at(Phase::After, self.at_ns(), &after))?;
        let end = End {
            finished: now(),
            interrupted: self.outcome.out_of_time,
            elapsed_ns: self.at_ns(),
            ..End::default()
        };
        writer.finish(end)?;
        Ok(self.outcome)
    }

    /// The plan's block; after the plan, one for undecided comparisons that fits into the time.
    fn block(&mut self, index: usize) -> Option<PlannedBlock> {
        if let Some(block) = self.plan.blocks.get(index) {
            return Some(block.clone());
        }
        let left = self.setup.budget.saturating_sub(self.began.elapsed());
        self.comparisons.next(&self.plan, index as u64, left)
    }

    fn frequency_taint(&mut self, readings: &Readings, block: u64) -> Option<Taint> {
        let now = *readings.get(FREQUENCY)?;
        self.fastest_hz = self.fastest_hz.max(now);
        frequency_taint(now, self.fastest_hz, block)
    }

    fn is_far_out_of_time(&self) -> bool {
        self.began.elapsed().as_secs_f64() > self.setup.budget.as_secs_f64() * OVERRUN
    }

    pub(super) fn add_recorded<'g>(&mut self, groups: impl Iterator<Item = &'g Group>) {
        for group in groups {
            let is_of_group = |cell: &PlannedCell| {
                (&cell.workload, &cell.lane, cell.control)
                    == (&group.workload, &group.lane, group.control)
                    && cell.parameters == group.parameters
            };
            if let Some(at) = self.plan.cells.iter().position(is_of_group) {
                // The file does not have the time of the process, so the planned time is used.
                let took = Duration::from_nanos(self.plan.cells[at].estimate_ns);
                self.add_figures(at, group.process_index, &group.samples, took);
            }
        }
        self.comparisons.judge();
    }

    fn add_figures(&mut self, at: usize, round: u64, samples: &[Sample], took: Duration) {
        let quantity = self.quantities.get(&self.plan.cells[at].workload);
        let figures: Vec<f64> = quantity.map_or_else(Vec::new, |quantity| {
            let usable = samples.iter().filter(|sample| sample.operations_count > 0);
            usable.filter_map(|sample| quantity.value(sample)).collect()
        });
        self.comparisons.add(at, round, &figures, took);
    }

    fn add_block_time(&mut self, block: &PlannedBlock, took: Duration) {
        let planned: u64 = block
            .cells
            .iter()
            .map(|&cell| self.plan.cells[cell].estimate_ns)
            .sum();
        self.planned_and_measured.0 += Duration::from_nanos(planned);
        self.planned_and_measured.1 += took;
    }

    /// The estimated time until the run ends. If it ends with its plan: the plan's estimate from
    /// block `next` on, corrected by its error so far; else the rest of the budget.
    fn left(&self, next: usize) -> Duration {
        let factor = match self.planned_and_measured.0.as_secs_f64() {
            planned if planned > 0.5 => self.planned_and_measured.1.as_secs_f64() / planned,
            _ => 1.0,
        };
        let planned = self.plan.estimate(next).mul_f64(factor.clamp(0.05, 20.0));
        let of_budget = self.setup.budget.saturating_sub(self.began.elapsed());
        match self.plan.goes_on {
            true => of_budget,
            false => planned,
        }
    }

    /// False if the user stopped the run.
    fn measure_block(
        &mut self,
        block: &PlannedBlock,
        writer: &mut Writer,
        stop: &Stop,
        observer: &mut dyn Observer,
    ) -> Result<bool, StudyError> {
        let place = usize::try_from(block.index).unwrap_or(usize::MAX);
        for &at in &block.cells {
            let cell = self.plan.cells[at].clone();
            if self.given_up.contains(&key_of(&cell)) {
                continue;
            }
            observer.cell(block, &cell, self.left(place));
            let at_ns = self.at_ns();
            let order_index = self.next_order_index;
            self.next_order_index += 1;
            let cell_began = Instant::now();
            let CellResult {
                samples,
                iterations,
                migrations_count,
                warm_up,
                refusal,
            } = self.measure_cell(&cell, stop);
            let taint = migrations_count.and_then(|count| {
                migrations_taint(&cell.lane, count, cell_began.elapsed(), block.index)
            });
            let limited = headroom_taint(
                &cell.workload,
                &cell.lane,
                &cell.parameters,
                &samples,
                block.index,
            )
            .filter(|_| self.limited.insert(key_of(&cell)));
            for taint in taint.into_iter().chain(limited) {
                observer.tainted(&taint);
                writer.append(&Record::Taint(taint))?;
            }
            let took = cell_began.elapsed();
            self.add_figures(at, block.process_index, &samples, took);
            if !samples.is_empty() {
                writer.append(&Record::Group(Group {
                    workload: cell.workload.clone(),
                    lane: cell.lane.clone(),
                    parameters: cell.parameters.clone(),
                    iterations,
                    process_index: block.process_index,
                    block_index: block.index,
                    order_index,
                    control: cell.control,
                    at_ns,
                    migrations_count,
                    warm_up,
                    samples,
                    ..Group::default()
                }))?;
            }
            match refusal {
                None => {}
                Some(refusal) if refusal.is_interruption() => return Ok(false),
                Some(refusal) => {
                    let mut failure =
                        refusal.into_failure(&cell.workload, &cell.lane, &cell.parameters);
                    failure.process_index = block.process_index;
                    failure.block_index = block.index;
                    // `is_crash` leaves out timeouts, because the budget may limit a trial. Here a
                    // timeout means that the lane hung.
                    let is_hung = failure.kind == FailureKind::TimedOut;
                    self.outcome.crashes_count += u64::from(is_hung);
                    self.failed(writer, failure, observer)?;
                    if took >= LONG_FAILURE {
                        // The next process would take as long, and fail too.
                        self.give_up(key_of(&cell));
                    }
                }
            }
            if stop.asked() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Measures a cell in one fresh process. After a wrong checksum there are no samples.
    fn measure_cell(&mut self, cell: &PlannedCell, stop: &Stop) -> CellResult {
        let mut asked = CellResult {
            samples: Vec::new(),
            iterations: cell.iterations,
            migrations_count: None,
            warm_up: None,
            refusal: None,
        };
        asked.refusal = self.sample_cell(cell, stop, &mut asked).err();
        if matches!(asked.refusal, Some(Refusal::Checksum(_))) {
            asked.samples.clear();
        }
        asked
    }

    fn sample_cell(
        &mut self,
        cell: &PlannedCell,
        stop: &Stop,
        asked: &mut CellResult,
    ) -> Result<(), Refusal> {
        let workload = known(&cell.workload)?;
        let command = self.commands.get(cell.lane.as_str()).ok_or_else(|| {
            let message = format!("the lane {} can no longer be started", cell.lane);
            Refusal::Answer(protocol::ErrorKind::Failed, message)
        })?;
        let setup = self.setup;
        let (command, cpus) = self
            .load
            .command(command, &setup.cpus, workload, &cell.parameters);
        let mut process =
            LaneProcess::start(&command, &cpus, setup.limits, stop).map_err(Refusal::Lane)?;
        let mut take_sample = |iterations, expected: &mut Expected| {
            checked_sample(
                &mut process,
                workload,
                &cell.parameters,
                iterations,
                expected,
            )
        };
        if cell.warm_up_iterations > 0 {
            let compiled_late = self.compiled_late.contains(cell.lane.as_str());
            let mut warm_up = WarmUp::default();
            let mut flat = false;
            while !flat && warm_up.elapsed_ns < cell.warm_up_most_ns.max(1) {
                let began = Instant::now();
                let piece = take_sample(cell.warm_up_iterations, &mut self.expected)?;
                // As in `calibrate`: at most the time that the study measured.
                let piece_ns = piece.elapsed_ns.min(nanos(began.elapsed())).max(1);
                warm_up.add(piece_ns, cell.warm_up_iterations);
                flat = warm_up.is_flat(compiled_late);
            }
            asked.iterations = iterations_after(cell, warm_up.iteration_ns());
            asked.warm_up = Some(reports::schema::WarmUp {
                elapsed_ns: warm_up.elapsed_ns,
                flat,
            });
        }
        for _ in 0..cell.samples_count {
            let sample = take_sample(asked.iterations, &mut self.expected)?;
            asked.samples.push(recorded(sample));
        }
        asked.migrations_count = process.migrations();
        process.quit().map_err(Refusal::Lane)
    }

    pub(super) fn failed(
        &mut self,
        writer: &mut Writer,
        failure: Failure,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        self.count_failure(&failure);
        observer.failed(&failure);
        writer.append(&Record::Failure(failure))?;
        Ok(())
    }

    /// Counts a failure. Gives its cell up if another try would fail again or take long.
    pub(super) fn count_failure(&mut self, failure: &Failure) {
        let key = (
            failure.workload.clone(),
            failure.lane.clone(),
            failure.parameters.clone(),
        );
        match failure.kind {
            FailureKind::WrongChecksum => self.outcome.wrong_checksums_count += 1,
            FailureKind::Limit => self.outcome.limits_count += 1,
            kind if kind.is_expected() => {}
            kind => {
                self.outcome.failures_count += 1;
                self.outcome.crashes_count += u64::from(kind.is_crash());
                self.outcome.failed_cells_count += u64::from(!self.crashes.contains_key(&key));
            }
        }
        let crashes = self.crashes.entry(key.clone()).or_default();
        *crashes += 1;
        let would_fail_again = !matches!(failure.kind, FailureKind::Crashed | FailureKind::Failed);
        if would_fail_again || *crashes >= MOST_CRASHES {
            self.give_up(key);
        }
    }

    fn give_up(&mut self, key: CellKey) {
        let cells = self.plan.cells.iter().enumerate();
        let given_up_cells = cells.filter(|(_, cell)| key_of(cell) == key);
        given_up_cells.for_each(|(at, _)| self.comparisons.give_up(at));
        self.given_up.insert(key);
    }
}

struct CellResult {
    samples: Vec<Sample>,
    iterations: u64,
    migrations_count: Option<u64>,
    warm_up: Option<reports::schema::WarmUp>,
    refusal: Option<Refusal>,
}

/// The plan's iterations of a sample, or fewer if an iteration at the end of the warm-up takes more
/// than [`MUCH_SLOWER`] times as long as planned.
fn iterations_after(cell: &PlannedCell, iteration_ns: Option<f64>) -> u64 {
    let longest_ns = MUCH_SLOWER * cell.estimate_ns as f64 / cell.samples_count.max(1) as f64;
    match iteration_ns {
        Some(iteration_ns) if iteration_ns * cell.iterations as f64 > longest_ns => {
            ((longest_ns / iteration_ns) as u64).clamp(1, cell.iterations)
        }
        _ => cell.iterations,
    }
}

fn quantities(setup: &Setup, plan: &Plan) -> BTreeMap<String, Quantity> {
    let main = |workload: &&'static Workload| {
        let quantity = Quantity::main_of(&describe(workload, plan))?;
        Some((workload.id.to_owned(), quantity))
    };
    setup.workloads.iter().filter_map(main).collect()
}

pub(super) fn environment_at(phase: Phase, at_ns: u64, readings: &Readings) -> Record {
    Record::Environment(EnvironmentSample {
        phase,
        at_ns,
        readings: as_values(readings),
        ..EnvironmentSample::default()
    })
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn known(workload: &str) -> Result<&'static Workload, Refusal> {
    catalogue::find(workload).ok_or_else(|| {
        let message = format!("this program does not know the workload {workload}");
        Refusal::Answer(protocol::ErrorKind::BadRequest, message)
    })
}

fn recorded(sample: protocol::Sample) -> Sample {
    Sample {
        elapsed_ns: sample.elapsed_ns,
        operations_count: sample.operations_count,
        checksum: sample.checksum,
        cpu_ns: sample.cpu_ns,
        voluntary_switches_count: sample.voluntary_switches_count,
        involuntary_switches_count: sample.involuntary_switches_count,
        memory: sample.memory.map(|memory| reports::schema::Memory {
            tasks_count: memory.tasks_count,
            available_bytes: memory.available_bytes,
            group_bytes: memory.group_bytes,
            anonymous_bytes: memory.anonymous_bytes,
            kernel_stack_bytes: memory.kernel_stack_bytes,
            slab_bytes: memory.slab_bytes,
            page_tables_bytes: memory.page_tables_bytes,
            percpu_bytes: memory.percpu_bytes,
            virtual_bytes: memory.virtual_bytes,
        }),
        latency: sample.latency.map(|latency| reports::schema::Latency {
            corrected: latency.corrected,
            offered_per_s: latency.offered_per_s,
            achieved_per_s: latency.achieved_per_s,
            buckets: latency.buckets,
        }),
        metrics: sample.metrics,
        ..Sample::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_much_slower_takes_shorter_samples_and_another_those_of_the_plan() {
        let cell = PlannedCell {
            iterations: 1_400,
            warm_up_iterations: 350,
            samples_count: 5,
            estimate_ns: 600_000_000,
            ..PlannedCell::default()
        };
        let of_one = |iteration_ns: u32| iterations_after(&cell, Some(f64::from(iteration_ns)));
        assert_eq!(of_one(67_000), 1_400);
        assert_eq!(of_one(500_000), 1_400, "seven times as slow");
        assert_eq!(of_one(27_000_000), 44, "1.2 s and not 38");
        assert_eq!(of_one(u32::MAX), 1);
    }
}
