//! When enough is known of a cell: what a run with a precision goes on for.
//!
//! The cells of one lane at one point are a *unit*: the lane, its control, and
//! the same lane of the other build. They are asked together, so that their
//! processes stay pairs.
//!
//! 1. Every unit has [`FEWEST_ROUNDS`].
//! 2. A unit is *settled* when the interval of each of its comparisons is as
//!    narrow as was asked for. Only the width decides, never where the interval
//!    lies: to stop on a verdict would find too many.
//! 3. Units that are not settled share the time alike, not the rounds: a process
//!    that takes a second must not take the time of thirty that take as long
//!    together.
//!
//! `reports/METHOD.md` has what stopping by the width does to the intervals.

use std::collections::BTreeMap;

use reports::run::{is_base, plain_name};
use reports::stats::quantile::median;
use reports::stats::shift::{self, Design};
use workloads::protocol::Parameters;

use super::plan::{Plan, PlannedBlock, PlannedCell};

/// Rounds that every cell has, before a narrow interval may be believed.
pub(super) const FEWEST_ROUNDS: u64 = 10;
/// The most rounds of any cell.
pub(super) const MOST_ROUNDS: u64 = 200;
/// A unit is judged once in so many of its rounds: to ask every time is to wait
/// for the luckiest interval.
const ROUNDS_BETWEEN: u64 = 2;
/// By what factor the time of each unit grows, when all have used theirs up.
const STEP: f64 = 1.25;

/// What is known of the cells of a run that goes on until enough is known.
#[derive(Debug)]
pub(super) struct Precision {
    goal_ratio: f64,
    units: Vec<Unit>,
    /// The unit of each cell.
    unit_of: Vec<usize>,
    /// What each unit may have taken, by the plan, before the others have.
    allowance_ns: f64,
}

#[derive(Debug, Default)]
struct Unit {
    /// The figure of each process, by its round, of each cell by its place.
    figures: BTreeMap<usize, BTreeMap<u64, f64>>,
    spent_ns: f64,
    settled: bool,
}

impl Unit {
    /// The rounds that any of its cells has.
    fn rounds(&self) -> u64 {
        let counts = self.figures.values().map(BTreeMap::len);
        counts.max().unwrap_or(0) as u64
    }

    fn settle(&mut self, plan: &Plan, goal: f64) {
        self.settled = self.settled || is_settled(self, plan, goal);
    }
}

impl Precision {
    /// `None` where the plan asks for none.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let goal_ratio = plan.precision_ratio?;
        let mut places: BTreeMap<(&str, &str, &Parameters), usize> = BTreeMap::new();
        let mut units = Vec::new();
        let mut unit_of = Vec::new();
        for (at, cell) in plan.cells.iter().enumerate() {
            let key = (
                cell.workload.as_str(),
                plain_name(&cell.lane),
                &cell.parameters,
            );
            let unit = *places.entry(key).or_insert_with(|| {
                units.push(Unit::default());
                units.len() - 1
            });
            units[unit].figures.insert(at, BTreeMap::new());
            unit_of.push(unit);
        }
        Some(Self {
            goal_ratio,
            units,
            unit_of,
            allowance_ns: 0.0,
        })
    }

    /// The cells of `block` that are to be asked, in its order.
    pub(super) fn wanted(&self, block: &PlannedBlock) -> Vec<usize> {
        let is_wanted = |cell: &usize| {
            let unit = &self.units[self.unit_of[*cell]];
            block.process_index < FEWEST_ROUNDS
                || (!unit.settled && unit.spent_ns <= self.allowance_ns)
        };
        block.cells.iter().copied().filter(is_wanted).collect()
    }

    /// Takes in what a process of the cell at this place measured, by sample.
    pub(super) fn add(&mut self, at: usize, cell: &PlannedCell, round: u64, samples: &[f64]) {
        let unit = &mut self.units[self.unit_of[at]];
        unit.spent_ns += cell.estimate_ns as f64;
        if let Some(figure) = median(samples) {
            unit.figures.entry(at).or_default().insert(round, figure);
        }
    }

    /// Judges the units of a block that is complete.
    pub(super) fn judge(&mut self, plan: &Plan, block: &PlannedBlock) {
        for &at in &block.cells {
            let unit = &mut self.units[self.unit_of[at]];
            let rounds = unit.rounds();
            if rounds >= FEWEST_ROUNDS && rounds.is_multiple_of(ROUNDS_BETWEEN) {
                unit.settle(plan, self.goal_ratio);
            }
        }
        if block.process_index + 1 >= FEWEST_ROUNDS {
            self.allow_more();
        }
    }

    /// Judges all units by what an earlier start of the run has measured.
    pub(super) fn judge_all(&mut self, plan: &Plan) {
        for unit in &mut self.units {
            if unit.rounds() >= FEWEST_ROUNDS {
                unit.settle(plan, self.goal_ratio);
            }
        }
        self.allow_more();
    }

    /// Gives the units that are not settled more time, when each has used up its
    /// own.
    fn allow_more(&mut self) {
        let open = self.units.iter().filter(|unit| !unit.settled);
        let least = open.map(|unit| unit.spent_ns).reduce(f64::min);
        if let Some(least) = least.filter(|least| *least > self.allowance_ns) {
            self.allowance_ns = least * STEP;
        }
    }

    /// How many units are not settled, of all.
    pub(super) fn open_count(&self) -> (usize, usize) {
        let open = self.units.iter().filter(|unit| !unit.settled).count();
        (open, self.units.len())
    }
}

/// Whether each comparison that a reader will make is as narrow as `goal`: with
/// the other build, and with the control; for a lane alone, with a second run
/// like this one.
fn is_settled(unit: &Unit, plan: &Plan, goal: f64) -> bool {
    let find = |base: bool, control: bool| {
        let mut cells = unit.figures.iter();
        cells.find_map(|(at, figures)| {
            let cell = &plan.cells[*at];
            ((is_base(&cell.lane), cell.control) == (base, control)).then_some(figures)
        })
    };
    let Some(own) = find(false, false) else {
        return true;
    };
    let others: Vec<_> = [find(true, false), find(false, true)]
        .into_iter()
        .flatten()
        .collect();
    let has_base = find(true, false).is_some();
    let mut widths = Vec::new();
    for other in others {
        let ratio = shift::between(own, other, Design::Paired);
        widths.push(ratio.as_ref().and_then(shift::half_width));
    }
    if !has_base {
        let own: Vec<f64> = own.values().copied().collect();
        widths.push(shift::resolution(&own));
    }
    // A cell that fails, or whose figures may be nothing, will not improve.
    widths
        .into_iter()
        .all(|width| width.is_none_or(|width| width <= goal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let cell = |lane: &str, control| PlannedCell {
            workload: "spawn.one".to_owned(),
            lane: lane.to_owned(),
            control,
            estimate_ns: 1_000_000,
            ..PlannedCell::default()
        };
        Plan {
            cells: vec![
                cell("goroutine", false),
                cell("goroutine@base", false),
                cell("goroutine", true),
                cell("thread", false),
            ],
            precision_ratio: Some(0.04),
            ..Plan::default()
        }
    }

    fn block(round: u64) -> PlannedBlock {
        PlannedBlock {
            process_index: round,
            workload: "spawn.one".to_owned(),
            cells: vec![0, 1, 2, 3],
            ..PlannedBlock::default()
        }
    }

    /// Goes through `rounds`; how often each cell was asked.
    fn asked(rounds: u64, figure: impl Fn(usize, u64) -> f64) -> [u64; 4] {
        let plan = plan();
        let mut precision = Precision::of(&plan).unwrap();
        let mut counts = [0; 4];
        for round in 0..rounds {
            let block = block(round);
            for at in precision.wanted(&block) {
                counts[at] += 1;
                precision.add(at, &plan.cells[at], round, &[figure(at, round)]);
            }
            precision.judge(&plan, &block);
        }
        counts
    }

    #[test]
    fn a_steady_cell_has_the_fewest_rounds_and_a_wild_one_goes_on() {
        let steady = |round: u64| 100.0 + (round % 7) as f64 * 0.1;
        let wild = |at: usize, round: u64| 100.0 + ((round * 37 + at as u64 * 11) % 97) as f64;
        let counts = asked(60, |at, round| match at {
            3 => steady(round),
            _ => wild(at, round),
        });
        assert_eq!(counts[3], FEWEST_ROUNDS);
        assert!(counts[0] > 50, "{counts:?}");
        // The twins and the control stay together.
        assert_eq!((counts[0], counts[0]), (counts[1], counts[2]));
    }

    #[test]
    fn where_the_interval_lies_settles_nothing() {
        let alike = |at: usize, round: u64| 100.0 + ((round * 37 + at as u64 * 11) % 97) as f64;
        let slower = |at, round| alike(at, round) * if at == 1 { 3.0 } else { 1.0 };
        assert!(asked(40, alike)[0] > FEWEST_ROUNDS);
        assert_eq!(asked(40, alike), asked(40, slower));
    }

    #[test]
    fn a_run_without_a_precision_has_none() {
        assert!(Precision::of(&Plan::default()).is_none());
    }
}
