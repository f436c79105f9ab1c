//! One machine over time: the figures of its runs in order, their steps, and the facts that changed
//! in between.
//!
//! # Steps
//!
//! A lane's figures, in logarithms, are split where the sum of distances from the medians of both
//! parts is smallest. The split is a step if the medians differ by more than the cell's threshold;
//! then each part is split in the same way. The threshold is the larger of 5% and Q3 + 3·IQR of the
//! changes from one run to the next in that cell. A part has at least two runs, so a single odd run
//! makes no step.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::site::{Collection, Fact, Figure, Kept, Machine, Place, Setup, Titled};
use crate::stats::DEFAULT_THRESHOLD_RATIO;
use crate::stats::quantile::{median, quantile_of_sorted};

/// With fewer runs there are no steps, because the usual change from run to run is unknown.
pub const FEWEST_RUNS: usize = 6;

const FEWEST_OF_PART: usize = 2;

/// Runs with different values of this fact are separate histories, because the user chooses the
/// CPUs.
const CPUS: &str = "CPUs of the run";

/// The runs of one machine with the same number of CPUs.
#[derive(Clone, Debug, Serialize)]
pub struct History<'a> {
    /// The machine key.
    pub key: &'a str,
    /// The machine.
    #[serde(skip)]
    pub machine: &'a Machine,
    /// The CPUs of the lanes: `all`, or how many.
    pub cpus: &'a str,
    /// The runs, the oldest first.
    pub moments: Vec<Moment<'a>>,
    /// One for each lane, workload, case and quantity.
    pub series: Vec<Series<'a>>,
}

/// A run, and the facts that changed since the one before it.
#[derive(Clone, Debug, Serialize)]
pub struct Moment<'a> {
    /// The run.
    pub run: &'a Kept,
    /// The facts that differ from the run before.
    pub changes: Vec<Changed<'a>>,
}

/// A fact that changed between two consecutive runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed<'a> {
    /// The fact's name.
    pub name: &'static str,
    /// Its value before.
    pub before: &'a str,
    /// Its value after.
    pub after: &'a str,
}

/// A lane's figures over time.
#[derive(Clone, Debug, Serialize)]
pub struct Series<'a> {
    /// The workload, case and quantity.
    pub place: &'a Titled,
    /// The lane.
    pub lane: &'a str,
    /// The figures, each with the index of its run in [`History::moments`].
    pub points: Vec<(usize, &'a Figure)>,
    /// The steps, the oldest first.
    pub steps: Vec<Step>,
    /// A step is larger than this share; `None` if there are too few runs.
    pub threshold_ratio: Option<f64>,
}

/// A step of a lane's figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The index in [`History::moments`] of the first run after the step.
    pub moment: usize,
    /// The median of the runs between the previous step and this one.
    pub before: f64,
    /// The median of the runs between this step and the next one.
    pub after: f64,
    /// `after` ÷ `before`.
    pub ratio: f64,
    /// True if the change is for the better.
    pub is_better: bool,
}

impl Series<'_> {
    /// The parts between steps: for each, the indices of its first and last run, and its median.
    #[must_use]
    pub fn levels(&self) -> Vec<(usize, usize, f64)> {
        let cuts: Vec<usize> = self.steps.iter().map(|step| step.moment).collect();
        let part_of = |moment: usize| cuts.iter().filter(|cut| **cut <= moment).count();
        let parts = self.points.chunk_by(|a, b| part_of(a.0) == part_of(b.0));
        parts
            .filter_map(|part| {
                let values: Vec<f64> = part.iter().map(|(_, figure)| figure.value).collect();
                Some((part.first()?.0, part.last()?.0, median(&values)?))
            })
            .collect()
    }
}

impl History<'_> {
    /// The steps of all series, the oldest first.
    #[must_use]
    pub fn steps(&self) -> Vec<(&Series<'_>, Step)> {
        let series = self.series.iter();
        let mut all: Vec<_> = series
            .flat_map(|series| series.steps.iter().map(move |step| (series, *step)))
            .collect();
        all.sort_by_key(|(_, step)| step.moment);
        all
    }
}

/// The histories, one for each machine and number of CPUs.
#[must_use]
pub fn histories(collection: &Collection) -> Vec<History<'_>> {
    let mut all = Vec::new();
    for machine in &collection.machines {
        let cpus: BTreeSet<&str> = machine
            .setups
            .iter()
            .map(|setup| setup.fact(CPUS))
            .collect();
        let of_cpus = cpus.into_iter();
        all.extend(of_cpus.map(|cpus| history(collection, machine, cpus)));
    }
    all
}

fn history<'a>(collection: &'a Collection, machine: &'a Machine, cpus: &'a str) -> History<'a> {
    let setups = machine
        .setups
        .iter()
        .filter(|setup| setup.fact(CPUS) == cpus);
    let mut runs: Vec<(&Setup, &Kept)> = setups
        .flat_map(|setup| setup.runs.iter().map(move |run| (setup, run)))
        .collect();
    runs.sort_by(|a, b| (&a.1.started, &a.1.run_id).cmp(&(&b.1.started, &b.1.run_id)));
    let before = std::iter::once(None).chain(runs.iter().map(Some));
    let moments = runs
        .iter()
        .zip(before)
        .map(|((setup, run), before)| Moment {
            run,
            changes: before
                .map_or_else(Vec::new, |(before, _)| changes(&before.facts, &setup.facts)),
        });
    let mut by_cell: BTreeMap<(&Place, &str), Vec<(usize, &Figure)>> = BTreeMap::new();
    for (moment, (_, run)) in runs.iter().enumerate() {
        for (place, lanes) in &run.figures {
            // A bound is not compared with figures.
            let exact = lanes.iter().filter(|(_, figure)| figure.sign.is_empty());
            for (lane, figure) in exact.filter(|(_, figure)| figure.value > 0.0) {
                let points = by_cell.entry((place, lane)).or_default();
                points.push((moment, figure));
            }
        }
    }
    let mut found = Vec::new();
    for place in &collection.places {
        for lane in &collection.lanes {
            if let Some(points) = by_cell.remove(&(&place.place, lane.as_str())) {
                found.push(series(place, lane, points));
            }
        }
    }
    History {
        key: &machine.key,
        machine,
        cpus,
        moments: moments.collect(),
        series: found,
    }
}

fn changes<'a>(before: &'a [Fact], after: &'a [Fact]) -> Vec<Changed<'a>> {
    let both = before.iter().zip(after);
    // A fact that was unknown in either run counts as unchanged.
    let differing = both.filter(|(before, after)| {
        before.value != after.value && before.is_told() && after.is_told()
    });
    differing
        .map(|(before, after)| Changed {
            name: after.name,
            before: &before.value,
            after: &after.value,
        })
        .collect()
}

fn series<'a>(place: &'a Titled, lane: &'a str, points: Vec<(usize, &'a Figure)>) -> Series<'a> {
    let logs: Vec<f64> = points.iter().map(|(_, figure)| figure.value.ln()).collect();
    let threshold = threshold(&logs);
    let mut series = Series {
        place,
        lane,
        points,
        steps: Vec::new(),
        threshold_ratio: threshold.map(f64::exp_m1),
    };
    let Some(threshold) = threshold else {
        return series;
    };
    let mut cuts = Vec::new();
    cut(&logs, 0, threshold, &mut cuts);
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([logs.len()]).skip(1);
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    for ((start, at), end) in starts.zip(cuts.iter().copied()).zip(ends) {
        let [before, after] =
            [&logs[start..at], &logs[at..end]].map(|part| median_or_nan(part).exp());
        let (moment, figure) = series.points[at];
        series.steps.push(Step {
            moment,
            before,
            after,
            ratio: after / before,
            is_better: (after > before) == figure.higher_is_better,
        });
    }
    series
}

fn threshold(logs: &[f64]) -> Option<f64> {
    if logs.len() < FEWEST_RUNS {
        return None;
    }
    let changes = logs.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    let mut changes: Vec<f64> = changes.collect();
    changes.sort_unstable_by(f64::total_cmp);
    let quartile = |share| quantile_of_sorted(&changes, share);
    let (first, third) = (quartile(0.25)?, quartile(0.75)?);
    let unusual = third + 3.0 * (third - first);
    Some(unusual.max(DEFAULT_THRESHOLD_RATIO.ln_1p()))
}

/// Adds the indices of the steps in `logs`, whose first index is `offset`.
fn cut(logs: &[f64], offset: usize, threshold: f64, cuts: &mut Vec<usize>) {
    let last = logs.len().saturating_sub(FEWEST_OF_PART);
    let cost = |at: &usize| distance(&logs[..*at]) + distance(&logs[*at..]);
    let places = FEWEST_OF_PART..=last;
    let best = places.min_by(|a, b| cost(a).total_cmp(&cost(b)));
    let Some(at) = best else {
        return;
    };
    let (before, after) = logs.split_at(at);
    if (median_or_nan(after) - median_or_nan(before)).abs() > threshold {
        cuts.push(offset + at);
        cut(before, offset, threshold, cuts);
        cut(after, offset + at, threshold, cuts);
    }
}

fn median_or_nan(logs: &[f64]) -> f64 {
    median(logs).unwrap_or(f64::NAN)
}

fn distance(logs: &[f64]) -> f64 {
    let median_or_nan = median_or_nan(logs);
    logs.iter().map(|log| (log - median_or_nan).abs()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cuts(values: &[f64]) -> Vec<usize> {
        let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
        let mut cuts = Vec::new();
        if let Some(threshold) = threshold(&logs) {
            cut(&logs, 0, threshold, &mut cuts);
        }
        cuts.sort_unstable();
        cuts
    }

    #[test]
    fn level_figures_have_no_step_and_each_jump_is_one() {
        assert!(cuts(&[100.0; 12]).is_empty());
        assert_eq!(cuts(&[100.0, 101.0, 100.0, 130.0, 131.0, 130.0]), [3]);
        let both = [
            100.0, 101.0, 100.0, 99.0, 130.0, 131.0, 130.0, 131.0, 90.0, 91.0, 90.0, 91.0,
        ];
        assert_eq!(cuts(&both), [4, 8]);
    }

    #[test]
    fn one_odd_run_is_no_step_and_five_runs_are_too_few() {
        assert!(cuts(&[100.0, 101.0, 100.0, 200.0, 100.0, 101.0, 100.0]).is_empty());
        assert!(cuts(&[100.0, 100.0, 200.0, 200.0, 200.0]).is_empty());
    }

    #[test]
    fn cell_that_varies_by_itself_needs_a_larger_step() {
        let restless = |step: f64| -> Vec<f64> {
            let wobble = [1.0, 1.1, 0.95, 1.08, 0.97, 1.12, 1.02, 0.93];
            let factors = wobble.iter().map(|one| one * 100.0);
            let after = wobble.iter().map(|one| one * 100.0 * step);
            factors.chain(after).collect()
        };
        assert!(cuts(&restless(1.2)).is_empty());
        assert_eq!(cuts(&restless(2.5)), [8]);
    }

    proptest! {
        #[test]
        fn steps_are_where_they_were_put(at in 3_usize..12, factor in 1.2_f64..4.0, up in any::<bool>()) {
            let factor = if up { factor } else { 1.0 / factor };
            let values: Vec<f64> = (0..15)
                .map(|run| (100.0 + f64::from(run % 3)) * if run as usize >= at { factor } else { 1.0 })
                .collect();
            prop_assert_eq!(cuts(&values), vec![at]);
        }
    }
}
