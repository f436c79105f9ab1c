//! How the cost of an operation grows with the number of tasks.
//!
//! The total cost of `n` tasks is modelled as c·nᵇ, by least squares on logarithmic axes. The same
//! fit to every resample gives the interval of b. Fixed costs hide the growth with few tasks, so
//! the fit begins at [`FEWEST_TASKS`].

use std::collections::BTreeMap;

use serde::Serialize;

use super::Row;
use super::cells::TASKS;
use super::quantity::{Quantity, Source};
use super::row::Case;
use crate::run::Run;
use crate::schema::Workload;
use crate::stats::bootstrap::{Estimate, Replicates, Tree, seed_for};

/// The fit uses the points with at least this many tasks.
pub const FEWEST_TASKS: u64 = 100;

const COUNTS: [&str; 4] = [
    TASKS,
    "leaves_count",
    "producers_count",
    "connections_count",
];

const FEWEST_POINTS: usize = 3;

/// Metric of workloads whose tasks sleep: the total time beyond the sleep.
const OVER: &str = "over_ns";

/// Growth is worse than linear if the interval of the exponent is above this.
const WORSE: f64 = 1.05;

/// One lane's cost of an operation over the number of tasks.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// The workload's id.
    pub workload: String,
    /// The other parameters.
    pub case: Case,
    /// The quantity of the curve.
    pub quantity: Quantity,
    /// The lane.
    pub lane: String,
    /// The cost of one operation at each number of tasks.
    pub points: Vec<(u64, Estimate)>,
    /// The exponent of the total cost: 1 is linear; `None` with too few points.
    pub exponent: Option<Estimate>,
}

impl Growth {
    /// True if the total cost grows significantly faster than the number of tasks.
    #[must_use]
    pub fn is_worse_than_linear(&self) -> bool {
        let interval = self.exponent.and_then(|exponent| exponent.interval);
        interval.is_some_and(|interval| interval.low > WORSE)
    }

    /// The cost of an operation at the largest number of tasks ÷ the cost at the fit's first point.
    #[must_use]
    pub fn factor(&self) -> Option<f64> {
        let mut fitted = self.points.iter().filter(|(n, _)| *n >= FEWEST_TASKS);
        let (first, last) = (fitted.next()?, fitted.next_back()?);
        Some(last.1.value / first.1.value)
    }
}

/// The curves with [`FEWEST_POINTS`] task counts or more, of which the largest is at least 100
/// times the smallest.
pub(super) fn growth(run: &Run, rows: &[Row]) -> Vec<Growth> {
    let mut found = Vec::new();
    for workload in &run.header.workloads {
        let Some(quantity) = curve_quantity(workload) else {
            continue;
        };
        let mut curves: BTreeMap<(Case, usize), Vec<(u64, Replicates)>> = BTreeMap::new();
        for (lane_index, lane) in run.header.lanes.iter().enumerate() {
            for (parameters, mut replicates) in figures(run, rows, workload, &lane.name, &quantity)
            {
                let Some((count, tasks)) = tasks_of(&parameters) else {
                    continue;
                };
                if quantity.id == OVER {
                    // The figure is the time of all tasks together.
                    replicates = replicates.in_units_of(tasks as f64);
                }
                let case = Case::without(&parameters.0, count);
                curves
                    .entry((case, lane_index))
                    .or_default()
                    .push((tasks, replicates));
            }
        }
        for ((case, lane_index), mut points) in curves {
            points.sort_by_key(|point| point.0);
            if points.len() < FEWEST_POINTS
                || points.first().map(|one| one.0 * 100) > points.last().map(|one| one.0)
            {
                continue;
            }
            found.push(Growth {
                workload: workload.id.clone(),
                case,
                quantity: quantity.clone(),
                lane: run.header.lanes[lane_index].name.clone(),
                exponent: exponent(&points),
                points: points
                    .iter()
                    .map(|(tasks, replicates)| (*tasks, replicates.estimate()))
                    .collect(),
            });
        }
    }
    found
}

fn tasks_of(case: &Case) -> Option<(&'static str, u64)> {
    let of = |count| Some((count, *case.0.get(count)?));
    COUNTS.into_iter().find_map(of).filter(|found| found.1 > 0)
}

/// The quantity of the curve: if tasks sleep, the time beyond the sleep; otherwise the first
/// quantity other than latency, which grows because clients wait for each other.
fn curve_quantity(workload: &Workload) -> Option<Quantity> {
    let all = Quantity::all_of(workload);
    if let Some(over) = all.iter().find(|quantity| quantity.id == OVER) {
        return Some(Quantity {
            title: "time beyond the sleep, for each task".to_owned(),
            ..over.clone()
        });
    }
    all.into_iter()
        .find(|quantity| !matches!(quantity.source, Source::Latency(_)))
}

/// Memory has one row for all task counts, so its figure for each count is computed here.
fn figures(
    run: &Run,
    rows: &[Row],
    workload: &Workload,
    lane: &str,
    quantity: &Quantity,
) -> Vec<(Case, Replicates)> {
    if quantity.source != Source::Memory {
        return rows
            .iter()
            .filter(|row| row.workload == workload.id && row.lane == lane)
            .filter(|row| row.quantity.id == quantity.id)
            .filter_map(|row| Some((row.case.clone(), row.replicates.clone()?)))
            .collect();
    }
    let mut trees: BTreeMap<Case, BTreeMap<u64, Vec<f64>>> = BTreeMap::new();
    for group in &run.groups {
        if group.workload == workload.id && group.lane == lane && !group.control {
            let values = group.samples.iter().filter_map(|one| quantity.value(one));
            trees
                .entry(Case::of(&group.parameters))
                .or_default()
                .entry(group.process_index)
                .or_default()
                .extend(values);
        }
    }
    let replicates = |case: &Case, tree: BTreeMap<u64, Vec<f64>>| {
        let tree: Tree = tree.into_values().map(|values| vec![values]).collect();
        let name = format!("growth {} {lane} {case}", workload.id);
        Replicates::of_median(&tree, seed_for(run.header.seed, &name))
    };
    trees
        .into_iter()
        .filter_map(|(case, tree)| replicates(&case, tree).map(|found| (case, found)))
        .collect()
}

fn exponent(points: &[(u64, Replicates)]) -> Option<Estimate> {
    let fitted: Vec<&(u64, Replicates)> = points
        .iter()
        .filter(|(tasks, _)| *tasks >= FEWEST_TASKS)
        .collect();
    if fitted.len() < FEWEST_POINTS {
        return None;
    }
    let slope = |costs: &dyn Fn(&Replicates) -> Option<f64>| {
        let logs: Option<Vec<(f64, f64)>> = fitted
            .iter()
            .map(|(tasks, replicates)| {
                let cost = costs(replicates).filter(|cost| *cost > 0.0)?;
                Some(((*tasks as f64).ln(), cost.ln()))
            })
            .collect();
        Some(1.0 + least_squares(&logs?))
    };
    let value = slope(&|replicates| Some(replicates.value))?;
    let resamples = fitted.iter().map(|(_, one)| one.resampled().len()).min()?;
    let resampled: Option<Vec<f64>> = (0..resamples)
        .map(|at| slope(&|replicates| replicates.resampled().get(at).copied()))
        .collect();
    let fewest = fitted.iter().map(|(_, one)| one.processes_count).min()?;
    let interval =
        resampled.and_then(|resampled| Replicates::drawn(value, resampled, fewest, 0).interval());
    Some(Estimate { value, interval })
}

fn least_squares(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let above: f64 = points
        .iter()
        .map(|point| (point.0 - mean_x) * (point.1 - mean_y))
        .sum();
    let below: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(cost: impl Fn(f64) -> f64) -> Estimate {
        let points: Vec<(u64, Replicates)> = [1u64, 10, 100, 1_000, 10_000, 100_000]
            .into_iter()
            .map(|tasks| {
                let value = cost(tasks as f64);
                let resampled = (0..100)
                    .map(|at| value * (1.0 + 0.001 * f64::from(at % 7)))
                    .collect();
                (tasks, Replicates::drawn(value, resampled, 5, tasks))
            })
            .collect();
        exponent(&points).unwrap()
    }

    #[test]
    fn level_cost_of_an_operation_is_linear_growth() {
        let exponent = curve(|_| 80.0);
        assert!((exponent.value - 1.0).abs() < 1e-9, "{exponent:?}");
    }

    #[test]
    fn cost_that_grows_with_the_tasks_is_quadratic() {
        let exponent = curve(|tasks| 3.0 * tasks);
        assert!((exponent.value - 2.0).abs() < 1e-9, "{exponent:?}");
        assert!(exponent.interval.unwrap().low > 1.9);
    }

    #[test]
    fn fixed_costs_of_few_tasks_do_not_hide_growth() {
        let exponent = curve(|tasks| 1e6 / tasks.powi(3) + tasks.sqrt());
        assert!((exponent.value - 1.5).abs() < 0.1, "{exponent:?}");
    }
}
