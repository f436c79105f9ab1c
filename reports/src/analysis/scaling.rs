//! Speed-up over workers, lane by lane.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cells::Cell;
use super::row::Case;
use crate::run::Run;
use crate::schema::Measure;
use crate::stats::bootstrap::{Estimate, Interval};
use crate::stats::curve::{Fit, Law, Point, fit};

/// The axis of a workload that names none.
const WORKERS: &str = "workers_count";

type Points<'a> = Vec<(u64, &'a Cell)>;

/// One lane's curve.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// The workload's id.
    pub workload: String,
    /// The parameters apart from the workers.
    pub case: Case,
    /// The lane's name.
    pub lane: String,
    /// True if the work grows with the workers (weak scaling).
    pub is_weak: bool,
    /// The points in ascending order of workers.
    pub points: Vec<CurvePoint>,
    /// Amdahl's law, or why there is no fit.
    pub amdahl: Result<Fit, String>,
    /// The universal scalability law, or why there is no fit.
    pub usl: Result<Fit, String>,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CurvePoint {
    /// How many workers.
    pub workers: u64,
    /// The time of one operation.
    pub time_ns: Estimate,
    /// The work per second ÷ that of one worker. If n is the lane's fewest workers, their speed-up
    /// is assumed to be n.
    pub speedup: Estimate,
    /// The speed-up ÷ the workers: 1 is ideal.
    pub efficiency: Estimate,
}

pub(super) fn curves(run: &Run, cells: &[Cell]) -> Vec<Curve> {
    let mut found = Vec::new();
    for workload in &run.header.workloads {
        let axis = workload.axis.as_deref().unwrap_or(WORKERS);
        let work = if workload.measures.contains(&Measure::Efficiency) {
            Work::GrowsInOperations
        } else if !workload.measures.contains(&Measure::Scaling) {
            continue;
        } else if work_grows(run, &workload.id, axis) {
            Work::IsMoreOperations
        } else {
            Work::Stays
        };
        let mut by_case: BTreeMap<Case, BTreeMap<&str, Points<'_>>> = BTreeMap::new();
        for cell in cells {
            let is_time = cell.quantity.id == "time";
            if cell.workload != workload.id || cell.control || !is_time {
                continue;
            }
            let Some(&workers) = cell.case.0.get(axis).filter(|workers| **workers > 0) else {
                continue;
            };
            by_case
                .entry(Case::without(&cell.case.0, axis))
                .or_default()
                .entry(&cell.lane)
                .or_default()
                .push((workers, cell));
        }
        for (case, mut lanes) in by_case {
            for lane in &run.header.lanes {
                let Some(cells) = lanes.remove(lane.name.as_str()) else {
                    continue;
                };
                found.push(curve(&workload.id, case.clone(), &lane.name, work, cells));
            }
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// The same work, divided (strong scaling).
    Stays,
    /// The operations grow with the workers (weak scaling).
    IsMoreOperations,
    /// Each operation grows with the workers, if the workload is defined so (weak scaling).
    GrowsInOperations,
}

/// Whether the operations of an iteration grow with the workers, by the samples.
fn work_grows(run: &Run, workload: &str, axis: &str) -> bool {
    let mut each: BTreeMap<u64, f64> = BTreeMap::new();
    for group in run.groups.iter().filter(|group| group.workload == workload) {
        let workers = group.parameters.get(axis).copied().unwrap_or(0);
        if let Some(sample) = group.samples.first().filter(|_| workers > 0) {
            let operations = sample.operations_count as f64 / group.iterations.max(1) as f64;
            each.insert(workers, operations / workers as f64);
        }
    }
    // With weak scaling, the work of a worker is the same at every count.
    let mut shares = each.values();
    let first = shares.next().copied().unwrap_or(0.0);
    each.len() > 1 && first > 0.0 && shares.all(|share| (share / first - 1.0).abs() < 0.01)
}

fn curve(workload: &str, case: Case, lane: &str, work: Work, mut cells: Points<'_>) -> Curve {
    cells.sort_by_key(|(workers, _)| *workers);
    let first = cells.first().map(|(workers, cell)| (*workers, *cell));
    let points = cells
        .iter()
        .filter_map(|(workers, cell)| {
            let (least, base) = first?;
            let ratio = base.replicates.ratio(&cell.replicates);
            let interval = if *workers == least {
                None
            } else {
                ratio.interval
            };
            let scaled = |factor: f64| Estimate {
                value: ratio.value * factor,
                interval: interval.map(|interval| Interval {
                    low: interval.low * factor,
                    high: interval.high * factor,
                }),
            };
            let count = *workers as f64;
            let times = match work {
                Work::Stays | Work::IsMoreOperations => least as f64,
                Work::GrowsInOperations => count,
            };
            Some(CurvePoint {
                workers: *workers,
                time_ns: cell.replicates.estimate(),
                speedup: scaled(times),
                efficiency: scaled(times / count),
            })
        })
        .collect();
    let measured: Vec<Point> = cells
        .iter()
        .map(|(workers, cell)| Point {
            workers: *workers,
            time: cell.replicates.clone(),
        })
        .collect();
    let is_weak = work != Work::Stays;
    let fitted = |law| {
        match is_weak {
        true => Err(
            "none, because they are for a fixed amount of work and here the work grows with the workers"
                .to_owned(),
        ),
        false => fit(law, &measured).map_err(|reason| reason.to_string()),
    }
    };
    Curve {
        workload: workload.to_owned(),
        case,
        lane: lane.to_owned(),
        is_weak,
        points,
        amdahl: fitted(Law::Amdahl),
        usl: fitted(Law::Usl),
    }
}
