use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use reports::run::{BASE_SUFFIX, plain_name};
use reports::schema::{CrossCheck, Shard};
use workloads::catalogue::{MetricKind, Size, Workload};
use workloads::protocol::Parameters;

pub use reports::schema::Depth;

use super::preset::{Preset, with_values};
use crate::cpus::Cpus;
use crate::lane_process::{LaneCommand, Limits};
use crate::lanes::{self, LaneEntry, Missing, Toolbox};

/// One lane of a run.
#[derive(Clone, Debug)]
pub struct StudyLane {
    /// The stable name.
    pub name: String,
    /// The name of one of its tasks in a sentence.
    pub noun: String,
    /// The lane that it is a variant of.
    pub variant_of: Option<String>,
    /// What distinguishes it.
    pub remark: String,
    /// Whether a task is a thread or a process, which costs more than other tasks.
    pub kernel_tasks: bool,
    /// How to start it, or why that cannot be done.
    pub command: Result<LaneCommand, Missing>,
}

impl StudyLane {
    /// A lane of the table. May build a foreign program.
    #[must_use]
    pub fn new(entry: &LaneEntry, toolbox: &Toolbox) -> Self {
        Self {
            name: entry.name.to_owned(),
            noun: entry.noun.to_owned(),
            variant_of: entry.variant_of.map(str::to_owned),
            remark: entry.remark.to_owned(),
            kernel_tasks: entry.kernel_tasks,
            command: toolbox.command(entry),
        }
    }

    /// A lane of the table in another build, of the lane program `program`. `None` for a lane in
    /// another language, which no build contains.
    #[must_use]
    pub fn of_base(entry: &LaneEntry, toolbox: &Toolbox, program: &Path) -> Option<Self> {
        entry.foreign.is_none().then(|| Self {
            name: format!("{}{BASE_SUFFIX}", entry.name),
            variant_of: Some(entry.variant_of.unwrap_or(entry.name).to_owned()),
            remark: format!("as built in {}", program.display()),
            command: toolbox.command_of_base(entry, program),
            ..Self::new(entry, toolbox)
        })
    }

    /// The lane's name without version or build.
    #[must_use]
    pub fn plain_name(&self) -> &str {
        lanes::versioned(&self.name).map_or_else(|| plain_name(&self.name), |(lane, _)| lane)
    }
}

/// A task's memory is the slope over this parameter.
pub(super) const TASKS: &str = "tasks_count";
/// A memory workload with one number of tasks has no slope. Its interval needs this many processes.
const FEWEST_OF_COUNT: u64 = 3;
/// Processes of a workload in its small form.
pub(super) const SMALL_FORM_PROCESSES: u64 = 3;
/// With this many tasks, a process takes seconds.
const SLOW_COUNT: u64 = 1_000_000;

/// All settings of a run: what it measures, and for how long.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The lanes, in the order of the report.
    pub lanes: Vec<StudyLane>,
    /// The workloads, in the order of the report.
    pub workloads: Vec<&'static Workload>,
    /// How thorough the run is, and so what its report may claim.
    pub depth: Depth,
    /// Which of a workload's cases are measured.
    pub size: Size,
    /// The preset that chooses the cases.
    pub preset: Option<Preset>,
    /// A workload that names lanes (`presets.lanes`) is measured in its small form: on only those,
    /// by few processes.
    pub few_lanes: bool,
    /// Values from the command line, for each workload with the parameter.
    pub values: Vec<(String, Vec<u64>)>,
    /// Fresh processes of each cell.
    pub processes_count: u64,
    /// Fresh processes for each case of a memory sweep, each a point of one regression. If there
    /// are too few cases for a regression, two processes of each case show how much they differ.
    pub memory_processes_count: u64,
    /// The most samples of a process.
    pub samples_count: u64,
    /// The longest calibrated sample.
    pub sample_target: Duration,
    /// More processes follow for the undecided comparisons.
    pub goes_on: bool,
    /// The smallest change that should be detected, as a share; `None` if the goal is verdicts.
    pub precision_ratio: Option<f64>,
    /// Every cell is measured twice (an A/A pair), not only one lane of each workload.
    pub twice: bool,
    /// The time for the whole run.
    pub budget: Duration,
    /// The seed of every random choice.
    pub seed: u64,
    /// The CPUs to which every lane is pinned.
    pub cpus: Cpus,
    /// How long a lane may take to answer.
    pub limits: Limits,
    /// The part of the run that is measured here.
    pub shard: Option<Shard>,
    /// Identifies the run.
    pub run_id: String,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// The lane that the others are compared with.
    pub reference_lane: String,
    /// Figures of another tool, kept with the run.
    pub cross_checks: Vec<CrossCheck>,
}

impl Setup {
    /// The usual values for a depth, without a command.
    ///
    /// | depth | cases | processes | samples | budget |
    /// |---|---|---|---|---|
    /// | quick | quick | 5 | 3 of 10 ms | with the micro-benchmarks under 90 s |
    /// | standard | full | 5 | 1 of 20 ms | with the micro-benchmarks under 12 min; 45 s more with a whole service |
    /// | full | full | 10 | 5 of 50 ms | 45 min |
    ///
    /// Further processes may follow: see `comparisons`.
    #[must_use]
    pub fn new(
        depth: Depth,
        lanes: Vec<StudyLane>,
        workloads: Vec<&'static Workload>,
        cpus: Cpus,
        seed: u64,
    ) -> Self {
        let (size, processes, memory_processes, samples, target_ms, budget_s) = match depth {
            Depth::Quick => (Size::Quick, 5, 1, 3, 10, 45),
            Depth::Standard => (Size::Full, 5, 2, 1, 20, 8 * 60 + 45),
            Depth::Full => (Size::Full, 10, 2, 5, 50, 45 * 60),
        };
        let reference_lane = lanes
            .iter()
            .find(|lane| lane.name == "thread")
            .or(lanes.first())
            .map(|lane| lane.name.clone())
            .unwrap_or_default();
        Self {
            lanes,
            workloads,
            depth,
            size,
            preset: None,
            few_lanes: false,
            values: Vec::new(),
            processes_count: processes,
            memory_processes_count: memory_processes,
            samples_count: samples,
            sample_target: Duration::from_millis(target_ms),
            goes_on: true,
            precision_ratio: None,
            twice: false,
            budget: Duration::from_secs(budget_s),
            seed,
            cpus,
            limits: Limits::default(),
            shard: None,
            run_id: run_id(seed),
            command: Vec::new(),
            reference_lane,
            cross_checks: Vec::new(),
        }
    }

    /// Takes part `index` (from 1) of `count` equal runs with one seed and run id: every `count`-th
    /// workload, with all of its lanes.
    pub fn take_shard(&mut self, index: u32, count: u32) {
        self.shard = Some(Shard { index, count });
        self.run_id = format!("{:016x}-of-{count}", self.seed);
        let mut position = 0;
        self.workloads.retain(|_| {
            position += 1;
            (position - 1) % count == index - 1
        });
    }

    /// Measures every cell in many processes, until a change of this share can be detected. The
    /// processes may be short, because figures vary more between processes than within one.
    pub fn be_precise(&mut self, ratio: f64) {
        /// With fewer rounds the width of an interval is not known well.
        const FEWEST_ROUNDS: u64 = 10;
        self.precision_ratio = Some(ratio);
        self.processes_count = FEWEST_ROUNDS;
        self.samples_count = 3;
        self.sample_target = Duration::from_millis(10);
    }

    /// The cases of `workload` that are measured.
    #[must_use]
    pub fn cases(&self, workload: &Workload) -> Vec<Parameters> {
        let cpus = self.cpus.count();
        let cases = match self.preset {
            Some(preset) => preset.cases(workload, self.size, cpus),
            None => workload.cases(self.size, cpus),
        };
        self.values
            .iter()
            .filter(|(name, _)| workload.has_parameter(name))
            .fold(cases, |cases, (name, values)| {
                with_values(cases, name, values)
            })
    }

    pub(super) fn cells_count(&self) -> usize {
        let cases = self.workloads.iter().map(|one| self.cases(one).len());
        cases.sum::<usize>() * self.lanes.len()
    }

    /// Sets a parameter for every workload that has it. `name` may lack its unit if it is then
    /// unique.
    ///
    /// # Errors
    ///
    /// No workload of this study has it, or a value is outside of its range.
    pub fn set_values(&mut self, name: &str, values: &[u64]) -> Result<(), String> {
        let known = self.workloads.iter().flat_map(|one| one.parameters);
        let has_stem = |known: &str| known.rsplit_once('_').is_some_and(|(stem, _)| stem == name);
        let matching: BTreeSet<&str> = known
            .map(|one| one.name)
            .filter(|one| has_stem(one))
            .collect();
        let name = match matching.len() {
            1 => matching.first().copied().unwrap_or(name),
            _ => name,
        };
        if !self.workloads.iter().any(|one| one.has_parameter(name)) {
            let names: BTreeSet<&str> = self
                .workloads
                .iter()
                .flat_map(|workload| workload.parameters.iter().map(|one| one.name))
                .collect();
            let names: Vec<&str> = names.into_iter().collect();
            return Err(format!(
                "no workload of this run has a parameter {name}; there are {}",
                names.join(", ")
            ));
        }
        self.values.push((name.to_owned(), values.to_vec()));
        for workload in self.workloads.iter().filter(|one| one.has_parameter(name)) {
            for case in self.cases(workload) {
                workload.check(&case)?;
            }
        }
        Ok(())
    }

    /// A lane whose tasks are threads or processes gets fewer tasks, unless the run is about sizes
    /// or sets values.
    pub(super) fn parameters_of(
        &self,
        lane: &StudyLane,
        workload: &Workload,
        case: &Parameters,
    ) -> Parameters {
        let sizes_matter = self.preset == Some(Preset::Growth);
        if lane.kernel_tasks && !sizes_matter && self.values.is_empty() {
            workload.for_os_tasks(case.clone())
        } else {
            case.clone()
        }
    }

    /// Whether `workload` is measured in its small form: on few lanes, by few processes, and only
    /// in the plan's rounds.
    #[must_use]
    pub fn is_small(&self, workload: &Workload) -> bool {
        self.few_lanes && !workload.presets.lanes.is_empty()
    }

    pub(super) fn measures(&self, lane: &StudyLane, workload: &Workload) -> bool {
        !self.is_small(workload) || workload.presets.lanes.contains(&lane.plain_name())
    }

    pub(super) fn processes(&self, workload: &Workload, cases: &[Parameters]) -> u64 {
        let tasks = |case: &Parameters| case.get(TASKS).copied().unwrap_or(0);
        match cases {
            _ if self.is_small(workload) => self.processes_count.min(SMALL_FORM_PROCESSES),
            _ if !is_memory(workload) => self.processes_count,
            // Each process takes seconds, and with a million tasks two are exact enough.
            [case] if tasks(case) >= SLOW_COUNT => self.memory_processes_count.max(2),
            [_] => self.memory_processes_count.max(FEWEST_OF_COUNT),
            _ => self.memory_processes_count,
        }
    }
}

pub(super) fn is_memory(workload: &Workload) -> bool {
    workload.metrics.first() == Some(&MetricKind::MemoryLedger)
}

fn run_id(seed: u64) -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    // Two close times differ only in their low bits, so the bits are mixed.
    let mixed = (now as u64 ^ seed.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:06x}", mixed >> 40)
}
