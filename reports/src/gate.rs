//! The gate: has a change made anything slower on this host?
//!
//! | outcome      | exit code | when                                                    |
//! |--------------|-----------|---------------------------------------------------------|
//! | pass         | 0         | no cell is slower, and none hides a large slowdown      |
//! | regression   | 1         | a cell is slower, by the rules of [`crate::stats::verdict`], or failed and did not before |
//! | inconclusive | 2         | a main figure is missing, may be slower by more than [`TOLERANCE_RATIO`], or has a worse average |
//! | invalid      | 3         | the two runs must not be compared                       |
//!
//! A cell failed if the new run gives a reason instead of its figure, or if some of its processes
//! failed in the new run and none in the old run. Cells that the new run did not include are only
//! listed.
//!
//! [`crate::change`] makes the verdicts. Only the first quantity of a workload can make the gate
//! inconclusive, because other quantities, such as high percentiles, are too uncertain. Runs of
//! different machines and quick runs are refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::analysis::Case;
use crate::change::{Change, ChangeRow, cell_name};
use crate::format;
use crate::run::Run;
use crate::schema::{Depth, Failure, Group, Parameters};
use crate::stats::Verdict;
use crate::stats::bootstrap::Ratio;

/// The slowdown, as a share, that must be ruled out for each cell to pass. On a noisier host it is
/// larger.
pub const TOLERANCE_RATIO: f64 = 0.10;

/// The taints for CPU time that other programs or machines took.
const DISTURBANCES: [&str; 2] = ["others", "steal"];

/// A block is disturbed if other programs or machines took at least this share of its CPU time.
const DISTURBED_RATIO: f64 = 0.25;

/// The gate's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing is slower.
    Pass,
    /// Something is slower.
    Regression,
    /// The figures are too noisy to say.
    Inconclusive,
    /// The runs cannot be compared.
    Invalid,
}

impl Outcome {
    /// The exit code of `threadbare gate`.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Pass => 0,
            Outcome::Regression => 1,
            Outcome::Inconclusive => 2,
            Outcome::Invalid => 3,
        }
    }
}

/// The gate's outcome, with its reasons.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    /// The outcome.
    pub outcome: Outcome,
    /// The reasons, for a reader, the most important first.
    pub reasons: Vec<String>,
    /// The cells that both runs have.
    pub rows: Vec<ChangeRow>,
    /// What only the old run has, each with the reason.
    pub missing: Vec<String>,
}

impl Gate {
    /// How many cells have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let with_it = self.rows.iter().filter(|row| row.verdict == verdict);
        with_it.count()
    }
}

/// Compares `new` with `base`.
#[must_use]
pub fn gate(base: &Run, new: &Run) -> Gate {
    let mut reasons = objections(base, new);
    if !reasons.is_empty() {
        return Gate {
            outcome: Outcome::Invalid,
            reasons,
            rows: Vec::new(),
            missing: Vec::new(),
        };
    }
    let Change {
        rows,
        missing,
        remarks,
    } = Change::between(base, new);
    let failed = failed(base, new);
    if rows.is_empty() && failed.is_empty() {
        reasons.push(
            "the two runs have no cell in common: measure the same workloads and lanes".to_owned(),
        );
        return Gate {
            outcome: Outcome::Invalid,
            reasons,
            rows,
            missing: Vec::new(),
        };
    }
    let name = |row: &ChangeRow| {
        let cell = cell_name(base, &row.workload, &row.case, &row.lane);
        format!("{cell}, {}", row.quantity.title)
    };
    for row in rows.iter().filter(|row| row.verdict == Verdict::Slower) {
        let words = row.quantity.words(row.verdict);
        reasons.push(format!("{words}: {}: {}", name(row), change_text(row)));
    }
    let slower_count = reasons.len() + failed.len();
    let failures = failed
        .iter()
        .map(|(name, why)| format!("failed: {name}: {why}"));
    reasons.splice(0..0, failures);
    let (mut missing_main, mut listed_only) = (Vec::new(), Vec::new());
    for one in missing.iter().filter(|one| !failed.contains_key(&one.name)) {
        let line = format!("no figure in the new run: {}: {}", one.name, one.why);
        let is_included = new.workload(&one.workload).is_some() && new.lane(&one.lane).is_some();
        match one.is_main && is_included {
            true => missing_main.push(line),
            false => listed_only.push(line),
        }
    }
    reasons.extend(missing_main);
    for row in rows.iter().filter(|row| hides_a_slowdown(row)) {
        let is_worse = |average: &Ratio| row.quantity.as_cost(*average).value > 1.0;
        reasons.push(match row.average.as_ref().filter(|average| is_worse(average)) {
            Some(average) => format!(
                "too noisy to say: {}: the typical process is unchanged, but the average is {}: slow processes have become more frequent",
                name(row),
                ratio_text(average)
            ),
            None => format!(
                "too noisy to say: {}: {}; measure longer (--budget)",
                name(row),
                change_text(row)
            ),
        });
    }
    let outcome = match (slower_count, reasons.len()) {
        (0, 0) => Outcome::Pass,
        (0, _) => Outcome::Inconclusive,
        _ => Outcome::Regression,
    };
    reasons.extend(listed_only);
    reasons.extend(failed_in_both(base, new));
    reasons.extend(remarks);
    Gate {
        outcome,
        reasons,
        rows,
        missing: missing
            .into_iter()
            .map(|one| format!("{}: {}", one.name, one.why))
            .collect(),
    }
}

type CellKey<'a> = (&'a str, &'a str, &'a Parameters);

fn measured(run: &Run) -> BTreeSet<CellKey<'_>> {
    let is_figure = |group: &&Group| !group.control && !group.samples.is_empty();
    let groups = run.groups.iter().filter(is_figure);
    groups
        .map(|group| {
            (
                group.workload.as_str(),
                group.lane.as_str(),
                &group.parameters,
            )
        })
        .collect()
}

/// The first failure of a cell. A failure without parameters belongs to all cells of its workload
/// and lane.
fn failure_of<'a>(run: &'a Run, (workload, lane, parameters): CellKey<'_>) -> Option<&'a Failure> {
    run.failures.iter().find(|failure| {
        (failure.workload.as_str(), failure.lane.as_str()) == (workload, lane)
            && (failure.parameters.is_empty() || failure.parameters == *parameters)
    })
}

/// The cells with figures in the old run that failed in the new run, each with the reason.
fn failed(base: &Run, new: &Run) -> BTreeMap<String, String> {
    let known = measured(new);
    let cells = measured(base).into_iter();
    cells
        .filter_map(|cell| {
            let (workload, lane, parameters) = cell;
            let why = &failure_of(new, cell)?.message;
            let since = match failure_of(base, cell) {
                None => "it did not fail in the old run",
                Some(_) if !known.contains(&cell) => {
                    "in the old run only some of its processes did"
                }
                Some(_) => return None,
            };
            let name = cell_name(base, workload, &Case(parameters.clone()), lane);
            Some((name, format!("{why}; {since}")))
        })
        .collect()
}

/// The cells that failed in both runs. They have no figure in either run, so they are not compared.
fn failed_in_both(base: &Run, new: &Run) -> BTreeSet<String> {
    let known: BTreeSet<_> = measured(base).union(&measured(new)).copied().collect();
    let cells = new.failures.iter().map(|failure| {
        let (workload, lane) = (failure.workload.as_str(), failure.lane.as_str());
        (workload, lane, &failure.parameters)
    });
    cells
        .filter(|cell| !known.contains(cell))
        .filter_map(|cell @ (workload, lane, parameters)| {
            failure_of(base, cell)?;
            let why = &failure_of(new, cell)?.message;
            let name = cell_name(base, workload, &Case(parameters.clone()), lane);
            Some(format!("failed in both runs, not compared: {name}: {why}"))
        })
        .collect()
}

fn change_text(row: &ChangeRow) -> String {
    match row.difference {
        Some(_) => row.by(),
        None => ratio_text(&row.ratio),
    }
}

/// The new figure ÷ the old one: `1.24× the old figure (1.18 – 1.31×)`, or
/// `same as before (0.78 – 1.29×)` if it rounds to 1.
fn ratio_text(ratio: &Ratio) -> String {
    let interval = ratio.interval.map_or_else(String::new, |interval| {
        let ends = [interval.low, interval.high].map(format::times);
        format!(" ({})", format::range(&ends[0], &ends[1]))
    });
    match format::times(ratio.value).as_str() {
        "1.00×" => format!("same as before{interval}"),
        times => format!("{times} the old figure{interval}"),
    }
}

fn objections(base: &Run, new: &Run) -> Vec<String> {
    let mut found = Vec::new();
    if !base.groups.is_empty() && base.groups == new.groups {
        found.push(
            "the two runs have identical samples: give the run of the new build as the second"
                .to_owned(),
        );
    }
    for (which, run) in [("the old run", base), ("the new run", new)] {
        if run.header.design.depth == Depth::Quick {
            found.push(format!(
                "{which} was made with --quick and is too short for the gate: make it without"
            ));
        }
        if !run.is_complete() {
            found.push(format!("{which} was cut short: finish it with --resume"));
        }
        if run.taints.iter().any(|taint| taint.kind == "debug_build") {
            found.push(format!(
                "{which} was built without optimisation: build with --release"
            ));
        }
        if let Some(share) = disturbed(run) {
            found.push(format!(
                "{which} was disturbed: in {} of its blocks other programs or machines took at least a quarter of the CPU time; measure again on a machine that does nothing else",
                format::percent(share)
            ));
        }
        if run
            .failures
            .iter()
            .any(|failure| failure.kind == crate::schema::FailureKind::WrongChecksum)
        {
            found.push(format!(
                "{which} has wrong answers (checksums): its figures do not count"
            ));
        }
    }
    let keys = [base, new].map(|run| run.header.host.machine.key());
    if keys[0] != keys[1] {
        found.push(format!("the runs are of different machines ({} and {}): use `threadbare compare`, which shows the ratios within each machine", keys[0], keys[1]));
    }
    if base.header.design.cpus.len() != new.header.design.cpus.len() {
        found.push(format!(
            "the runs used {} and {} CPUs: give both the same --cpus",
            base.header.design.cpus.len(),
            new.header.design.cpus.len()
        ));
    }
    found
}

/// The share of blocks that other programs or machines disturbed heavily, if it is more than half.
pub(crate) fn disturbed(run: &Run) -> Option<f64> {
    let complete: BTreeSet<u64> = run.blocks.iter().map(|block| block.block_index).collect();
    let blocks: BTreeSet<u64> = run
        .taints
        .iter()
        .filter(|taint| DISTURBANCES.contains(&taint.kind.as_str()))
        .filter(|taint| taint.value.is_some_and(|value| value >= DISTURBED_RATIO))
        .filter_map(|taint| taint.block_index)
        .filter(|block| complete.contains(block))
        .collect();
    let share = blocks.len() as f64 / complete.len().max(1) as f64;
    (share > 0.5).then_some(share)
}

/// True if the verdict on a main figure is *too noisy to say*, and a slowdown above the tolerance
/// is possible or the average is worse.
fn hides_a_slowdown(row: &ChangeRow) -> bool {
    let tolerance = TOLERANCE_RATIO.max(row.bound.margin());
    let highest = |ratio: Ratio| row.quantity.as_cost(ratio).interval.map(|found| found.high);
    let is_worse = |average: Ratio| row.quantity.as_cost(average).value > 1.0;
    row.verdict == Verdict::CannotTell
        && row.quantity.rank == 0
        && (highest(row.ratio).is_none_or(|high| high > 1.0 + tolerance)
            || row.average.is_some_and(is_worse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::bootstrap::Interval;

    #[test]
    fn ratio_that_rounds_to_one_is_the_same_as_before() {
        let text = |value| {
            let interval = Some(Interval {
                low: 0.8,
                high: 1.25,
            });
            ratio_text(&Ratio {
                value,
                interval,
                p_value: 1.0,
            })
        };
        assert_eq!(text(1.001), "same as before (0.800 – 1.25×)");
        assert_eq!(text(1.24), "1.24× the old figure (0.800 – 1.25×)");
    }
}
