//! Speed-up over workers, lane by lane.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cells::Cell;
use super::row::Case;
use crate::run::Run;
use crate::schema::Measure;
use crate::stats::bootstrap::Estimate;
use crate::stats::curve::{Fit, Law, Point, fit};

/// The parameter that counts workers where a workload names no axis.
const WORKERS: &str = "workers_count";

/// The cells of one lane by worker count.
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
    /// The points by rising worker count.
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
    /// The time with the fewest workers of this lane over this time.
    pub speedup: Estimate,
}

/// The curves of all workloads that measure scaling.
pub(super) fn curves(run: &Run, cells: &[Cell]) -> Vec<Curve> {
    let mut found = Vec::new();
    for workload in &run.header.workloads {
        if !workload.measures.contains(&Measure::Scaling) {
            continue;
        }
        let axis = workload.axis.as_deref().unwrap_or(WORKERS);
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
                found.push(curve(&workload.id, case.clone(), &lane.name, cells));
            }
        }
    }
    found
}

fn curve(workload: &str, case: Case, lane: &str, mut cells: Points<'_>) -> Curve {
    cells.sort_by_key(|(workers, _)| *workers);
    let first = cells.first().map(|(workers, cell)| (*workers, *cell));
    let points = cells
        .iter()
        .filter_map(|(workers, cell)| {
            let (least, base) = first?;
            let ratio = base.replicates.ratio(&cell.replicates);
            // One worker against itself is 1 by definition, without spread.
            let interval = if *workers == least {
                None
            } else {
                ratio.interval
            };
            Some(CurvePoint {
                workers: *workers,
                time_ns: cell.replicates.estimate(),
                speedup: Estimate {
                    value: ratio.value * least as f64,
                    interval: interval.map(|interval| crate::stats::Interval {
                        low: interval.low * least as f64,
                        high: interval.high * least as f64,
                    }),
                },
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
    let fitted = |law| fit(law, &measured).map_err(|reason| reason.to_string());
    Curve {
        workload: workload.to_owned(),
        case,
        lane: lane.to_owned(),
        points,
        amdahl: fitted(Law::Amdahl),
        usl: fitted(Law::Usl),
    }
}
