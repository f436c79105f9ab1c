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
//! 3. Units that are not settled share the time, not the rounds: a process that
//!    takes a second must not take the time of thirty that take as long together.
//!    Who needs more has more of it, up to [`MOST_WEIGHT`] times as much: an
//!    interval twice as wide as was asked for needs four times the processes.
//! 4. Who has had all of its rounds, or cannot be measured any more, is waited
//!    for no longer: the others go on until the time is up, past the last round
//!    of the plan if need be ([`Plan::block`]).
//!
//! `reports/METHOD.md` has what stopping by the width does to the intervals.

use std::collections::{BTreeMap, BTreeSet};

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
/// How many times the time of others a unit may have: else one that will never
/// be known would take it all. Of what was recorded of 51 units that share 150 s,
/// it leaves six wider than 8%, where equal shares leave eight, 9 leaves six
/// and 16 seven.
const MOST_WEIGHT: f64 = 4.0;

/// What is known of the cells of a run that goes on until enough is known.
#[derive(Debug)]
pub(super) struct Precision {
    goal_ratio: f64,
    units: Vec<Unit>,
    /// The unit of each cell.
    unit_of: Vec<usize>,
    /// What a unit of weight 1 may have taken, by the plan, before the others
    /// have.
    allowance_ns: f64,
}

#[derive(Debug)]
struct Unit {
    /// The figure of each process, by its round, of each cell by its place.
    figures: BTreeMap<usize, BTreeMap<u64, f64>>,
    spent_ns: f64,
    /// In how many rounds it was asked, and in how many it may be.
    asked_count: u64,
    most_count: u64,
    /// Its share of the time, where others have 1.
    weight: f64,
    settled: bool,
}

impl Unit {
    /// The rounds that any of its cells has.
    fn rounds(&self) -> u64 {
        let counts = self.figures.values().map(BTreeMap::len);
        counts.max().unwrap_or(0) as u64
    }

    fn judge(&mut self, plan: &Plan, goal: f64) {
        let excess = widest(self, plan) / goal;
        self.settled |= excess <= 1.0;
        self.weight = excess.powi(2).clamp(1.0, MOST_WEIGHT);
    }

    /// True where it is worth asking again.
    fn is_open(&self) -> bool {
        !self.settled && self.asked_count < self.most_count
    }

    /// The time that it has had of its share.
    fn used_ns(&self) -> f64 {
        self.spent_ns / self.weight
    }
}

impl Precision {
    /// `None` where the plan asks for none.
    pub(super) fn of(plan: &Plan) -> Option<Self> {
        let goal_ratio = plan.precision_ratio?;
        let mut places: BTreeMap<(&str, &str, &Parameters), usize> = BTreeMap::new();
        let mut units: Vec<Unit> = Vec::new();
        let mut unit_of = Vec::new();
        for (at, cell) in plan.cells.iter().enumerate() {
            let key = (
                cell.workload.as_str(),
                plain_name(&cell.lane),
                &cell.parameters,
            );
            let unit = *places.entry(key).or_insert_with(|| {
                units.push(Unit {
                    figures: BTreeMap::new(),
                    spent_ns: 0.0,
                    asked_count: 0,
                    most_count: 0,
                    weight: 1.0,
                    settled: false,
                });
                units.len() - 1
            });
            units[unit].figures.insert(at, BTreeMap::new());
            unit_of.push(unit);
        }
        let mut precision = Self {
            goal_ratio,
            units,
            unit_of,
            allowance_ns: 0.0,
        };
        for block in &plan.blocks {
            for unit in precision.units_of(block) {
                precision.units[unit].most_count += 1;
            }
        }
        Some(precision)
    }

    /// The units that have a cell in the block.
    fn units_of(&self, block: &PlannedBlock) -> BTreeSet<usize> {
        block.cells.iter().map(|&at| self.unit_of[at]).collect()
    }

    /// True while there is anything left to ask.
    pub(super) fn is_open(&self) -> bool {
        self.units.iter().any(Unit::is_open)
    }

    /// The cells of `block` that are to be asked, in its order.
    pub(super) fn wanted(&self, block: &PlannedBlock) -> Vec<usize> {
        let is_wanted = |cell: &usize| {
            let unit = &self.units[self.unit_of[*cell]];
            block.process_index < FEWEST_ROUNDS
                || (unit.is_open() && unit.used_ns() <= self.allowance_ns)
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
        for at in self.units_of(block) {
            let unit = &mut self.units[at];
            unit.asked_count += 1;
            let rounds = unit.rounds();
            if rounds >= FEWEST_ROUNDS && rounds.is_multiple_of(ROUNDS_BETWEEN) {
                unit.judge(plan, self.goal_ratio);
            }
        }
        if block.process_index + 1 >= FEWEST_ROUNDS {
            self.allow_more();
        }
    }

    /// Judges all units by what an earlier start of the run has measured.
    pub(super) fn judge_all(&mut self, plan: &Plan) {
        for unit in &mut self.units {
            unit.asked_count = unit.rounds();
            if unit.rounds() >= FEWEST_ROUNDS {
                unit.judge(plan, self.goal_ratio);
            }
        }
        self.allow_more();
    }

    /// Takes note that the cell at this place will not be measured again: its
    /// unit has no pairs any more.
    pub(super) fn give_up(&mut self, at: usize) {
        self.units[self.unit_of[at]].settled = true;
    }

    /// Gives the units that are open more time, when each has used up its own.
    fn allow_more(&mut self) {
        let open = self.units.iter().filter(|unit| unit.is_open());
        let least = open.map(Unit::used_ns).reduce(f64::min);
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

/// Half of the width of the widest comparison that a reader will make: with the
/// other build, and with the control; for a lane alone, with a second run like
/// this one.
fn widest(unit: &Unit, plan: &Plan) -> f64 {
    let find = |base: bool, control: bool| {
        let mut cells = unit.figures.iter();
        cells.find_map(|(at, figures)| {
            let cell = &plan.cells[*at];
            ((is_base(&cell.lane), cell.control) == (base, control)).then_some(figures)
        })
    };
    let Some(own) = find(false, false) else {
        return 0.0;
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
    widths.into_iter().flatten().fold(0.0, f64::max)
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
                cell("threadbare", false),
                cell("threadbare@base", false),
                cell("threadbare", true),
                cell("thread", false),
            ],
            blocks: (0..MOST_ROUNDS).map(block).collect(),
            precision_ratio: Some(0.04),
            ..Plan::default()
        }
    }

    fn block(round: u64) -> PlannedBlock {
        PlannedBlock {
            index: round,
            process_index: round,
            workload: "spawn.one".to_owned(),
            cells: vec![0, 1, 2, 3],
        }
    }

    /// Goes through `rounds`; how often each cell was asked.
    fn asked(rounds: u64, figure: impl Fn(usize, u64) -> f64) -> [u64; 4] {
        asked_of(&plan(), rounds, |_, _| {}, figure)
    }

    /// The same of any plan of four cells, with something done before each round.
    fn asked_of(
        plan: &Plan,
        rounds: u64,
        before: impl Fn(&mut Precision, u64),
        figure: impl Fn(usize, u64) -> f64,
    ) -> [u64; 4] {
        let mut precision = Precision::of(plan).unwrap();
        let mut counts = [0; 4];
        for index in 0..rounds as usize {
            let mut block = plan.block(index);
            let round = block.process_index;
            before(&mut precision, round);
            block.cells = precision.wanted(&block);
            for &at in &block.cells {
                counts[at] += 1;
                precision.add(at, &plan.cells[at], round, &[figure(at, round)]);
            }
            precision.judge(plan, &block);
        }
        counts
    }

    /// A figure between `middle` and so much more that says nothing of others.
    fn scattered(at: usize, round: u64, most: f64) -> f64 {
        let mixed = (round * 4 + at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        100.0 + most * mixed as f64 / (1_u64 << 24) as f64
    }

    /// Four lanes, each a unit.
    fn apart(blocks: impl Fn(u64) -> Vec<usize>) -> Plan {
        let mut plan = plan();
        for (cell, lane) in plan.cells.iter_mut().zip(["a", "b", "c", "d"]) {
            (cell.lane, cell.control) = (lane.to_owned(), false);
        }
        for block in &mut plan.blocks {
            block.cells = blocks(block.process_index);
        }
        plan.blocks.retain(|block| !block.cells.is_empty());
        plan
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
    fn nobody_waits_for_a_cell_that_has_had_its_rounds_or_is_given_up() {
        let plan = apart(|round| match round {
            ..5 => vec![0, 1, 2],
            _ => vec![1, 2],
        });
        let give_up = |precision: &mut Precision, round| {
            if round == 3 {
                precision.give_up(1);
            }
        };
        let counts = asked_of(&plan, 60, give_up, |at, round| scattered(at, round, 90.0));
        assert_eq!(counts[..2], [5, FEWEST_ROUNDS]);
        assert_eq!(counts[2], 60, "it alone is left: {counts:?}");
    }

    #[test]
    fn a_cell_that_takes_long_goes_on_after_the_plans_last_round() {
        let mut plan = apart(|_| vec![0, 1]);
        plan.cells[1].estimate_ns *= 40;
        let counts = asked_of(
            &plan,
            3 * MOST_ROUNDS,
            |_, _| {},
            |at, round| scattered(at, round, 900.0),
        );
        assert_eq!(counts[0], MOST_ROUNDS, "no more than the most: {counts:?}");
        assert!(
            counts[1] > MOST_ROUNDS / 2,
            "skipped rounds are not lost: {counts:?}"
        );
    }

    #[test]
    fn a_wide_cell_has_more_time_than_one_that_is_almost_known_but_not_all() {
        let plan = apart(|_| vec![0, 1]);
        let most = [25.0, 400.0];
        let counts = asked_of(
            &plan,
            100,
            |_, _| {},
            |at, round| scattered(at, round, most[at]),
        );
        let (narrow, wide) = (counts[0] as f64, counts[1] as f64);
        assert!(wide > 1.2 * narrow, "{counts:?}");
        assert!(wide <= 1.3 * MOST_WEIGHT * narrow, "{counts:?}");
    }

    #[test]
    fn a_run_without_a_precision_has_none() {
        assert!(Precision::of(&Plan::default()).is_none());
    }
}
