//! Which comparisons are not decided yet, and which case is measured next.
//!
//! A *comparison* is one lane against the reference lane on one case, by the workload's main
//! figure. A *case* is a workload with its parameters; one block measures all cells of its open
//! comparisons.
//!
//! | goal    | compared                                         | ends with                  |
//! |---------|--------------------------------------------------|----------------------------|
//! | verdict | each lane with the reference lane                | a verdict of the page      |
//! | width   | two builds of a lane; a lane and its A/A pair    | the interval asked for     |
//!
//! 1. Every cell has its first rounds, by the plan.
//! 2. A comparison is judged only at certain numbers of processes ([`looks`]), by the report's
//!    rules.
//! 3. The open cases are measured in *passes*. A pass chooses the cases with the most expected
//!    verdicts a second: a comparison that needs n more processes, in blocks of time t, counts 1 /
//!    (n · t). The pass takes a part of the time that is left ([`PASS`]), and measures one block of
//!    each of its cases, in random order. So a case's processes are spread over the run, and a case
//!    that will never be decided takes time only if no other case is left.
//! 4. A decided case is measured until it has [`ENOUGH`] processes, after the undecided ones.
//!
//! `reports/METHOD.md` says how looks, and the end at a verdict, affect the rates of errors.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use reports::run::{BASE_SUFFIX, is_base};
use reports::stats::FALSE_DISCOVERY_RATE_OF_LOOKS;
use reports::stats::bootstrap::{Ratio, seed_for};
use reports::stats::drift::deviation;
use reports::stats::looks;
use reports::stats::noise::inflation;
use reports::stats::quantile::median;
use reports::stats::shift::{self, Design};
use reports::stats::verdict::{Bound, Comparison as Judged, verdicts};
use workloads::protocol::Parameters;

use super::header::THRESHOLD_RATIO;
use super::plan::{Plan, PlannedBlock, shuffled};

/// If the time allows, a case gets this many processes. With them the interval of a figure has a
/// confidence of 95%.
const ENOUGH: u64 = 10;
const MOST_ROUNDS: u64 = 200;
const PASS: f64 = 1.0 / 6.0;

const BOUND: Bound = Bound {
    threshold_ratio: THRESHOLD_RATIO,
    noise_ratio: 0.0,
};

#[derive(Debug)]
pub(super) struct Comparisons {
    /// The half-width of an interval that decides a comparison; `None` if a verdict decides it.
    width_ratio: Option<f64>,
    cells: Vec<Cell>,
    cases: Vec<Case>,
    list: Vec<Comparison>,
    pass: VecDeque<usize>,
    /// More blocks may follow those of the plan.
    goes_on: bool,
    seed: u64,
}

#[derive(Debug, Default)]
struct Cell {
    case: usize,
    /// The cell that a control measures again.
    twin: Option<usize>,
    figures: BTreeMap<u64, f64>,
    /// The time of all its processes, and their number.
    took: (Duration, u32),
    given_up: bool,
}

#[derive(Debug)]
struct Case {
    workload: String,
    cells: Vec<usize>,
    rounds: u64,
    /// Whether it may be measured after the plan's rounds.
    grows: bool,
    /// The order of the cells in its last block.
    order: Vec<usize>,
}

#[derive(Debug)]
struct Comparison {
    ours: usize,
    /// The same as `ours` if a later run will be compared with this one.
    theirs: usize,
    /// Whether both are the same lane of the same build (an A/A pair).
    is_pair: bool,
    /// The number of processes at the last look.
    last_look: u64,
    ratio: Option<Ratio>,
    average: Option<Ratio>,
    decided: bool,
}

impl Comparisons {
    pub(super) fn of(plan: &Plan, reference_lane: &str, seed: u64) -> Self {
        let mut found = Self {
            width_ratio: plan.precision_ratio,
            cells: Vec::new(),
            cases: Vec::new(),
            list: Vec::new(),
            pass: VecDeque::new(),
            goes_on: plan.goes_on,
            seed,
        };
        let mut places: BTreeMap<(&str, &Parameters), usize> = BTreeMap::new();
        for (at, cell) in plan.cells.iter().enumerate() {
            let key = (cell.workload.as_str(), &cell.parameters);
            let case = *places.entry(key).or_insert_with(|| {
                found.cases.push(Case {
                    workload: cell.workload.clone(),
                    cells: Vec::new(),
                    rounds: 0,
                    grows: false,
                    order: Vec::new(),
                });
                found.cases.len() - 1
            });
            found.cases[case].cells.push(at);
            found.cases[case].grows |= cell.grows;
            found.cells.push(Cell {
                case,
                ..Cell::default()
            });
        }
        let Self {
            cells, cases, list, ..
        } = &mut found;
        for case in cases.iter() {
            let find = |lane: &str, control: bool| {
                let mut cells = case.cells.iter().copied();
                cells.find(|&at| {
                    (plan.cells[at].lane.as_str(), plan.cells[at].control) == (lane, control)
                })
            };
            let reference = find(reference_lane, false);
            for &at in case.cells.iter().filter(|&&at| plan.cells[at].grows) {
                let cell = &plan.cells[at];
                let mut compare = |ours, theirs, is_pair| {
                    list.push(Comparison {
                        ours,
                        theirs,
                        is_pair,
                        last_look: 0,
                        ratio: None,
                        average: None,
                        decided: false,
                    });
                };
                if cell.control {
                    let twin = find(&cell.lane, false);
                    cells[at].twin = twin;
                    twin.into_iter().for_each(|twin| compare(twin, at, true));
                } else if plan.precision_ratio.is_some() {
                    let has_base = plan.cells.iter().any(|cell| is_base(&cell.lane));
                    let other = find(&format!("{}{}", cell.lane, BASE_SUFFIX), false);
                    match other {
                        Some(other) => compare(at, other, false),
                        None if !has_base => compare(at, at, false),
                        None => {}
                    }
                } else if let Some(reference) = reference.filter(|&other| other != at) {
                    compare(at, reference, false);
                }
            }
        }
        found
    }

    pub(super) fn add(&mut self, at: usize, round: u64, samples: &[f64], took: Duration) {
        let cell = &mut self.cells[at];
        cell.took.0 += took;
        cell.took.1 += 1;
        if let Some(figure) = median(samples) {
            cell.figures.insert(round, figure);
        }
        let case = &mut self.cases[cell.case];
        case.rounds = case.rounds.max(round + 1);
    }

    pub(super) fn give_up(&mut self, at: usize) {
        self.cells[at].given_up = true;
    }

    /// How many comparisons between lanes or builds are decided, and how many can be.
    pub(super) fn decided(&self) -> (usize, usize) {
        let alive = self
            .list
            .iter()
            .filter(|one| !one.is_pair && !self.is_lost(one));
        let all: Vec<bool> = alive.map(|one| one.decided).collect();
        (all.iter().filter(|decided| **decided).count(), all.len())
    }

    /// Whether one side has too few processes and will get no more.
    fn is_lost(&self, one: &Comparison) -> bool {
        let is_lost = |at: usize| {
            let cell = &self.cells[at];
            cell.given_up && cell.figures.len() < shift::FEWEST_PROCESSES
        };
        is_lost(one.ours) || is_lost(one.theirs)
    }

    /// Decides comparisons. Each gets new ratios when it has the processes of its next look.
    pub(super) fn judge(&mut self) {
        for at in 0..self.list.len() {
            let one = &self.list[at];
            let (ours, theirs) = (
                &self.cells[one.ours].figures,
                &self.cells[one.theirs].figures,
            );
            let count = ours
                .keys()
                .filter(|round| theirs.contains_key(round))
                .count() as u64;
            if looks::next(one.last_look).is_none_or(|due| count < due) {
                continue;
            }
            let design = match one.ours == one.theirs {
                true => Design::Apart,
                false => Design::Paired,
            };
            let (ours, theirs) = shift::sides(ours, theirs, design);
            let one = &mut self.list[at];
            one.last_look = count;
            one.ratio = shift::shift(&ours, &theirs, design);
            one.average = shift::averages(&ours, &theirs, design);
        }
        match self.width_ratio {
            Some(width) => self.judge_widths(width),
            None => self.judge_verdicts(),
        }
    }

    fn judge_widths(&mut self, goal: f64) {
        for one in &mut self.list {
            let width = one.ratio.as_ref().and_then(shift::half_width);
            one.decided |= one.last_look >= ENOUGH && width.is_some_and(|width| width <= goal);
        }
    }

    fn judge_verdicts(&mut self) {
        let workload = |one: &Comparison| self.cases[self.cells[one.ours].case].workload.as_str();
        let deviations = |of: Option<&str>| -> Vec<f64> {
            let pairs = self.list.iter().filter(|one| one.is_pair);
            let pairs = pairs.filter(|one| of.is_none_or(|of| workload(one) == of));
            pairs
                .filter_map(|one| deviation(one.ratio.as_ref()?))
                .collect()
        };
        let all = deviations(None);
        let inflations: BTreeMap<&str, f64> = self
            .cases
            .iter()
            .map(|case| {
                let name = case.workload.as_str();
                (name, inflation(&deviations(Some(name)), &all))
            })
            .collect();
        let (mut page, mut places) = (Vec::new(), Vec::new());
        for (at, one) in self.list.iter().enumerate().filter(|(_, one)| !one.is_pair) {
            let inflation = inflations[workload(one)];
            if let Some(ratio) = one.ratio {
                page.push(Judged {
                    ratio: ratio.inflated(inflation),
                    average: one.average.map(|average| average.inflated(inflation)),
                    bound: BOUND,
                });
                places.push(at);
            }
        }
        let found = verdicts(&page, FALSE_DISCOVERY_RATE_OF_LOOKS);
        for (at, verdict) in places.into_iter().zip(found) {
            self.list[at].decided = verdict.is_decided();
        }
        // A pair only tests the method, and is measured as long as its case.
        for one in self.list.iter_mut().filter(|one| one.is_pair) {
            one.decided = true;
        }
    }

    /// The block at place `index`, after those of the plan. `None` if no case that is worth
    /// measuring fits into the time.
    pub(super) fn next(&mut self, plan: &Plan, index: u64, left: Duration) -> Option<PlannedBlock> {
        if !self.goes_on {
            return None;
        }
        let mut random = StdRng::seed_from_u64(seed_for(self.seed, &format!("block {index}")));
        for _ in 0..2 {
            while let Some(at) = self.pass.pop_front() {
                let wanted = self.wanted(at);
                let fits = self.cost(plan, &wanted) <= left.as_secs_f64();
                if !wanted.is_empty() && fits {
                    return Some(self.block(plan, at, &wanted, index, &mut random));
                }
            }
            self.plan_pass(plan, left, &mut random);
        }
        None
    }

    fn plan_pass(&mut self, plan: &Plan, left: Duration, random: &mut StdRng) {
        self.judge();
        let mut worths: Vec<(f64, f64, usize)> = Vec::new();
        for at in 0..self.cases.len() {
            let wanted = self.wanted(at);
            let cost = self.cost(plan, &wanted);
            if !wanted.is_empty() && cost <= left.as_secs_f64() {
                worths.push((self.worth(at, cost), cost, at));
            }
        }
        worths.sort_by(|a, b| b.0.total_cmp(&a.0));
        let room = left.as_secs_f64() * PASS;
        let mut sum = 0.0;
        let mut chosen: Vec<usize> = Vec::new();
        for (_, cost, at) in worths {
            if chosen.is_empty() || sum + cost <= room {
                sum += cost;
                chosen.push(at);
            }
        }
        chosen.shuffle(random);
        self.pass = chosen.into();
    }

    fn block(
        &mut self,
        plan: &Plan,
        at: usize,
        wanted: &BTreeSet<usize>,
        index: u64,
        random: &mut StdRng,
    ) -> PlannedBlock {
        let case = &mut self.cases[at];
        let is_same =
            case.order.len() == wanted.len() && case.order.iter().all(|cell| wanted.contains(cell));
        // Blocks come in pairs: an order, then its reverse.
        if case.rounds % 2 == 1 && is_same {
            case.order.reverse();
        } else {
            case.order = shuffled(wanted.iter().copied().collect(), &plan.cells, random);
        }
        PlannedBlock {
            index,
            process_index: case.rounds,
            workload: case.workload.clone(),
            cells: case.order.clone(),
        }
    }

    /// The cells of a case's undecided comparisons, with their A/A pairs. If there are none: all
    /// cells that are not given up, while the case has fewer rounds than [`ENOUGH`].
    fn wanted(&self, at: usize) -> BTreeSet<usize> {
        let case = &self.cases[at];
        if !case.grows || case.rounds >= MOST_ROUNDS {
            return BTreeSet::new();
        }
        let is_alive = |at: &usize| !self.cells[*at].given_up;
        let mut wanted: BTreeSet<usize> = self
            .open(at)
            .flat_map(|one| [one.ours, one.theirs])
            .collect();
        if wanted.is_empty() && case.rounds < ENOUGH {
            wanted.extend(case.cells.iter().copied().filter(is_alive));
        }
        let controls = case.cells.iter().copied().filter(is_alive);
        let controls: Vec<usize> = controls
            .filter(|&at| {
                self.cells[at]
                    .twin
                    .is_some_and(|twin| wanted.contains(&twin))
            })
            .collect();
        wanted.extend(controls);
        wanted
    }

    /// The undecided comparisons of a case that can still be decided.
    fn open(&self, case: usize) -> impl Iterator<Item = &Comparison> {
        self.list.iter().filter(move |one| {
            let sides = [&self.cells[one.ours], &self.cells[one.theirs]];
            !one.decided
                && sides[0].case == case
                && sides.iter().all(|cell| !cell.given_up)
                && looks::next(one.last_look).is_some()
        })
    }

    fn worth(&self, at: usize, cost: f64) -> f64 {
        let more_processes = |one: &Comparison| {
            let due = looks::next(one.last_look).map_or(f64::INFINITY, |due| due as f64);
            let needed = match (&one.ratio, self.width_ratio) {
                (None, _) => f64::INFINITY,
                (Some(ratio), None) => looks::needed(ratio, &BOUND, one.last_look),
                (Some(ratio), Some(goal)) => {
                    let excess = shift::half_width(ratio).unwrap_or(f64::INFINITY) / goal;
                    one.last_look as f64 * excess.powi(2)
                }
            };
            needed.max(due) - one.last_look as f64
        };
        self.open(at)
            .map(|one| 1.0 / (more_processes(one) * cost))
            .sum()
    }

    fn cost(&self, plan: &Plan, cells: &BTreeSet<usize>) -> f64 {
        let of = |&at: &usize| match self.cells[at].took {
            (_, 0) => plan.cells[at].estimate_ns as f64 / 1e9,
            (took, count) => took.as_secs_f64() / f64::from(count),
        };
        cells.iter().map(of).sum()
    }

    /// For a run with a precision: how many comparisons have reached it. The report analyses the
    /// samples again, and its result is the valid one.
    pub(super) fn conclusion(&self) -> Option<String> {
        let (decided, all) = self.decided();
        self.width_ratio.map(|goal| {
            format!(
                "{decided} of {all} comparisons are as precise as asked for: to {:.0}%",
                goal * 100.0
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::plan::PlannedCell;

    const LANES: [&str; 3] = ["thread", "a", "b"];

    fn plan(workloads: &[&str]) -> Plan {
        let mut cells = Vec::new();
        for workload in workloads {
            for (lane, control) in LANES
                .map(|lane| (lane, false))
                .into_iter()
                .chain([("a", true)])
            {
                cells.push(PlannedCell {
                    workload: (*workload).to_owned(),
                    lane: lane.to_owned(),
                    control,
                    grows: true,
                    estimate_ns: 10_000_000,
                    ..PlannedCell::default()
                });
            }
        }
        Plan {
            cells,
            goes_on: true,
            ..Plan::default()
        }
    }

    /// `middle` times e to a random power between -`share` and `share`.
    fn figure(at: usize, round: u64, middle: f64, share: f64) -> f64 {
        let mixed = (round * 31 + at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
        let uniform = mixed as f64 / (1_u64 << 53) as f64;
        middle * (share * (2.0 * uniform - 1.0)).exp()
    }

    /// Measures until no block is chosen or `seconds` are over. Returns how often each cell was
    /// measured, and the comparisons.
    fn measured(
        plan: &Plan,
        seconds: f64,
        figure: impl Fn(usize, u64) -> f64,
    ) -> (Vec<u64>, Comparisons) {
        let mut comparisons = Comparisons::of(plan, "thread", 7);
        let mut counts = vec![0; plan.cells.len()];
        let mut spent = 0.0;
        let mut ask = |comparisons: &mut Comparisons, at: usize, round| {
            let took = Duration::from_nanos(plan.cells[at].estimate_ns);
            spent += took.as_secs_f64();
            counts[at] += 1;
            comparisons.add(at, round, &[figure(at, round)], took);
            spent
        };
        let mut now = 0.0;
        for round in 0..5 {
            for at in 0..plan.cells.len() {
                now = ask(&mut comparisons, at, round);
            }
        }
        comparisons.judge();
        for index in 0.. {
            let left = Duration::from_secs_f64((seconds - now).max(0.0));
            let Some(block) = comparisons.next(plan, index, left) else {
                break;
            };
            for &at in &block.cells {
                now = ask(&mut comparisons, at, block.process_index);
            }
        }
        comparisons.judge();
        (counts, comparisons)
    }

    #[test]
    fn clear_comparisons_have_enough_processes_and_an_open_one_has_more() {
        let plan = plan(&["spawn.one"]);
        let of = |at: usize, round| match at {
            2 => figure(at, round, 100.0, 0.3),
            1 | 3 => figure(at, round, 900.0, 0.01),
            _ => figure(at, round, 100.0, 0.01),
        };
        let (counts, comparisons) = measured(&plan, 60.0, of);
        assert_eq!(comparisons.decided(), (2, 2));
        assert!(counts[1] <= ENOUGH, "{counts:?}");
        assert!(counts[2] > ENOUGH, "{counts:?}");
        assert_eq!(counts[0], counts[2], "they grow together");
        assert_eq!(counts[1], counts[3], "a pair has as many as its lane");
    }

    #[test]
    fn cheap_comparisons_are_measured_first() {
        let mut plan = plan(&["spawn.one", "spawn.batch"]);
        for cell in &mut plan.cells[4..] {
            cell.estimate_ns *= 100;
        }
        let of = |at: usize, round| figure(at, round, 100.0, 0.1);
        let first_rounds = 5.0 * 4.0 * 1.01;
        let (counts, _) = measured(&plan, first_rounds + 3.0, of);
        assert!(counts[0] > 10, "{counts:?}");
        assert_eq!(counts[4], 5, "a block of it takes 4 s: {counts:?}");
    }

    #[test]
    fn lane_that_is_given_up_delays_no_comparison() {
        let plan = plan(&["spawn.one"]);
        let mut comparisons = Comparisons::of(&plan, "thread", 7);
        comparisons.give_up(2);
        for round in 0..10 {
            for at in [0, 1, 3] {
                let middle = if at == 0 { 100.0 } else { 300.0 };
                let figure = figure(at, round, middle, 0.01);
                comparisons.add(at, round, &[figure], Duration::from_millis(10));
            }
        }
        assert_eq!(comparisons.next(&plan, 0, Duration::from_secs(9)), None);
        assert_eq!(comparisons.decided(), (1, 1));
    }

    #[test]
    fn order_of_a_cases_blocks_is_reversed_every_other_time() {
        let plan = plan(&["spawn.one"]);
        let mut comparisons = Comparisons::of(&plan, "thread", 7);
        let mut orders = Vec::new();
        for index in 0..4 {
            let block = comparisons
                .next(&plan, index, Duration::from_secs(9))
                .unwrap();
            assert_eq!(block.process_index, index);
            for &at in &block.cells {
                let figure = figure(at, index, 100.0, 0.9);
                comparisons.add(at, index, &[figure], Duration::from_millis(10));
            }
            orders.push(block.cells);
        }
        let reversed = |order: &Vec<usize>| order.iter().rev().copied().collect::<Vec<_>>();
        assert_eq!(orders[1], reversed(&orders[0]));
        assert_eq!(orders[3], reversed(&orders[2]));
    }

    #[test]
    fn run_for_a_width_goes_on_until_each_interval_is_narrow() {
        let mut plan = plan(&["spawn.one"]);
        plan.precision_ratio = Some(0.04);
        let of = |factor: f64| {
            move |at: usize, round| {
                let middle = if at == 1 { 100.0 * factor } else { 100.0 };
                figure(at, round, middle, 0.1)
            }
        };
        let (alike, comparisons) = measured(&plan, 60.0, of(1.0));
        let (far, _) = measured(&plan, 60.0, of(5.0));
        assert_eq!(comparisons.decided(), (3, 3));
        assert!(alike[2] > ENOUGH && alike[2] == far[2], "{alike:?} {far:?}");
    }

    #[test]
    fn run_that_does_not_go_on_measures_nothing_more() {
        let mut plan = plan(&["spawn.one"]);
        plan.goes_on = false;
        let mut comparisons = Comparisons::of(&plan, "thread", 7);
        assert_eq!(comparisons.next(&plan, 0, Duration::from_secs(9)), None);
    }
}
