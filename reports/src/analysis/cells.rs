//! The samples of one lane on one case, as one figure with its resamples.

use std::collections::{BTreeMap, HashMap};

use super::quantity::{Quantity, Source};
use super::row::Case;
use crate::run::Run;
use crate::schema::{Group, Parameters, Workload};
use crate::stats::bootstrap::{Ratio, Replicates, Tree, process_median, seed_for};
use crate::stats::ledger::process_medians;
use crate::stats::quantile::{median, outliers};
use crate::stats::regression::line;
use crate::stats::shift::{self, Design, averages, sides};

/// Memory of several counts of tasks is a slope over this parameter.
pub(crate) const TASKS: &str = "tasks_count";

#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) workload: String,
    pub(crate) case: Case,
    pub(crate) quantity: Quantity,
    pub(crate) lane: String,
    pub(crate) control: bool,
    pub(crate) replicates: Replicates,
    /// The figure of each process; empty for memory.
    pub(crate) processes: BTreeMap<u64, f64>,
    pub(crate) processes_count: usize,
    pub(crate) samples_count: usize,
    pub(crate) outliers_count: usize,
    /// The mean over processes of the mean of their samples; `None` for memory.
    pub(crate) mean: Option<f64>,
    /// CPU time of one operation: the median over the samples.
    pub(crate) cpu_ns: Option<f64>,
    /// Voluntary and involuntary context switches of one operation: the medians over the samples.
    pub(crate) switches: Option<(f64, f64)>,
}

impl Cell {
    /// This figure ÷ `other` of the same run: the shift between their processes, paired by round if
    /// possible. For slopes, the ratio of their resamples. `None` if the ratio is not above zero.
    pub(crate) fn ratio_to(&self, other: &Cell) -> Option<Ratio> {
        let by_shift = between(&self.processes, &other.processes);
        let ratio = by_shift.unwrap_or_else(|| self.replicates.ratio(&other.replicates));
        (ratio.value.is_finite() && ratio.value > 0.0).then_some(ratio)
    }

    pub(crate) fn average_to(&self, other: &Cell) -> Option<Ratio> {
        let (ours, theirs) = sides(&self.processes, &other.processes, Design::Paired);
        averages(&ours, &theirs, Design::Paired)
    }
}

/// The shift between the processes of two cells of one run: paired by round, or unpaired if too
/// few pairs are complete.
pub(crate) fn between(ours: &BTreeMap<u64, f64>, theirs: &BTreeMap<u64, f64>) -> Option<Ratio> {
    let by = |design| shift::between(ours, theirs, design);
    by(Design::Paired).or_else(|| by(Design::Apart))
}

/// The cells, in the order of the header.
pub(crate) fn cells(run: &Run, has: impl Fn(&Workload, &Quantity) -> bool) -> Vec<Cell> {
    let mut groups: HashMap<(&str, &str, bool), BTreeMap<Parameters, Vec<&Group>>> = HashMap::new();
    for group in &run.groups {
        groups
            .entry((&group.workload, &group.lane, group.control))
            .or_default()
            .entry(group.parameters.clone())
            .or_default()
            .push(group);
    }
    let mut found = Vec::new();
    for workload in &run.header.workloads {
        let mut quantities = Quantity::all_of(workload);
        quantities.retain(|quantity| has(workload, quantity));
        for quantity in quantities {
            for lane in &run.header.lanes {
                for control in [false, true] {
                    let key = (workload.id.as_str(), lane.name.as_str(), control);
                    let Some(by_parameters) = groups.get(&key) else {
                        continue;
                    };
                    for (case, members) in by_case(by_parameters, &quantity) {
                        let name = format!(
                            "{} {} {case} {} {control}",
                            workload.id, lane.name, quantity.id
                        );
                        let seed = seed_for(run.header.seed, &name);
                        found.extend(cell(&members, &case, &quantity, seed).map(|cell| Cell {
                            workload: workload.id.clone(),
                            lane: lane.name.clone(),
                            control,
                            ..cell
                        }));
                    }
                }
            }
        }
    }
    found
}

/// Memory is a slope over the task count, so all task counts are one case. Every other quantity has
/// a case for each set of parameters.
fn by_case<'a>(
    by_parameters: &BTreeMap<Parameters, Vec<&'a Group>>,
    quantity: &Quantity,
) -> BTreeMap<Case, Vec<&'a Group>> {
    let mut cases: BTreeMap<Case, Vec<&Group>> = BTreeMap::new();
    for (parameters, groups) in by_parameters {
        let case = match quantity.source {
            Source::Memory => Case::without(parameters, TASKS),
            _ => Case::of(parameters),
        };
        cases.entry(case).or_default().extend(groups);
    }
    cases
}

fn cell(groups: &[&Group], case: &Case, quantity: &Quantity, seed: u64) -> Option<Cell> {
    let mut tree: BTreeMap<u64, BTreeMap<u64, Vec<f64>>> = BTreeMap::new();
    let mut values = Vec::new();
    let (mut cpu, mut voluntary, mut involuntary) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        for sample in &group.samples {
            let Some(value) = quantity.value(sample) else {
                continue;
            };
            values.push(value);
            tree.entry(group.process_index)
                .or_default()
                .entry(group.block_index)
                .or_default()
                .push(value);
            let operations = sample.operations_count as f64;
            cpu.push(sample.cpu_ns as f64 / operations);
            voluntary.push(sample.voluntary_switches_count as f64 / operations);
            involuntary.push(sample.involuntary_switches_count as f64 / operations);
        }
    }
    let processes_count = tree.len();
    let mean = (quantity.source != Source::Memory).then(|| {
        let of_process = |blocks: &BTreeMap<u64, Vec<f64>>| mean(blocks.values().flatten());
        let means: Vec<f64> = tree.values().map(of_process).collect();
        mean(means.iter())
    });
    let mut processes = BTreeMap::new();
    let replicates = if quantity.source == Source::Memory {
        slope(groups, seed)
    } else {
        let (indices, tree): (Vec<u64>, Tree) = tree
            .into_iter()
            .map(|(process, blocks)| (process, blocks.into_values().collect()))
            .unzip();
        let figures = tree.iter().map(|blocks| process_median(blocks));
        let figures = indices.into_iter().zip(figures);
        processes.extend(figures.filter_map(|(process, figure)| Some((process, figure?))));
        Replicates::of_median(&tree, seed)
    }?;
    Some(Cell {
        workload: String::new(),
        case: case.clone(),
        quantity: quantity.clone(),
        lane: String::new(),
        control: false,
        replicates,
        processes,
        processes_count,
        samples_count: values.len(),
        outliers_count: outliers(&values).len(),
        mean,
        cpu_ns: median(&cpu).filter(|value| *value > 0.0),
        switches: median(&voluntary).zip(median(&involuntary)),
    })
}

fn mean<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

/// Bytes per task: by regression, or by division if there is only one task count.
fn slope(groups: &[&Group], seed: u64) -> Option<Replicates> {
    let readings = || {
        groups.iter().flat_map(|group| {
            let memories = group
                .samples
                .iter()
                .filter_map(|sample| sample.memory.as_ref());
            memories
                .filter(|memory| memory.tasks_count > 0)
                .map(|memory| {
                    (
                        group.process_index,
                        memory.tasks_count,
                        memory.sum_bytes() as f64,
                    )
                })
        })
    };
    let points = process_medians(readings());
    if let Some(line) = line(&points, seed) {
        // A line has one degree of freedom fewer than a median.
        let count = points.len() - 1;
        return Some(Replicates::drawn(
            line.slope.value,
            line.resampled,
            count,
            seed,
        ));
    }
    let mut tree: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (process, tasks, bytes) in readings() {
        tree.entry(process).or_default().push(bytes / tasks as f64);
    }
    let tree: Tree = tree.into_values().map(|values| vec![values]).collect();
    Replicates::of_median(&tree, seed)
}
