//! The cells of a run, and the order in which they are measured.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use reports::run::plain_name;
use serde::{Deserialize, Serialize};
use workloads::protocol::Parameters;

use super::calibrate::Cost;
use super::warm_up;

/// A hundred times the jitter of reading a clock and a pipe.
const SHORTEST_SAMPLE_NS: f64 = 1e6;
/// Fewer samples do not show how much they vary within a process; so if the time is short, a case
/// is left out instead.
const FEWEST_SAMPLES: u64 = 3;
/// The share of the budget for the first rounds. The rest is for undecided comparisons.
const FIRST_ROUNDS: f64 = 0.6;
/// The length of a piece of the warm-up, as a share of a sample.
const WARM_UP: f64 = 0.25;
const USUAL_PIECES: f64 = 2.0;
/// A cell with a fixed number of iterations, or with one, warms up by whole samples, and only if
/// its language is compiled at run time. It has no warm-up if a sample takes longer than this.
const LONGEST_WARM_UP_NS: f64 = 2.5e8;

/// All blocks of a run, in order. The result file holds it, so another version of this program can
/// resume the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The cells.
    pub cells: Vec<PlannedCell>,
    /// The blocks, in the order in which they are measured.
    pub blocks: Vec<PlannedBlock>,
    /// The cases that did not fit into the budget; each text begins with the workload's id.
    pub left_out: Vec<String>,
    /// The smallest change that should be detected, as a share; `None` if the goal is verdicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision_ratio: Option<f64>,
    /// The run continues after these blocks.
    #[serde(default)]
    pub goes_on: bool,
}

/// One lane on one case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannedCell {
    /// The workload's id.
    pub workload: String,
    /// The lane's name.
    pub lane: String,
    /// The parameters of its case.
    pub parameters: Parameters,
    /// A control: the second measurement of a lane, compared with the first (an A/A pair).
    pub control: bool,
    /// How often a sample repeats the shape.
    pub iterations: u64,
    /// How often a piece of the warm-up repeats the shape; 0 for no warm-up.
    pub warm_up_iterations: u64,
    /// The longest warm-up. It ends earlier when its pieces no longer get faster.
    #[serde(default)]
    pub warm_up_most_ns: u64,
    /// More processes may follow those of the plan.
    #[serde(default)]
    pub grows: bool,
    /// Samples that each process takes.
    pub samples_count: u64,
    /// The estimated time of one process of this cell.
    pub estimate_ns: u64,
}

/// Cells of one workload, each measured in one fresh process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannedBlock {
    /// The place among all blocks, from 0.
    pub index: u64,
    /// Which fresh process of each cell this is, from 0.
    pub process_index: u64,
    /// The workload's id.
    pub workload: String,
    /// The cells by their place in [`Plan::cells`], in the order of measuring.
    pub cells: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) workload: &'static str,
    pub(super) lane: String,
    pub(super) parameters: Parameters,
    pub(super) control: bool,
    pub(super) processes_count: u64,
    pub(super) grows: bool,
    /// Whether the language is compiled while it runs: a program gets faster for seconds.
    pub(super) compiles_late: bool,
    /// The most samples that one process may take.
    pub(super) most_samples: u64,
    /// A point of a regression, which needs all of its points.
    pub(super) is_of_sweep: bool,
    pub(super) cost: Cost,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PlanLimits {
    pub(super) budget: Duration,
    pub(super) samples_count: u64,
    pub(super) sample_target: Duration,
    pub(super) seed: u64,
    pub(super) precision_ratio: Option<f64>,
    pub(super) goes_on: bool,
}

impl Plan {
    /// Fits the candidates to the limits: by shorter samples, then by fewer, down to
    /// [`FEWEST_SAMPLES`] (one if the run continues), then by leaving out the most expensive cases
    /// that are spare ([`is_spare`]). The number of processes does not change.
    pub(super) fn fit(mut candidates: Vec<Candidate>, room: PlanLimits) -> Self {
        let share = if room.goes_on { FIRST_ROUNDS } else { 1.0 };
        let budget_ns = room.budget.as_nanos() as f64 * share;
        equalise_costs(&mut candidates);
        let mut left_out = Vec::new();
        let cells = loop {
            let mut samples = room.samples_count.max(1);
            let (cells, cost) = loop {
                let target = sample_target(&candidates, samples, room, budget_ns);
                let cells: Vec<PlannedCell> = candidates
                    .iter()
                    .map(|cell| planned(cell, samples, target))
                    .collect();
                let cost = whole_cost(&candidates, &cells);
                // One sample is enough if the run continues, because later processes add samples,
                // or if no case can be left out.
                let fewest = match most_expensive_case(&candidates, &cells) {
                    Some(_) if !room.goes_on => FEWEST_SAMPLES,
                    _ => 1,
                };
                if cost <= budget_ns || samples <= fewest {
                    break (cells, cost);
                }
                samples -= 1;
            };
            if cost <= budget_ns {
                break cells;
            }
            match most_expensive_case(&candidates, &cells) {
                Some((workload, parameters)) => {
                    let cost = case_cost(&candidates, &cells, workload, &parameters) / 1e9;
                    left_out.push(format!(
                        "{workload} with {}: it would take {cost:.0} s",
                        describe(&parameters)
                    ));
                    candidates
                        .retain(|cell| cell.workload != workload || cell.parameters != parameters);
                }
                None => break cells,
            }
        };
        let rounds: Vec<u64> = candidates.iter().map(|cell| cell.processes_count).collect();
        let blocks = order(&cells, &rounds, room.seed);
        Self {
            cells,
            blocks,
            left_out,
            precision_ratio: room.precision_ratio,
            goes_on: room.goes_on,
        }
    }

    /// The estimated time of the blocks from `first` on.
    #[must_use]
    pub fn estimate(&self, first: usize) -> Duration {
        let blocks = self.blocks.iter().skip(first);
        let cells = blocks.flat_map(|block| &block.cells);
        Duration::from_nanos(cells.map(|&cell| self.cells[cell].estimate_ns).sum())
    }

    /// The most fresh processes of a cell.
    #[must_use]
    pub fn processes_count(&self) -> u64 {
        self.blocks
            .iter()
            .map(|block| block.process_index + 1)
            .max()
            .unwrap_or(0)
    }

    /// The most samples of a process.
    #[must_use]
    pub fn samples_count(&self) -> u64 {
        self.cells
            .iter()
            .map(|cell| cell.samples_count)
            .max()
            .unwrap_or(0)
    }
}

/// Two builds of a lane, and a lane and its control, get samples of the same length. A difference
/// of length would look like a change.
fn equalise_costs(candidates: &mut [Candidate]) {
    let mut slowest: BTreeMap<(&str, String, Parameters), Cost> = BTreeMap::new();
    let key = |cell: &Candidate| {
        let lane = plain_name(&cell.lane).to_owned();
        (cell.workload, lane, cell.parameters.clone())
    };
    for cell in candidates.iter() {
        let cost = slowest.entry(key(cell)).or_insert(cell.cost);
        cost.process_ns = cost.process_ns.max(cell.cost.process_ns);
        cost.around_ns = cost.around_ns.max(cell.cost.around_ns);
        cost.iteration_ns = cost.iteration_ns.max(cell.cost.iteration_ns);
    }
    for cell in candidates {
        cell.cost = slowest.get(&key(cell)).copied().unwrap_or(cell.cost);
    }
}

/// The longest sample with which all cells fit into the budget. Only for cells whose iterations can
/// be chosen.
fn sample_target(candidates: &[Candidate], samples: u64, room: PlanLimits, budget_ns: f64) -> f64 {
    let samples = samples as f64;
    let mut fixed = 0.0;
    let mut free = 0.0;
    for cell in candidates {
        let processes = cell.processes_count as f64;
        fixed += processes * (cell.cost.process_ns + cell.cost.around_ns * samples);
        if has_adjustable_iterations(&cell.cost) {
            fixed += processes * USUAL_PIECES * cell.cost.around_ns;
            free += processes * (samples + USUAL_PIECES * WARM_UP);
        } else {
            fixed += processes * samples * cell.cost.iteration_ns * cell.cost.iterations.0 as f64;
        }
    }
    let target = (budget_ns - fixed) / f64::max(free, 1.0);
    target.clamp(SHORTEST_SAMPLE_NS, room.sample_target.as_nanos() as f64)
}

fn has_adjustable_iterations(cost: &Cost) -> bool {
    cost.iterations.0 < cost.iterations.1
}

fn planned(cell: &Candidate, samples: u64, target_ns: f64) -> PlannedCell {
    let samples = samples.min(cell.most_samples);
    let Cost {
        process_ns,
        around_ns,
        iteration_ns,
        iterations: (fewest, most),
    } = cell.cost;
    let wanted = (target_ns / iteration_ns.max(0.01)) as u64;
    let iterations = wanted.clamp(fewest, most);
    let sample_ns = iteration_ns * iterations as f64;
    let free = has_adjustable_iterations(&cell.cost);
    // If even the fewest iterations take long, the cell has fewer samples. It may use twice its
    // share of the time, to have more than one sample.
    let room = 2.0 * target_ns * samples as f64;
    let samples_count = match sample_ns <= 1.5 * target_ns {
        true => samples,
        false if free => ((room / sample_ns) as u64).clamp(1, samples),
        false => samples.min(1 + (room / sample_ns) as u64),
    };
    // If a sample cannot be divided, its warm-up would be a whole sample. Only a language that is
    // compiled at run time gets such a warm-up.
    let warm_up_iterations = match free && iterations > 1 {
        true => ((iterations as f64 * WARM_UP) as u64).max(1),
        false if cell.compiles_late && sample_ns <= LONGEST_WARM_UP_NS => iterations,
        false => 0,
    };
    let piece_ns = match warm_up_iterations {
        0 => 0.0,
        count => around_ns + iteration_ns * count as f64,
    };
    let warm_up_ns = USUAL_PIECES * piece_ns;
    let warm_up_most_ns = warm_up::most_ns(piece_ns, cell.compiles_late);
    let estimate_ns = process_ns + warm_up_ns + samples_count as f64 * (around_ns + sample_ns);
    PlannedCell {
        workload: cell.workload.to_owned(),
        lane: cell.lane.clone(),
        parameters: cell.parameters.clone(),
        control: cell.control,
        iterations,
        warm_up_iterations,
        warm_up_most_ns: warm_up_most_ns as u64,
        grows: cell.grows,
        samples_count,
        estimate_ns: estimate_ns as u64,
    }
}

fn whole_cost(candidates: &[Candidate], cells: &[PlannedCell]) -> f64 {
    let costs = candidates.iter().zip(cells);
    costs
        .map(|(cell, planned)| cell.processes_count as f64 * planned.estimate_ns as f64)
        .sum()
}

/// The cost of a case, in nanoseconds.
fn case_cost(
    candidates: &[Candidate],
    cells: &[PlannedCell],
    workload: &str,
    parameters: &Parameters,
) -> f64 {
    let pairs = candidates.iter().zip(cells);
    pairs
        .filter(|(cell, _)| cell.workload == workload && cell.parameters == *parameters)
        .map(|(cell, planned)| cell.processes_count as f64 * planned.estimate_ns as f64)
        .sum()
}

fn most_expensive_case(
    candidates: &[Candidate],
    cells: &[PlannedCell],
) -> Option<(&'static str, Parameters)> {
    let mut cases: BTreeMap<&'static str, BTreeSet<&Parameters>> = BTreeMap::new();
    for cell in candidates.iter().filter(|cell| !cell.is_of_sweep) {
        cases
            .entry(cell.workload)
            .or_default()
            .insert(&cell.parameters);
    }
    let mut spare: Vec<(&'static str, &Parameters)> = Vec::new();
    for (&workload, cases) in &cases {
        let all = cases.iter().copied();
        let spare_of_workload =
            all.filter(|case| is_spare(case, cases, |name| is_code(workload, name)));
        spare.extend(spare_of_workload.map(|case| (workload, case)));
    }
    let cost = |case: &(&'static str, &Parameters)| case_cost(candidates, cells, case.0, case.1);
    let most_expensive = spare.into_iter().max_by(|a, b| cost(a).total_cmp(&cost(b)));
    most_expensive.map(|(workload, parameters)| (workload, parameters.clone()))
}

/// Whether `case` may be left out of `cases`: the others still have each parameter's least and
/// largest value, and every number of workers. A *code* is a parameter that selects an alternative
/// (an atomic, a mutex, a channel). Each value of a code stays in the case whose other parameters
/// are largest, because the values are compared.
fn is_spare(
    case: &Parameters,
    cases: &BTreeSet<&Parameters>,
    is_code: impl Fn(&str) -> bool,
) -> bool {
    let values = |of: &str| -> Vec<u64> {
        let values = cases.iter().filter_map(|other| other.get(of));
        values.copied().collect()
    };
    let is_most = |name: &str, value: u64| values(name).into_iter().max() == Some(value);
    let is_end = |name: &str, value: u64| {
        is_most(name, value) || values(name).into_iter().min() == Some(value)
    };
    let has_codes = case.keys().any(|name| is_code(name));
    let mut parameters = case.iter();
    if has_codes && parameters.all(|(name, &value)| is_code(name) || is_most(name, value)) {
        return false;
    }
    // A workload keeps at least one case.
    cases.len() > 1
        && case.iter().all(|(name, &value)| {
            let must_stay = is_end(name, value) || name == "workers_count";
            !must_stay || values(name).iter().filter(|&&other| other == value).count() > 1
        })
}

fn is_code(workload: &str, parameter: &str) -> bool {
    let workload = workloads::catalogue::find(workload);
    workload.is_some_and(|workload| {
        let mut parameters = workload.parameters.iter();
        parameters.any(|one| one.name == parameter && one.is_code())
    })
}

fn describe(parameters: &Parameters) -> String {
    if parameters.is_empty() {
        return "no parameters".to_owned();
    }
    let words = parameters
        .iter()
        .map(|(name, &value)| reports::format::parameter(name, value).replace('\u{a0}', " "));
    words.collect::<Vec<_>>().join(", ")
}

/// The cell's name for the user: `spawn.batch on thread with 100 tasks`.
#[must_use]
pub fn cell_name(workload: &str, lane: &str, parameters: &Parameters) -> String {
    match parameters.is_empty() {
        true => format!("{workload} on {lane}"),
        false => format!("{workload} on {lane} with {}", describe(parameters)),
    }
}

/// Each round has, once and in random order, every workload with rounds left. A workload's cells
/// are in random order in an even round, and in the reverse order in the next. Two builds of a lane
/// are adjacent in each case: A B, then B A.
fn order(cells: &[PlannedCell], rounds: &[u64], seed: u64) -> Vec<PlannedBlock> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut of_workload: BTreeMap<&str, (u64, Vec<usize>)> = BTreeMap::new();
    for (at, cell) in cells.iter().enumerate() {
        let entry = of_workload.entry(&cell.workload).or_default();
        entry.0 = entry.0.max(rounds[at]);
        entry.1.push(at);
    }
    let most = of_workload
        .values()
        .map(|(rounds, _)| *rounds)
        .max()
        .unwrap_or(0);
    let mut blocks = Vec::new();
    for round in 0..most {
        let mut names: Vec<&str> = of_workload
            .iter()
            .filter(|(_, (rounds, _))| round < *rounds)
            .map(|(&name, _)| name)
            .collect();
        names.shuffle(&mut random);
        for name in names {
            let Some((_, order)) = of_workload.get_mut(name) else {
                continue;
            };
            if round % 2 == 0 {
                *order = shuffled(std::mem::take(order), cells, &mut random);
            } else {
                order.reverse();
            }
            blocks.push(PlannedBlock {
                index: blocks.len() as u64,
                process_index: round,
                workload: name.to_owned(),
                cells: order.clone(),
            });
        }
    }
    blocks
}

pub(super) fn shuffled(
    mut order: Vec<usize>,
    cells: &[PlannedCell],
    random: &mut StdRng,
) -> Vec<usize> {
    order.shuffle(random);
    put_builds_together(&mut order, cells);
    order
}

fn put_builds_together(order: &mut [usize], cells: &[PlannedCell]) {
    let is_twin = |a: &PlannedCell, b: &PlannedCell| {
        a.lane != b.lane
            && plain_name(&a.lane) == plain_name(&b.lane)
            && (a.control, &a.parameters) == (b.control, &b.parameters)
    };
    for at in 0..order.len() {
        let cell = &cells[order[at]];
        let mut later = order[at + 1..].iter();
        let twin = later.position(|&other| is_twin(cell, &cells[other]));
        if let Some(twin) = twin {
            order[at + 1..=at + 1 + twin].rotate_right(1);
        }
    }
}

/// A seed for a run.
#[must_use]
pub fn random_seed() -> u64 {
    // 53 bits are exact in every reader of JSON.
    rand::rng().random::<u64>() >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: f64 = 1e9;

    fn candidate(workload: &'static str, lane: &str, case: u64, iteration_ns: f64) -> Candidate {
        Candidate {
            workload,
            lane: lane.to_owned(),
            parameters: Parameters::from([("n_count".to_owned(), case)]),
            control: false,
            processes_count: 5,
            grows: true,
            compiles_late: false,
            most_samples: u64::MAX,
            is_of_sweep: false,
            cost: Cost {
                process_ns: 5e6,
                around_ns: 1e5,
                iteration_ns,
                iterations: (1, 1 << 30),
            },
        }
    }

    fn room(seconds: u64) -> PlanLimits {
        PlanLimits {
            budget: Duration::from_secs(seconds),
            samples_count: 5,
            sample_target: Duration::from_millis(100),
            seed: 7,
            precision_ratio: None,
            goes_on: false,
        }
    }

    fn eight_candidates() -> Vec<Candidate> {
        let lanes = ["a", "b", "c", "d"];
        let of = |workload| lanes.map(|lane| candidate(workload, lane, 1, 1e3));
        [of("spawn.one"), of("switch.yield")].concat()
    }

    #[test]
    fn plan_uses_most_of_its_budget_and_no_more() {
        for seconds in [1, 5, 10] {
            let plan = Plan::fit(eight_candidates(), room(seconds));
            let estimate = plan.estimate(0).as_secs_f64();
            assert!(estimate <= seconds as f64, "{estimate} s of {seconds} s");
            assert!(
                estimate > 0.8 * seconds as f64,
                "{estimate} s of {seconds} s"
            );
        }
    }

    #[test]
    fn samples_are_no_longer_than_the_target() {
        let plan = Plan::fit(eight_candidates(), room(10_000));
        assert!(
            plan.cells.iter().all(|cell| cell.iterations == 100_000),
            "{plan:?}"
        );
    }

    #[test]
    fn most_expensive_inner_case_is_left_out_first_and_the_least_and_largest_never() {
        let mut cells = eight_candidates();
        for (case, seconds) in [(0, 0.1), (1, 40.0), (2, 30.0), (3, 50.0)] {
            cells.push(candidate("switch.hog", "a", case, seconds * SECOND));
        }
        cells.push(candidate("io.sleepers", "a", 1, 60.0 * SECOND));
        let plan = Plan::fit(cells, room(5));
        let left_out: Vec<&str> = plan.left_out.iter().map(String::as_str).collect();
        assert_eq!(
            left_out,
            [
                "switch.hog with n 1: it would take 200 s",
                "switch.hog with n 2: it would take 150 s"
            ]
        );
        assert!(plan.cells.iter().any(|cell| cell.workload == "io.sleepers"));
    }

    #[test]
    fn every_number_of_workers_stays_and_one_of_two_equal_cases_is_spare() {
        let case = |workers, skew| {
            let named = |name: &str, value| (name.to_owned(), value);
            Parameters::from([named("workers_count", workers), named("skew", skew)])
        };
        let all: Vec<Parameters> = (1..=4)
            .flat_map(|workers| [case(workers, 0), case(workers, 1)])
            .collect();
        let cases: BTreeSet<&Parameters> = all.iter().collect();
        let spare =
            |case: &Parameters, cases: &BTreeSet<&Parameters>| is_spare(case, cases, |_| false);
        assert!(spare(&case(2, 1), &cases), "with skew 0 it is there");
        let fewer: BTreeSet<&Parameters> = all.iter().filter(|one| **one != case(2, 1)).collect();
        assert!(!spare(&case(2, 0), &fewer));
        let only = Parameters::new();
        assert!(!spare(&only, &BTreeSet::from([&only])));
    }

    #[test]
    fn all_codes_are_measured_at_the_largest_counts() {
        let mut cells = eight_candidates();
        for (tasks, means) in [(8, 0), (8, 1), (8, 2), (64, 0), (64, 1), (64, 2)] {
            let case = [("tasks_count", tasks), ("means", means)];
            cells.push(Candidate {
                parameters: case.map(|(name, value)| (name.to_owned(), value)).into(),
                ..candidate("share.counter", "a", 0, 40.0 * SECOND)
            });
        }
        let plan = Plan::fit(cells, room(5));
        let counters = plan
            .cells
            .iter()
            .filter(|cell| cell.workload == "share.counter");
        let cases: BTreeSet<(u64, u64)> = counters
            .map(|cell| (cell.parameters["tasks_count"], cell.parameters["means"]))
            .collect();
        assert!(
            cases.is_superset(&BTreeSet::from([(64, 0), (64, 1), (64, 2)])),
            "{cases:?}"
        );
        assert_eq!(cases.len(), 4, "and the least number of tasks: {cases:?}");
    }

    #[test]
    fn a_case_of_a_regression_stays_however_expensive() {
        let mut cells = eight_candidates();
        for case in 1..=5 {
            cells.push(Candidate {
                is_of_sweep: true,
                ..candidate("memory.parked", "a", case, 40.0 * SECOND)
            });
        }
        let plan = Plan::fit(cells, room(5));
        assert!(plan.left_out.is_empty(), "{:?}", plan.left_out);
    }

    #[test]
    fn every_cell_is_measured_once_in_each_round() {
        let plan = Plan::fit(eight_candidates(), room(5));
        assert_eq!(plan.blocks.len(), 2 * 5);
        for round in 0..5 {
            let mut cells: Vec<usize> = plan
                .blocks
                .iter()
                .filter(|block| block.process_index == round)
                .flat_map(|block| block.cells.clone())
                .collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..8).collect::<Vec<_>>());
        }
        assert!(
            plan.blocks
                .iter()
                .enumerate()
                .all(|(at, block)| block.index == at as u64)
        );
    }

    #[test]
    fn over_a_pair_of_rounds_no_cell_is_earlier_than_another() {
        let plan = Plan::fit(eight_candidates(), room(5));
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        for block in plan.blocks.iter().filter(|block| block.process_index < 4) {
            for (place, &cell) in block.cells.iter().enumerate() {
                *places.entry(cell).or_default() += place;
            }
        }
        let sums: Vec<usize> = places.into_values().collect();
        assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "{sums:?}");
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        let orders = |seed| Plan::fit(eight_candidates(), PlanLimits { seed, ..room(5) }).blocks;
        assert_eq!(orders(7), orders(7));
        assert_ne!(orders(7), orders(8));
    }

    #[test]
    fn a_fixed_cell_keeps_its_iterations() {
        let mut cell = candidate("memory.parked", "a", 1, 1e6);
        cell.cost.iterations = (3, 3);
        cell.most_samples = 1;
        let plan = Plan::fit(vec![cell], room(100));
        let cell = &plan.cells[0];
        assert_eq!(
            (cell.iterations, cell.warm_up_iterations, cell.samples_count),
            (3, 0, 1)
        );
    }

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let plan = Plan::fit(eight_candidates(), room(5));
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
