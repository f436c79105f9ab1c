//! How much more two runs of one host differ than the processes within each.
//!
//! The A/A pairs of a run are interleaved, so slow changes of the host (another virtual machine,
//! the clock, the layout of memory) affect both halves. Between two runs they do not cancel, and
//! *drift cells* show them: cells of other models, which the change under test does not touch. If
//! drift cells changed by more than their spread explains, the interval of the lane under test is
//! widened by the same factor.
//!
//! # Sources
//!
//! Birge, "The calculation of errors by the method of least squares", Physical Review 40, 1932, for
//! the factor; Devlin and Roeder, "Genomic control for association studies", Biometrics 55, 1999,
//! for its estimation by quantiles, which a few changed cells do not affect.

use statrs::distribution::{ContinuousCDF, Normal};

use super::CONFIDENCE;
use super::bootstrap::Ratio;
use super::quantile::{median, quantile_of_sorted};

/// With fewer drift cells there is no factor.
pub const FEWEST_DRIFT_CELLS: usize = 4;

/// Limits a deviation, which would be infinite without any spread.
const FURTHEST: f64 = 1e3;

/// The changes of drift cells between two runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftCells {
    /// The change of each cell, in its standard deviations.
    deviations: Vec<f64>,
    /// The change of each cell, as a share.
    shares: Vec<f64>,
}

impl DriftCells {
    /// Adds a drift cell by its ratio between the runs. A ratio without an interval is skipped.
    pub fn add(&mut self, ratio: &Ratio) {
        let share = ratio.value.ln().abs().exp_m1();
        if let Some(deviation) = deviation(ratio).filter(|_| share.is_finite()) {
            self.deviations.push(deviation);
            self.shares.push(share);
        }
    }

    /// How many drift cells were added.
    #[must_use]
    pub fn count(&self) -> usize {
        self.deviations.len()
    }

    /// The median change, as a share; `None` with too few cells.
    #[must_use]
    pub fn typical_share(&self) -> Option<f64> {
        (self.count() >= FEWEST_DRIFT_CELLS)
            .then(|| median(&self.shares))
            .flatten()
    }

    /// The factor by which the cells changed more than their spread explains, at least 1: the
    /// larger of the factors by the median and by the ninth decile.
    #[must_use]
    pub fn inflation(&self) -> Option<f64> {
        if self.count() < FEWEST_DRIFT_CELLS {
            return None;
        }
        let mut sorted = self.deviations.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let factors = [0.5, 0.9].map(|share| {
            quantile_of_sorted(&sorted, share).map_or(1.0, |found| found / normal_reach(share))
        });
        Some(factors.into_iter().fold(1.0, f64::max))
    }

    /// The factor by the largest change, for the few cells of one workload: 1 if the largest of so
    /// many changes is as large as usual.
    #[must_use]
    pub fn largest(&self) -> f64 {
        let most = self.deviations.iter().copied().fold(0.0, f64::max);
        let usual = normal_reach(1.0 - (1.0 - CONFIDENCE) / self.count().max(1) as f64);
        (most / usual).max(1.0)
    }
}

/// Of all normal deviates, `share` are at most this far from 0.
fn normal_reach(share: f64) -> f64 {
    Normal::standard().inverse_cdf(f64::midpoint(1.0, share))
}

/// The distance of a ratio from 1 in standard deviations, by its interval, which accounts for few
/// processes. `None` without an interval.
#[must_use]
pub fn deviation(ratio: &Ratio) -> Option<f64> {
    let interval = ratio.interval?;
    let log = ratio.value.ln();
    let reach = if log > 0.0 {
        log - interval.low.ln()
    } else {
        interval.high.ln() - log
    };
    let deviation = normal_reach(CONFIDENCE) * log.abs() / reach;
    // 0 / 0: no spread and no change.
    Some(if deviation.is_nan() {
        0.0
    } else {
        deviation.min(FURTHEST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Interval;

    /// A ratio that is `deviation` standard deviations, of 1% each, from 1.
    fn moved(deviation: f64) -> Ratio {
        let log = 0.01 * deviation;
        let reach = 0.01 * normal_reach(CONFIDENCE);
        let (low, high) = ((log - reach).exp(), (log + reach).exp());
        Ratio {
            value: log.exp(),
            interval: Some(Interval { low, high }),
            p_value: 1.0,
        }
    }

    /// Drift cells with normal deviations, times `factor`.
    fn drift_cells(factor: f64) -> DriftCells {
        let mut found = DriftCells::default();
        for step in 1..200 {
            let quantile = Normal::standard().inverse_cdf(f64::from(step) / 200.0);
            found.add(&moved(quantile * factor));
        }
        found
    }

    #[test]
    fn drift_cells_that_move_within_their_spread_inflate_nothing() {
        let drift_cells = drift_cells(1.0);
        let inflation = drift_cells.inflation().expect("enough");
        assert!((inflation - 1.0).abs() < 0.02, "{inflation}");
        assert_eq!(drift_cells.largest(), 1.0);
    }

    #[test]
    fn drift_cells_that_move_twelve_times_as_far_inflate_twelvefold() {
        let inflation = drift_cells(12.0).inflation().expect("enough");
        assert!((inflation - 12.0).abs() < 0.24, "{inflation}");
    }

    #[test]
    fn a_few_changed_drift_cells_do_not_inflate() {
        let mut found = drift_cells(1.0);
        for _ in 0..10 {
            found.add(&moved(20.0));
        }
        let inflation = found.inflation().expect("enough");
        assert!(inflation < 1.4, "{inflation}");
        assert!(found.largest() > 3.0, "{}", found.largest());
    }

    #[test]
    fn too_few_drift_cells_say_nothing() {
        let mut found = DriftCells::default();
        for _ in 1..FEWEST_DRIFT_CELLS {
            found.add(&moved(9.0));
        }
        assert_eq!((found.inflation(), found.typical_share()), (None, None));
    }

    #[test]
    fn zero_spread_gives_a_finite_deviation() {
        let exact = |value| Ratio {
            value,
            interval: Some(Interval {
                low: value,
                high: value,
            }),
            p_value: 0.0,
        };
        assert_eq!(deviation(&exact(1.1)), Some(FURTHEST));
        assert_eq!(deviation(&exact(1.0)), Some(0.0));
    }
}
