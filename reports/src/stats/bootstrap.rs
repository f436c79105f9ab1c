//! The hierarchical bootstrap: process, then block, then sample.
//!
//! The statistic is the median over processes of the median over blocks of the median over samples.
//! Samples of one process resemble each other, so a resample draws processes with replacement and
//! keeps their samples (Kalibera and Jones, "Rigorous benchmarking in reasonable time", ISMM 2013).
//! Drawing blocks and samples again would count their spread twice (Davison and Hinkley, "Bootstrap
//! methods and their application", 1997, section 3.8; Ren et al., Journal of Applied Statistics 37,
//! 2010).
//!
//! With few processes a plain percentile interval is too short. Its percentiles are moved outwards
//! to those of Student's t: from `α/2` to `Φ(-t(α/2, n-1))` (after Hesterberg, "What teachers
//! should know about the bootstrap", The American Statistician 69, 2015). His factor `√(n/(n-1))`
//! is not used, because it is for means. BCa is not used either: its acceleration needs a jackknife
//! over five processes, which for a median is mostly ties.
//!
//! For up to `MOST_EXACT` processes the interval is computed from the binomial distribution of a
//! resample's median (Efron, "The jackknife, the bootstrap and other resampling plans", 1982,
//! chapter 10). Resamples are drawn for more processes, and to compare two figures draw by draw.

use std::sync::OnceLock;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal, StudentsT};

use super::difference::Difference;
use super::quantile::{median, median_in_place, quantile_of_sorted};
use super::{CONFIDENCE, RESAMPLES};

/// With more processes, resamples are drawn, because the number of possible medians grows with the
/// square of the number of processes.
const MOST_EXACT: usize = 100;

/// Values of one cell: by process, by block of that process, by sample.
pub type Tree = Vec<Vec<Vec<f64>>>;

/// An interval at [`CONFIDENCE`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The low end.
    pub low: f64,
    /// The high end.
    pub high: f64,
}

impl Interval {
    /// True for a value inside or on an end.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// A figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// `None` with fewer than two processes.
    pub interval: Option<Interval>,
}

/// A statistic and its resamples.
#[derive(Clone, Debug, PartialEq)]
pub struct Replicates {
    /// The statistic of the data.
    pub value: f64,
    /// How many processes.
    pub processes_count: usize,
    /// Figures with the same seed and number of processes draw the same processes: they are paired.
    pub seed: u64,
    resamples: Resamples,
}

#[derive(Clone, Debug, PartialEq)]
enum Resamples {
    Drawn(Vec<f64>),
    /// The median of these figures, one for each process, resampled `count` times when needed.
    OfMedian {
        figures: Vec<f64>,
        count: usize,
        drawn: OnceLock<Vec<f64>>,
    },
}

impl Replicates {
    /// The median of process medians of `tree`, with [`RESAMPLES`] resamples. Empty blocks and
    /// processes are skipped; `None` if nothing is left.
    #[must_use]
    pub fn of_median(tree: &Tree, seed: u64) -> Option<Replicates> {
        Replicates::of_median_times(tree, seed, RESAMPLES)
    }

    /// As [`of_median`](Replicates::of_median), with `resamples` resamples.
    #[must_use]
    pub fn of_median_times(tree: &Tree, seed: u64, resamples: usize) -> Option<Replicates> {
        let medians: Vec<f64> = tree
            .iter()
            .filter_map(|blocks| process_median(blocks))
            .collect();
        Some(Replicates {
            value: median(&medians)?,
            processes_count: medians.len(),
            seed,
            resamples: Resamples::OfMedian {
                figures: medians,
                count: resamples,
                drawn: OnceLock::new(),
            },
        })
    }

    /// A statistic with its resamples.
    #[must_use]
    pub fn drawn(value: f64, resampled: Vec<f64>, processes_count: usize, seed: u64) -> Replicates {
        Replicates {
            value,
            processes_count,
            seed,
            resamples: Resamples::Drawn(resampled),
        }
    }

    /// The statistics of the resamples, in the order of the draws.
    #[must_use]
    pub fn resampled(&self) -> &[f64] {
        match &self.resamples {
            Resamples::Drawn(resampled) => resampled,
            Resamples::OfMedian {
                figures,
                count,
                drawn,
            } => drawn.get_or_init(|| draw(figures, self.seed, *count)),
        }
    }

    /// The figure ÷ `size`.
    #[must_use]
    pub fn in_units_of(mut self, size: f64) -> Replicates {
        self.value /= size;
        let values = match &mut self.resamples {
            Resamples::Drawn(resampled) => resampled,
            Resamples::OfMedian { figures, drawn, .. } => {
                *drawn = OnceLock::new();
                figures
            }
        };
        for value in values {
            *value /= size;
        }
        self
    }

    /// The figure with its interval.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        Estimate {
            value: self.value,
            interval: self.interval(),
        }
    }

    /// The widened percentile interval.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        let freedom = self.processes_count.checked_sub(1)? as f64;
        match &self.resamples {
            Resamples::OfMedian { figures, .. } if figures.len() <= MOST_EXACT => {
                let share = Normal::standard().cdf(-reach(freedom)?);
                let medians = medians(figures);
                Some(Interval {
                    low: value_at_share(medians.iter(), share)?,
                    high: value_at_share(medians.iter().rev(), share)?,
                })
            }
            _ => percentiles(self.resampled(), freedom),
        }
    }

    /// This figure ÷ `reference`, resample by resample: paired if both have the same seed and
    /// number of processes, else independent.
    #[must_use]
    pub fn ratio(&self, reference: &Replicates) -> Ratio {
        let resampled: Vec<f64> = self
            .resampled()
            .iter()
            .zip(reference.resampled())
            .map(|(ours, theirs)| (ours / theirs).ln())
            .filter(|log| log.is_finite())
            .collect();
        let log = (self.value / reference.value).ln();
        // Without the resamples that have no logarithm, a figure that may be zero would appear
        // certain. So the ratio then has no interval.
        let drawn = self.resampled().len().min(reference.resampled().len());
        if resampled.len() < drawn {
            return Ratio {
                value: log.exp(),
                interval: None,
                p_value: 1.0,
            };
        }
        let freedom = freedom_of(self, reference);
        let interval = percentiles(&resampled, freedom).map(|interval| Interval {
            low: interval.low.exp(),
            high: interval.high.exp(),
        });
        let error = standard_deviation(&resampled);
        Ratio {
            value: log.exp(),
            interval,
            p_value: p_value(log, error, freedom),
        }
    }

    /// This figure minus `reference`, resample by resample as in [`ratio`](Replicates::ratio). Its
    /// unit is the larger figure, but at least `least`, the smallest amount that matters. `None` if
    /// this unit is zero or infinite.
    #[must_use]
    pub fn difference(&self, reference: &Replicates, least: f64) -> Option<Difference> {
        let resampled: Vec<f64> = self
            .resampled()
            .iter()
            .zip(reference.resampled())
            .map(|(ours, theirs)| ours - theirs)
            .collect();
        let value = self.value - reference.value;
        let scale = self.value.abs().max(reference.value.abs()).max(least);
        let freedom = freedom_of(self, reference);
        (scale > 0.0 && scale.is_finite()).then(|| Difference {
            value,
            interval: percentiles(&resampled, freedom),
            p_value: p_value(value, standard_deviation(&resampled), freedom),
            scale,
        })
    }
}

/// One figure ÷ another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The ratio.
    pub value: f64,
    /// The interval at [`CONFIDENCE`]; `None` with fewer than two processes on a side, or if the
    /// ratio of a resample has no logarithm.
    pub interval: Option<Interval>,
    /// The probability of a ratio at least this far from 1 if both sides are the same, by Student's
    /// t of the logarithm ÷ its standard error over the resamples. 1 without an interval.
    pub p_value: f64,
}

impl Ratio {
    /// The ratio with the spread of its logarithm `inflation` times as wide, for figures that vary
    /// more than their processes. The p-value is then that of a normal distribution.
    #[must_use]
    pub fn inflated(self, inflation: f64) -> Ratio {
        if inflation <= 1.0 {
            return self;
        }
        let log = self.value.ln();
        let normal = Normal::standard();
        let deviation = -normal.inverse_cdf((self.p_value / 2.0).max(f64::MIN_POSITIVE));
        Ratio {
            interval: self.interval.map(|interval| Interval {
                low: (log - inflation * (log - interval.low.ln())).exp(),
                high: (log + inflation * (interval.high.ln() - log)).exp(),
            }),
            p_value: 2.0 * normal.cdf(-deviation / inflation),
            ..self
        }
    }
}

/// The median over blocks of the median over samples.
pub(crate) fn process_median(blocks: &[Vec<f64>]) -> Option<f64> {
    let mut medians: Vec<f64> = blocks.iter().filter_map(|block| median(block)).collect();
    median_in_place(&mut medians)
}

/// The medians of the resamples of `figures`. The same seed gives the same medians.
fn draw(figures: &[f64], seed: u64, resamples: usize) -> Vec<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let count = figures.len();
    // The rank of each figure. Draws are counted by rank, so the median is found without sorting.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|&a, &b| figures[a].total_cmp(&figures[b]));
    let mut places = vec![0; count];
    for (place, &index) in order.iter().enumerate() {
        places[index] = place;
    }
    let mut drawn = vec![0_usize; count];
    (0..resamples)
        .map(|_| {
            drawn.fill(0);
            for _ in 0..count {
                drawn[places[rng.random_range(0..count)]] += 1;
            }
            let upper = figures[order[nth(&drawn, count / 2)]];
            if count % 2 == 1 {
                return upper;
            }
            between(figures[order[nth(&drawn, count / 2 - 1)]], upper)
        })
        .collect()
}

/// The middle of two values; exact if they are equal.
fn between(low: f64, high: f64) -> f64 {
    low + (high - low) / 2.0
}

/// The possible medians of a resample in ascending order, each with its probability.
fn medians(figures: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let (count, half) = (sorted.len(), sorted.len() / 2);
    let share = |first: usize| first as f64 / count as f64;
    // The probability that at least `draws` of all draws are among the `first` lowest values.
    let at_least = |draws: usize, first: usize| {
        let of_draws = Binomial::new(share(first), count as u64);
        of_draws.map_or(f64::NAN, |found| found.sf(draws as u64 - 1))
    };
    if count % 2 == 1 {
        let is_median = |place| at_least(half + 1, place + 1) - at_least(half + 1, place);
        let values = sorted.iter().enumerate();
        return values
            .map(|(place, value)| (*value, is_median(place)))
            .collect();
    }
    // The median is the middle between the highest of the lower half of the draws and the lowest of
    // the upper half. `ends(first)` is the probability that the highest of `half` draws has rank
    // `first`; the lowest has that rank from the end with the same probability.
    let ends = |first: usize| {
        let all = |first: usize| share(first).powi(i32::try_from(half).unwrap_or(i32::MAX));
        all(first + 1) - all(first)
    };
    let ways: f64 = (1..=half)
        .map(|draw| (half + draw) as f64 / draw as f64)
        .product();
    let mut found = Vec::with_capacity(count * (count + 1) / 2);
    for (low, value) in sorted.iter().enumerate() {
        let mut same = at_least(half, low + 1) - at_least(half, low);
        for (high, other) in sorted.iter().enumerate().skip(low + 1) {
            let both = ways * ends(low) * ends(count - high - 1);
            same -= both;
            found.push((between(*value, *other), both));
        }
        found.push((*value, same.max(0.0)));
    }
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    found
}

/// The value at which the cumulated probability reaches `share`.
fn value_at_share<'a>(mut values: impl Iterator<Item = &'a (f64, f64)>, share: f64) -> Option<f64> {
    let mut sum = 0.0;
    let found = values.find(|(_, probability)| {
        sum += probability;
        sum >= share
    });
    found.map(|(value, _)| *value)
}

/// The degrees of freedom of a difference: the number of pairs minus one, or those of Welch and
/// Satterthwaite for unequal spreads of the logarithms.
fn freedom_of(ours: &Replicates, theirs: &Replicates) -> f64 {
    let spread = |side: &Replicates| {
        let logs: Vec<f64> = side.resampled().iter().map(|value| value.ln()).collect();
        standard_deviation(&logs).powi(2)
    };
    let (a, b) = (spread(ours), spread(theirs));
    let freedom = |side: &Replicates| side.processes_count.saturating_sub(1) as f64;
    let (da, db) = (freedom(ours), freedom(theirs));
    if da < 1.0 || db < 1.0 {
        return 0.0;
    }
    if ours.seed == theirs.seed && ours.processes_count == theirs.processes_count {
        return da.min(db);
    }
    let combined = (a + b).powi(2) / (a * a / da + b * b / db);
    // Without any spread, or if a resample has no finite logarithm, the smaller of both numbers is
    // used.
    if combined.is_finite() {
        combined
    } else {
        da.min(db)
    }
}

/// The percentile interval, moved outwards for `freedom` degrees of freedom.
fn percentiles(resampled: &[f64], freedom: f64) -> Option<Interval> {
    if resampled.is_empty() {
        return None;
    }
    let share = Normal::standard().cdf(-reach(freedom)?);
    let mut sorted = resampled.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(Interval {
        low: quantile_of_sorted(&sorted, share)?,
        high: quantile_of_sorted(&sorted, 1.0 - share)?,
    })
}

/// The half-width of an interval at [`CONFIDENCE`] in standard errors, by Student's t; `None` below
/// one degree of freedom.
pub(super) fn reach(freedom: f64) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    (freedom >= 1.0).then(|| student.inverse_cdf(f64::midpoint(1.0, CONFIDENCE)))
}

/// The two-sided p-value of `log` with the standard error `error`, by Student's t.
pub(super) fn p_value(log: f64, error: f64, freedom: f64) -> f64 {
    if freedom < 1.0 || !log.is_finite() || !error.is_finite() {
        return 1.0;
    }
    if error == 0.0 {
        return if log == 0.0 { 1.0 } else { 0.0 };
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |student| {
        (2.0 * student.cdf(-(log / error).abs())).min(1.0)
    })
}

fn standard_deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / count)
        .sqrt()
}

/// Each name has its own seed, so an additional cell does not change other cells' intervals.
#[must_use]
pub fn seed_for(seed: u64, name: &str) -> u64 {
    name.bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// The rank of the `n`th value, from 0. `drawn` counts the draws of each rank.
fn nth(drawn: &[usize], n: usize) -> usize {
    let mut sum = 0;
    let place = drawn.iter().position(|count| {
        sum += count;
        sum > n
    });
    place.unwrap_or(drawn.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(processes: &[&[f64]]) -> Tree {
        processes
            .iter()
            .map(|samples| vec![samples.to_vec()])
            .collect()
    }

    #[test]
    fn value_is_the_median_of_process_medians() {
        let tree = tree(&[&[1.0, 2.0, 3.0], &[10.0, 11.0, 12.0], &[4.0, 5.0, 6.0]]);
        let replicates = Replicates::of_median(&tree, 1).expect("values");
        assert_eq!(replicates.value, 5.0);
        let interval = replicates.interval().expect("three processes");
        assert!(interval.contains(5.0) && interval.low <= 2.0 && interval.high >= 11.0);
    }

    #[test]
    fn same_seed_gives_the_same_draws_and_another_seed_others() {
        let tree = tree(&[&[1.0, 2.0, 3.0], &[2.0, 4.0, 5.0], &[4.0, 5.0, 7.0]]);
        let draw = |seed| {
            let found = Replicates::of_median(&tree, seed).expect("values");
            found.resampled().to_vec()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn one_process_has_a_value_and_no_interval() {
        let replicates = Replicates::of_median(&tree(&[&[1.0, 2.0]]), 1).expect("values");
        assert_eq!(replicates.value, 1.5);
        assert_eq!(replicates.interval(), None);
        assert_eq!(replicates.ratio(&replicates).p_value, 1.0);
    }

    #[test]
    fn medians_of_the_draws_are_those_of_the_sorted_draws() {
        for count in 1..=12 {
            // Two of 12 medians are equal.
            let medians: Vec<f64> = (0..count).map(|n| f64::from((n * 7 + 3) % 11)).collect();
            let tree = medians.iter().map(|value| vec![vec![*value]]).collect();
            let found = Replicates::of_median_times(&tree, 5, 200).expect("values");
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
            for &resampled in found.resampled() {
                let draws = medians
                    .iter()
                    .map(|_| medians[rng.random_range(0..medians.len())]);
                assert_eq!(median(&draws.collect::<Vec<_>>()), Some(resampled));
            }
        }
    }

    #[test]
    fn computed_distribution_is_that_of_many_draws() {
        for count in 1..=13 {
            // Two of 12 figures are equal, and two pairs of 13.
            let figures: Vec<f64> = (0..count).map(|n| f64::from((n * 7 + 3) % 11)).collect();
            let drawn = draw(&figures, 5, 40_000);
            let mut sum = 0.0;
            for (value, probability) in medians(&figures) {
                sum += probability;
                // Of equal medians, only the last one has the complete sum. At the others it is
                // between the share of the draws below the value and the share up to it.
                let below = |bound: f64| {
                    let found = drawn.iter().filter(|median| **median <= bound + 1e-9);
                    found.count() as f64 / drawn.len() as f64
                };
                assert!(sum < below(value) + 0.012, "{count} {value}: {sum}");
                assert!(sum > below(value - 0.01) - 0.012, "{count} {value}: {sum}");
            }
            assert!((sum - 1.0).abs() < 1e-9, "{count}: {sum}");
        }
        let many: Vec<f64> = (0..100).map(f64::from).collect();
        let sum: f64 = medians(&many).iter().map(|median| median.1).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn interval_of_few_processes_is_their_range_and_of_many_is_narrower() {
        let interval = |count: u32| {
            let tree = (0..count).map(|n| vec![vec![f64::from(n)]]).collect();
            let found = Replicates::of_median(&tree, 1).expect("values");
            found.interval().expect("processes")
        };
        for count in 2..=5 {
            let found = interval(count);
            assert_eq!((found.low, found.high), (0.0, f64::from(count - 1)));
        }
        let (even, odd, drawn) = (interval(100), interval(99), interval(101));
        // 1.96 standard deviations of a binomial of 100 are ten ranks.
        for found in [even, odd, drawn] {
            assert!(37.0 < found.low && found.low < 43.0, "{found:?}");
            assert!(57.0 < found.high && found.high < 63.0, "{found:?}");
        }
    }

    #[test]
    fn tree_without_values_has_no_figure() {
        assert_eq!(Replicates::of_median(&vec![], 1), None);
        assert_eq!(Replicates::of_median(&vec![vec![vec![]]], 1), None);
    }

    #[test]
    fn constant_values_have_an_interval_of_no_width() {
        let tree = tree(&[&[7.0], &[7.0], &[7.0]]);
        let replicates = Replicates::of_median(&tree, 1).expect("values");
        assert_eq!(
            replicates.interval(),
            Some(Interval {
                low: 7.0,
                high: 7.0
            })
        );
        assert_eq!(replicates.ratio(&replicates).p_value, 1.0);
    }

    #[test]
    fn ratio_of_a_figure_that_may_be_zero_has_no_interval() {
        let vague = Replicates::drawn(5.0, vec![-1.0, 5.0, 9.0], 5, 1);
        let sure = Replicates::drawn(5.0, vec![5.0; 3], 5, 2);
        let ratio = vague.ratio(&sure);
        assert_eq!((ratio.interval, ratio.p_value), (None, 1.0));
    }

    #[test]
    fn inflated_ratio_keeps_its_value_and_gets_a_wider_interval() {
        let slow = tree(&[&[10.4], &[10.6], &[10.5], &[10.45], &[10.55]]);
        let fast = tree(&[&[10.0], &[10.1], &[9.9], &[10.05], &[9.95]]);
        let draw = |tree, seed| Replicates::of_median(tree, seed).expect("values");
        let (slow, fast) = (draw(&slow, 1), draw(&fast, 2));
        let (plain, wide) = (slow.ratio(&fast), slow.ratio(&fast).inflated(3.0));
        assert_eq!(plain.value, wide.value);
        assert!(wide.p_value > plain.p_value);
        let width = |ratio: &Ratio| {
            let interval = ratio.interval.expect("five processes");
            (interval.high / interval.low).ln()
        };
        assert!((width(&wide) / width(&plain) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn ratio_of_far_apart_cells_has_a_small_p_value() {
        let slow = tree(&[&[100.0], &[101.0], &[99.0], &[100.5], &[99.5]]);
        let fast = tree(&[&[10.0], &[10.1], &[9.9], &[10.05], &[9.95]]);
        let ratio = Replicates::of_median(&slow, 1)
            .expect("values")
            .ratio(&Replicates::of_median(&fast, 2).expect("values"));
        assert!((ratio.value - 10.0).abs() < 1e-9);
        assert!(ratio.interval.expect("five processes").low > 9.5);
        assert!(ratio.p_value < 1e-6, "{}", ratio.p_value);
    }
}
