//! A lane's figure on one machine, of one run or of several.

use serde::Serialize;

use crate::analysis::{Analysis, Case, FALLBACK_REFERENCE, Quantity, Row, Unit, is_floor};
use crate::format;
use crate::run::{Run, is_base};
use crate::schema::{Measure, Workload};
use crate::stats::Verdict;
use crate::stats::bootstrap::{Interval, Replicates};
use crate::stats::quantile::median;

const WORKERS: &str = "workers_count";

/// With fewer runs, the interval contains the intervals of all runs.
const FEWEST_FOR_BOOTSTRAP: usize = 6;

/// Identifies a figure, on machines of any size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The workload's id.
    pub workload: String,
    /// The parameters, without the number of workers if it is all CPUs.
    pub case: Case,
    /// The quantity's id.
    pub quantity: String,
}

/// A lane's figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The median over runs.
    pub value: f64,
    /// For one run its interval; for a few runs the range that contains their intervals; for many
    /// runs the interval of their median.
    pub interval: Option<Interval>,
    /// How many runs.
    pub runs_count: usize,
    /// The median over runs of the ratio to the reference lane of the same run; below 1 is better.
    pub ratio: Option<f64>,
    /// The verdict; `CannotTell` if the runs have different verdicts.
    pub verdict: Option<Verdict>,
    /// `at most` or `at least` if the value is only a bound.
    pub sign: &'static str,
    /// The factor by which a rate may be higher than its search found; 1 for other figures.
    #[serde(skip)]
    pub reach: f64,
    /// The unit.
    pub unit: Unit,
    /// True if a higher figure is better.
    pub higher_is_better: bool,
}

impl Figure {
    /// A key for sorting: lower is better.
    #[must_use]
    pub fn cost(&self) -> f64 {
        match self.higher_is_better {
            true => -self.value,
            false => self.value,
        }
    }

    /// The figure with its unit.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.sign, self.unit.text(self.value))
    }

    /// The interval with its unit; empty if there is none.
    #[must_use]
    pub fn interval_text(&self) -> String {
        self.interval.map_or_else(String::new, |interval| {
            format::range(
                &self.unit.text(interval.low),
                &self.unit.text(interval.high),
            )
        })
    }

    /// True if the intervals, extended by their reach, overlap: neither figure is called higher.
    #[must_use]
    pub fn overlaps(&self, other: &Figure) -> bool {
        let both = self.interval.zip(other.interval);
        both.is_some_and(|(one, two)| {
            one.low <= two.high * other.reach && two.low <= one.high * self.reach
        })
    }

    /// This figure ÷ `other`, inverted if a higher figure is better.
    #[must_use]
    pub fn over(&self, other: &Figure) -> Option<f64> {
        let ratio = match self.higher_is_better {
            true => other.value / self.value,
            false => self.value / other.value,
        };
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    }
}

pub(super) fn quantities(workload: &Workload) -> Vec<Quantity> {
    let wanted = workload.first_screen.as_ref();
    let wanted = wanted.and_then(|screen| screen.quantity.as_deref());
    let mut all = Quantity::all_of(workload);
    all.retain(|quantity| quantity.rank == 0 || wanted == Some(&quantity.id));
    all
}

pub(super) fn answering(workload: &Workload) -> Option<Quantity> {
    let screen = workload.first_screen.as_ref()?;
    let mut all = quantities(workload).into_iter();
    match screen.quantity.as_deref() {
        Some(id) => all.find(|quantity| quantity.id == id),
        None => all.next(),
    }
}

pub(super) fn of_run(run: &Run, analysis: &Analysis) -> Vec<(Place, String, Figure)> {
    let mut found = Vec::new();
    for workload in &run.header.workloads {
        let shown = quantities(workload);
        let rows = || {
            let rows = analysis.rows_of(&workload.id);
            rows.filter(|row| shown.contains(&row.quantity) && row.estimate.is_some())
        };
        let is_swept = [Measure::Scaling, Measure::Efficiency]
            .iter()
            .any(|measure| workload.measures.contains(measure));
        let workers = |row: &Row| row.case.0.get(WORKERS).copied();
        let most = rows().filter_map(workers).max();
        for row in rows() {
            if is_base(&row.lane) || is_floor(&row.lane) {
                continue;
            }
            let mut case = row.case.clone();
            if is_swept && most.is_some() {
                if workers(row) != most {
                    continue;
                }
                case.0.remove(WORKERS);
            }
            let place = Place {
                workload: workload.id.clone(),
                case,
                quantity: row.quantity.id.clone(),
            };
            found.extend(of_row(row).map(|figure| (place, row.lane.clone(), figure)));
        }
    }
    found
}

fn of_row(row: &Row) -> Option<Figure> {
    let estimate = row.estimate?;
    let (value, sign) = match (row.is_resolved(), row.is_limited()) {
        (false, _) => {
            let most = estimate.interval.map_or(estimate.value, |one| one.high);
            (most.max(0.0), "at most\u{a0}")
        }
        (true, true) => (estimate.value, row.quantity.bound_sign()),
        (true, false) => (estimate.value, ""),
    };
    let standing = row.standing.as_ref();
    // A run without the fallback lane has ratios to another lane, which are not comparable.
    let standing = standing.filter(|standing| standing.reference_lane == FALLBACK_REFERENCE);
    Some(Figure {
        value,
        interval: estimate.interval.filter(|_| row.is_resolved()),
        runs_count: 1,
        ratio: standing.map(|standing| row.quantity.as_cost(standing.ratio).value),
        verdict: standing.map(|standing| standing.verdict),
        sign,
        reach: row.reach(),
        unit: row.quantity.unit,
        higher_is_better: row.quantity.higher_is_better,
    })
}

/// The figure of several runs of one setup.
///
/// # Panics
///
/// If `runs` is empty.
pub(super) fn together(runs: &[Figure]) -> Figure {
    let first = runs[0].clone();
    if runs.len() == 1 {
        return first;
    }
    let values: Vec<f64> = runs.iter().map(|run| run.value).collect();
    let interval = match runs.len() {
        ..FEWEST_FOR_BOOTSTRAP => {
            let own = runs.iter().map(|run| {
                run.interval.unwrap_or(Interval {
                    low: run.value,
                    high: run.value,
                })
            });
            own.reduce(|range, own| Interval {
                low: range.low.min(own.low),
                high: range.high.max(own.high),
            })
        }
        _ => {
            let tree = values.iter().map(|value| vec![vec![*value]]).collect();
            Replicates::of_median(&tree, 0).and_then(|replicates| replicates.interval())
        }
    };
    let ratios: Vec<f64> = runs.iter().filter_map(|run| run.ratio).collect();
    let agree = runs.iter().all(|run| run.verdict == first.verdict);
    Figure {
        value: median(&values).unwrap_or(first.value),
        interval,
        runs_count: runs.len(),
        ratio: median(&ratios),
        verdict: match agree {
            true => first.verdict,
            false => Some(Verdict::CannotTell),
        },
        // A bound in one run is a bound for all.
        sign: runs.iter().map(|run| run.sign).max().unwrap_or(""),
        reach: runs.iter().map(|run| run.reach).fold(1.0, f64::max),
        ..first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, verdict: Verdict) -> Figure {
        Figure {
            value,
            interval: Some(Interval {
                low: value * 0.9,
                high: value * 1.1,
            }),
            runs_count: 1,
            ratio: Some(value / 100.0),
            verdict: Some(verdict),
            sign: "",
            reach: 1.0,
            unit: Unit::Nanoseconds,
            higher_is_better: false,
        }
    }

    #[test]
    fn one_run_keeps_its_own_interval_and_a_few_the_hull_of_theirs() {
        let one = figure(100.0, Verdict::Faster);
        assert_eq!(together(std::slice::from_ref(&one)), one);
        let all: Vec<Figure> = [90.0, 110.0, 100.0]
            .map(|value| figure(value, Verdict::Faster))
            .into();
        let found = together(&all);
        assert_eq!((found.value, found.runs_count), (100.0, 3));
        let range = Interval {
            low: 90.0 * 0.9,
            high: 110.0 * 1.1,
        };
        assert_eq!(found.interval, Some(range));
        assert_eq!(found.verdict, Some(Verdict::Faster));
        assert_eq!(found.ratio, Some(1.0));
    }

    #[test]
    fn rate_that_may_be_higher_than_found_is_not_called_lower() {
        let with = |value, reach| Figure {
            reach,
            ..figure(value, Verdict::Same)
        };
        // The intervals are 90 to 110 and 180 to 220.
        let (low, high) = (with(100.0, 1.0), with(200.0, 1.0));
        assert!(!low.overlaps(&high) && !high.overlaps(&low));
        for reach in [2.0, f64::INFINITY] {
            let vague = with(100.0, reach);
            assert!(vague.overlaps(&high) && high.overlaps(&vague));
            assert!(together(&[low.clone(), vague]).overlaps(&high));
        }
        assert!(!low.overlaps(&with(200.0, f64::INFINITY)));
    }

    #[test]
    fn runs_with_different_verdicts_have_none_together() {
        let all = [figure(1.0, Verdict::Faster), figure(2.0, Verdict::Slower)];
        assert_eq!(together(&all).verdict, Some(Verdict::CannotTell));
    }

    #[test]
    fn interval_of_many_runs_is_within_their_range() {
        let values = (0..12).map(|n| figure(100.0 + f64::from(n), Verdict::Same));
        let found = together(&values.collect::<Vec<_>>());
        let interval = found.interval.unwrap();
        assert!(
            100.0 < interval.low && interval.high < 111.0,
            "{interval:?}"
        );
        assert!(interval.contains(105.5));
    }
}
