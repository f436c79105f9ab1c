//! The analysis of a run: figures, ratios, verdicts, ledgers, curves.
//!
//! [`Analysis::of`] does all the statistics of a run. The report, `threadbare show`, the gate and
//! the comparison present its results.

mod cells;
mod growth;
mod noise;
mod peers;
mod quantity;
mod row;
mod scaling;

use std::collections::BTreeMap;

use serde::Serialize;

pub use growth::{FEWEST_TASKS, Growth};
pub use noise::{Noise, NoisePair};
pub(crate) use peers::ratio_text;
pub use peers::{Ours, PeerRow, Peers, is_floor, is_ours};
use quantity::GAP;
pub(crate) use quantity::RATE;
pub use quantity::{HEADROOM, LEAST_HEADROOM, Quantity, Unit};
pub use row::{Absence, Case, Row, Standing};
pub use scaling::{Curve, CurvePoint};

use crate::run::Run;
use crate::schema::{Measure, Workload};
use crate::stats::bootstrap::{Ratio, Replicates, seed_for};
use crate::stats::difference::Difference;
use crate::stats::ledger::{Ledger, ledger};
use crate::stats::verdict::{Bound, Comparison, Verdict, verdicts};
use crate::stats::{DEFAULT_THRESHOLD_RATIO, FALSE_DISCOVERY_RATE_OF_LOOKS};
use cells::{Cell, cells};

/// The reference lane if the one in the design was not measured.
pub(crate) const FALLBACK_REFERENCE: &str = "thread";

/// A run's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// The figures by workload, quantity, case and lane, in the header's order.
    pub rows: Vec<Row>,
    /// The memory ledgers, for each lane and workload that measures memory.
    pub ledgers: Vec<LedgerRow>,
    /// Speed-up over workers, for workloads that measure it.
    pub curves: Vec<Curve>,
    /// Cost over the number of tasks, if enough counts were measured.
    pub growth: Vec<Growth>,
    /// The A/A pairs and their results.
    pub noise: Noise,
    /// The lane that others are compared with.
    pub reference_lane: String,
    /// The smallest effect of *faster* and *slower*, as a share.
    pub threshold_ratio: f64,
}

/// One lane's ledger.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerRow {
    /// The workload's id.
    pub workload: String,
    /// The lane's name.
    pub lane: String,
    /// The parameters apart from the task count.
    pub case: Case,
    /// Bytes for each task.
    pub ledger: Ledger,
}

impl Analysis {
    /// Does the statistics of `run`. The same run gives the same figures.
    #[must_use]
    pub fn of(run: &Run) -> Analysis {
        let (mut analysis, cells) = Analysis::of_quantities(run, |_, _| true);
        analysis.curves = scaling::curves(run, &cells);
        analysis.ledgers = ledgers(run);
        analysis.growth = growth::growth(run, &analysis.rows);
        analysis
    }

    /// The analysis with only the rows of the main figures and of the first screen, which is
    /// faster. The figures are those of [`Analysis::of`]. A verdict on a figure that is not a main
    /// one may differ, because fewer figures are judged together.
    #[must_use]
    pub fn of_main_figures(run: &Run) -> Analysis {
        let is_main = |workload: &Workload, quantity: &Quantity| {
            let screen = workload.first_screen.as_ref();
            let answering = screen.and_then(|screen| screen.quantity.as_deref());
            let id = quantity.id.as_str();
            quantity.rank == 0 || [HEADROOM, GAP].contains(&id) || answering == Some(id)
        };
        Analysis::of_quantities(run, is_main).0
    }

    fn of_quantities(
        run: &Run,
        has: impl Fn(&Workload, &Quantity) -> bool,
    ) -> (Analysis, Vec<Cell>) {
        let design = &run.header.design;
        let threshold_ratio = if design.threshold_ratio > 0.0 && design.threshold_ratio.is_finite()
        {
            design.threshold_ratio
        } else {
            DEFAULT_THRESHOLD_RATIO
        };
        let reference_lane = reference_lane(run);
        let cells = cells(run, has);
        let bound = Bound {
            threshold_ratio,
            noise_ratio: 0.0,
        };
        let noise = Noise::of(&cells, bound);
        let mut rows: Vec<Row> = cells.iter().map(Row::of).collect();
        compare(&mut rows, &cells, &noise, &reference_lane, bound);
        row::add_events(&mut rows, run);
        row::add_headroom(&mut rows);
        rows.extend(row::absences(run, &rows));
        row::sort(&mut rows, run);
        row::remove_unequal_comparisons(&mut rows);
        row::add_gaps(&mut rows);
        row::correct_rate_verdicts(&mut rows);
        let analysis = Analysis {
            ledgers: Vec::new(),
            curves: Vec::new(),
            growth: Vec::new(),
            rows,
            noise,
            reference_lane,
            threshold_ratio,
        };
        (analysis, cells)
    }

    pub(crate) fn bound(&self) -> Bound {
        Bound {
            threshold_ratio: self.threshold_ratio,
            noise_ratio: 0.0,
        }
    }

    /// Compares the first row of each pair with the second, of the same case, and judges all pairs
    /// together. A ratio below 1 means that the first row is better. `None` if there is no ratio.
    pub(crate) fn judge(&self, pairs: &[(&Row, &Row)]) -> Vec<Option<(Ratio, Verdict)>> {
        let ratios: Vec<Option<Ratio>> = pairs
            .iter()
            .map(|(row, other)| self.ratio(row, other))
            .collect();
        let page: Vec<Comparison> = ratios
            .iter()
            .flatten()
            .map(|ratio| Comparison::new(*ratio, self.bound()))
            .collect();
        let mut found = verdicts(&page, FALSE_DISCOVERY_RATE_OF_LOOKS).into_iter();
        let judged = ratios
            .into_iter()
            .zip(pairs)
            .map(|(ratio, (row, other))| Some((ratio?, row.corrected(other, found.next()?))));
        judged.collect()
    }

    /// `row` ÷ `other` of the same case; below 1 is better. The A/A pairs widen its spread.
    pub(crate) fn ratio(&self, row: &Row, other: &Row) -> Option<Ratio> {
        let inflation = self.noise.inflation(&row.workload, &row.quantity);
        let ratio = row.ratio_to(other)?.inflated(inflation);
        Some(row.quantity.as_cost(ratio))
    }

    /// How many comparisons of main figures have a verdict, and how many there are.
    #[must_use]
    pub fn decided(&self) -> (usize, usize) {
        let main = self.rows.iter().filter(|row| row.quantity.rank == 0);
        let all: Vec<Verdict> = main
            .filter_map(|row| Some(row.standing.as_ref()?.verdict))
            .collect();
        let decided = all.iter().filter(|verdict| verdict.is_decided()).count();
        (decided, all.len())
    }

    /// The rows of one workload.
    pub fn rows_of<'a>(&'a self, workload: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.workload == workload)
    }
}

/// The lane in the design if it was measured, else the thread lane, else the first lane.
fn reference_lane(run: &Run) -> String {
    let has = |name: &str| {
        run.groups
            .iter()
            .any(|group| !group.control && group.lane == name)
    };
    let design = run.header.design.reference_lane.as_str();
    [design, FALLBACK_REFERENCE]
        .into_iter()
        .find(|name| has(name))
        .or_else(|| {
            run.header
                .lanes
                .iter()
                .map(|lane| lane.name.as_str())
                .find(|name| has(name))
        })
        .unwrap_or(FALLBACK_REFERENCE)
        .to_owned()
}

/// Compares each row with the reference lane's row of the same case. The main figures are judged
/// together, and the other figures together.
fn compare(rows: &mut [Row], cells: &[Cell], noise: &Noise, reference_lane: &str, bound: Bound) {
    let references: BTreeMap<(&str, &Case, &Quantity), &Cell> = cells
        .iter()
        .filter(|cell| cell.lane == reference_lane && !cell.control)
        .map(|cell| ((cell.workload.as_str(), &cell.case, &cell.quantity), cell))
        .collect();
    for is_main in [true, false] {
        let mut page = Vec::new();
        let mut places = Vec::new();
        for (place, cell) in cells.iter().enumerate() {
            let is_excluded = (cell.quantity.rank == 0) != is_main || cell.quantity.is_of_load();
            if cell.control || cell.lane == reference_lane || is_excluded {
                continue;
            }
            let key = (cell.workload.as_str(), &cell.case, &cell.quantity);
            let Some(reference) = references.get(&key) else {
                continue;
            };
            let inflation = noise.inflation(&cell.workload, &cell.quantity);
            let sides = [&cell.replicates, &reference.replicates];
            let found = ratio_or_difference(cell.ratio_to(reference), sides, &cell.quantity);
            let Some((ratio, difference)) = found else {
                continue;
            };
            let ratio = ratio.inflated(inflation);
            let judged = difference.map_or(ratio, |difference| {
                difference.as_ratio().inflated(inflation)
            });
            let average = cell.average_to(reference);
            let average = average.map(|average| average.inflated(inflation));
            page.push(Comparison {
                ratio: cell.quantity.as_cost(judged),
                average: average.map(|average| cell.quantity.as_cost(average)),
                bound,
            });
            places.push((place, ratio, difference));
        }
        let found = verdicts(&page, FALSE_DISCOVERY_RATE_OF_LOOKS);
        for ((place, ratio, difference), verdict) in places.into_iter().zip(found) {
            rows[place].standing = Some(Standing {
                reference_lane: reference_lane.to_owned(),
                ratio,
                difference,
                verdict,
                bound,
            });
        }
    }
}

/// One figure against another: their ratio, or their difference if either may be zero, because the
/// ratio then has no interval.
pub(crate) fn ratio_or_difference(
    ratio: Option<Ratio>,
    [ours, theirs]: [&Replicates; 2],
    quantity: &Quantity,
) -> Option<(Ratio, Option<Difference>)> {
    if let Some(ratio) = ratio.filter(|ratio| ratio.interval.is_some()) {
        return Some((ratio, None));
    }
    let difference = ours
        .difference(theirs, quantity.least())
        .filter(|difference| difference.interval.is_some());
    let of_difference = difference.map(|difference| difference.as_ratio());
    Some((ratio.or(of_difference)?, difference))
}

fn ledgers(run: &Run) -> Vec<LedgerRow> {
    let mut found = Vec::new();
    let memory = |workload: &&Workload| workload.measures.contains(&Measure::Memory);
    for workload in run.header.workloads.iter().filter(memory) {
        let mut by_case: BTreeMap<Case, BTreeMap<&str, Vec<_>>> = BTreeMap::new();
        for group in &run.groups {
            if group.workload != workload.id || group.control {
                continue;
            }
            let case = Case::without(&group.parameters, cells::TASKS);
            let readings = by_case
                .entry(case)
                .or_default()
                .entry(&group.lane)
                .or_default();
            let memories = group.samples.iter().filter_map(|sample| sample.memory);
            readings.extend(memories.map(|memory| (group.process_index, memory)));
        }
        for (case, mut lanes) in by_case {
            for lane in &run.header.lanes {
                let Some(readings) = lanes.remove(lane.name.as_str()) else {
                    continue;
                };
                let name = format!("{} {} {case}", workload.id, lane.name);
                if let Some(ledger) = ledger(&readings, seed_for(run.header.seed, &name)) {
                    found.push(LedgerRow {
                        workload: workload.id.clone(),
                        lane: lane.name.clone(),
                        case: case.clone(),
                        ledger,
                    });
                }
            }
        }
    }
    found
}
