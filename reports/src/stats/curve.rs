//! How speed grows with workers: Amdahl's law and Gunther's universal scalability law (USL).
//!
//! Both are linear in their coefficients as the time of one unit of work, so each fit is an exact
//! least squares of relative errors:
//!
//! * Amdahl (1967): `T(p) = T₁ · (s + (1 - s) / p)`
//! * USL (Gunther, 1993): `T(p) = T₁ · (1 + σ (p - 1) + κ p (p - 1)) / p`
//!
//! A coefficient that would be negative is set to zero, and the others are fitted again. Intervals
//! come from fits to the bootstrap's resamples.

use serde::Serialize;

use super::CONFIDENCE;
use super::bootstrap::{Estimate, Interval, Replicates};
use super::quantile::quantile_of_sorted;

/// The fewest different worker counts for a fit.
pub const FEWEST_POINTS: usize = 5;

/// At most this many resamples are fitted.
const RESAMPLES: usize = 1_000;

/// The largest number of workers in a prediction ÷ the largest measured.
const LARGEST_REACH: f64 = 2.0;

/// A law of scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// Serial and parallel shares.
    Amdahl,
    /// Contention and coherency.
    Usl,
}

/// A measured point.
#[derive(Clone, Debug)]
pub struct Point {
    /// How many workers.
    pub workers: u64,
    /// The time, with its resamples.
    pub time: Replicates,
}

fn points(count: usize) -> String {
    format!("{count} point{}", if count == 1 { "" } else { "s" })
}

/// Why there is no fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoFit {
    /// Too few different worker counts.
    #[error("{}: too few for a fit, which takes {FEWEST_POINTS}", points(*.0))]
    TooFewPoints(usize),
    /// The points do not determine the coefficients.
    #[error("the points do not determine a fit")]
    Undetermined,
}

/// A fitted law.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Which law.
    pub law: Law,
    /// The time with one worker.
    pub time: Estimate,
    /// Amdahl: the serial share `s`. USL: the contention `σ`.
    pub contention: Estimate,
    /// USL: the coherency `κ`; zero for Amdahl.
    pub coherency: Estimate,
    /// `(workers, relative residual)`: measured ÷ fitted, minus 1.
    pub residuals: Vec<(u64, f64)>,
    /// The interval of the USL's peak, if it has one.
    peaks: Option<Interval>,
}

impl Fit {
    /// The law's speed-up over one worker; `None` beyond twice the largest count measured.
    #[must_use]
    pub fn speedup(&self, workers: f64) -> Option<f64> {
        let largest = self.residuals.iter().map(|residual| residual.0).max()? as f64;
        if workers < 1.0 || workers > LARGEST_REACH * largest {
            return None;
        }
        let relative = relative_time(
            self.law,
            workers,
            [1.0, self.contention.value, self.coherency.value],
        );
        Some(1.0 / relative)
    }

    /// The worker count beyond which more workers are slower (USL only). `None` if the interval of
    /// the coherency contains 0, or if the peak or an end of its interval is beyond twice the
    /// largest count measured.
    #[must_use]
    pub fn peak_workers(&self) -> Option<Estimate> {
        let interval = self.peaks?;
        let value = peak([self.time.value, self.contention.value, self.coherency.value])?;
        let largest = self.residuals.iter().map(|residual| residual.0).max()? as f64;
        let is_within = interval.high <= LARGEST_REACH * largest;
        (self.coherency.interval?.low > 0.0 && is_within).then_some(Estimate {
            value,
            interval: Some(interval),
        })
    }
}

fn peak([_, contention, coherency]: [f64; 3]) -> Option<f64> {
    (coherency > 0.0).then(|| ((1.0 - contention).max(0.0) / coherency).sqrt())
}

/// Fits `law` to `points`.
///
/// # Errors
///
/// [`NoFit`] with fewer than [`FEWEST_POINTS`] different worker counts, or if the points do not
/// determine the coefficients.
pub fn fit(law: Law, points: &[Point]) -> Result<Fit, NoFit> {
    let mut counts: Vec<u64> = points.iter().map(|point| point.workers).collect();
    counts.sort_unstable();
    counts.dedup();
    counts.retain(|workers| *workers > 0);
    if counts.len() < FEWEST_POINTS {
        return Err(NoFit::TooFewPoints(counts.len()));
    }
    let pairs = |pick: &dyn Fn(&Replicates) -> f64| -> Vec<(f64, f64)> {
        points
            .iter()
            .map(|point| (point.workers as f64, pick(&point.time)))
            .collect()
    };
    let value = coefficients(law, &pairs(&|time| time.value)).ok_or(NoFit::Undetermined)?;
    let draws = points
        .iter()
        .map(|point| point.time.resampled().len())
        .min()
        .unwrap_or(0)
        .min(RESAMPLES);
    let resampled: Vec<[f64; 3]> = (0..draws)
        .filter_map(|draw| coefficients(law, &pairs(&|time| time.resampled()[draw])))
        .collect();
    let interval = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        let low = quantile_of_sorted(&values, (1.0 - CONFIDENCE) / 2.0)?;
        let high = quantile_of_sorted(&values, f64::midpoint(1.0, CONFIDENCE))?;
        Some(Interval { low, high })
    };
    let estimate = |index: usize| Estimate {
        value: value[index],
        interval: interval(resampled.iter().map(|found| found[index]).collect()),
    };
    // A resample without a peak counts as one with its peak at infinity.
    let peaks = match law {
        Law::Amdahl => None,
        Law::Usl => interval(
            resampled
                .iter()
                .map(|found| peak(*found).unwrap_or(f64::MAX))
                .collect(),
        ),
    };
    let residuals = points
        .iter()
        .map(|point| {
            let fitted = relative_time(law, point.workers as f64, value) * value[0];
            (point.workers, point.time.value / fitted - 1.0)
        })
        .collect();
    Ok(Fit {
        law,
        time: estimate(0),
        contention: estimate(1),
        coherency: estimate(2),
        residuals,
        peaks,
    })
}

/// `T(p) / T₁` for `[T₁, s or σ, κ]`.
fn relative_time(law: Law, workers: f64, [_, contention, coherency]: [f64; 3]) -> f64 {
    match law {
        Law::Amdahl => contention + (1.0 - contention) / workers,
        Law::Usl => {
            (1.0 + contention * (workers - 1.0) + coherency * workers * (workers - 1.0)) / workers
        }
    }
}

/// `[T₁, s or σ, κ]` of the least relative error.
fn coefficients(law: Law, pairs: &[(f64, f64)]) -> Option<[f64; 3]> {
    // The terms of T(p). The first has the coefficient T₁, the others T₁ times the law's own
    // coefficients: for Amdahl, T₁ (1/p) + T₁ s (1 - 1/p).
    let terms = |workers: f64| match law {
        Law::Amdahl => [1.0 / workers, 1.0 - 1.0 / workers, 0.0],
        Law::Usl => [1.0 / workers, 1.0 - 1.0 / workers, workers - 1.0],
    };
    let allowed: &[&[usize]] = match law {
        Law::Amdahl => &[&[0, 1], &[0]],
        Law::Usl => &[&[0, 1, 2], &[0, 1], &[0, 2], &[0]],
    };
    allowed
        .iter()
        .filter_map(|used| {
            let solved = least_squares(pairs, used, &terms)?;
            (solved[0] > 0.0 && solved.iter().all(|value| *value >= 0.0)).then_some(solved)
        })
        .map(|solved| {
            let error: f64 = pairs
                .iter()
                .map(|&(workers, time)| {
                    let fitted: f64 = terms(workers)
                        .iter()
                        .zip(&solved)
                        .map(|(term, value)| term * value)
                        .sum();
                    (fitted / time - 1.0).powi(2)
                })
                .sum();
            (
                error,
                [solved[0], solved[1] / solved[0], solved[2] / solved[0]],
            )
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, coefficients)| coefficients)
}

/// Least squares of relative errors over the `used` terms.
fn least_squares(
    pairs: &[(f64, f64)],
    used: &[usize],
    terms: &dyn Fn(f64) -> [f64; 3],
) -> Option<[f64; 3]> {
    let size = used.len();
    // The normal equations; the last column is the right side.
    let mut rows = vec![vec![0.0; size + 1]; size];
    for &(workers, time) in pairs {
        if time <= 0.0 {
            return None;
        }
        let all = terms(workers);
        for (row, &i) in used.iter().enumerate() {
            for (column, &j) in used.iter().enumerate() {
                rows[row][column] += all[i] * all[j] / (time * time);
            }
            rows[row][size] += all[i] / time;
        }
    }
    for pivot in 0..size {
        let best =
            (pivot..size).max_by(|&a, &b| rows[a][pivot].abs().total_cmp(&rows[b][pivot].abs()))?;
        rows.swap(pivot, best);
        if rows[pivot][pivot].abs() < 1e-300 {
            return None;
        }
        for row in 0..size {
            if row != pivot {
                let factor = rows[row][pivot] / rows[pivot][pivot];
                let from = rows[pivot].clone();
                for (value, subtracted) in rows[row].iter_mut().zip(from) {
                    *value -= factor * subtracted;
                }
            }
        }
    }
    let mut solved = [0.0; 3];
    for (row, &index) in used.iter().enumerate() {
        solved[index] = rows[row][size] / rows[row][row];
    }
    solved
        .iter()
        .all(|value| value.is_finite())
        .then_some(solved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(times: impl Fn(f64) -> f64) -> Vec<Point> {
        [1_u64, 2, 4, 8, 16, 32]
            .into_iter()
            .map(|workers| {
                let time = times(workers as f64);
                let resampled = (0..200)
                    .map(|draw| time * (1.0 + 0.01 * ((f64::from(draw) * 12.9898).sin())))
                    .collect();
                Point {
                    workers,
                    time: Replicates::drawn(time, resampled, 5, workers),
                }
            })
            .collect()
    }

    #[test]
    fn amdahl_finds_the_serial_share_that_made_the_points() {
        let points = points(|p| 100.0 * (0.1 + 0.9 / p));
        let fit = fit(Law::Amdahl, &points).expect("six points");
        assert!(
            (fit.contention.value - 0.1).abs() < 1e-9,
            "{:?}",
            fit.contention
        );
        assert!(fit.residuals.iter().all(|residual| residual.1.abs() < 1e-9));
        assert!(
            (fit.speedup(64.0).expect("twice the largest") - 1.0 / (0.1 + 0.9 / 64.0)).abs() < 1e-6
        );
    }

    #[test]
    fn usl_finds_contention_coherency_and_the_peak() {
        let points = points(|p| 100.0 * (1.0 + 0.05 * (p - 1.0) + 0.002 * p * (p - 1.0)) / p);
        let fit = fit(Law::Usl, &points).expect("six points");
        assert!((fit.contention.value - 0.05).abs() < 1e-9);
        assert!((fit.coherency.value - 0.002).abs() < 1e-9);
        let peak = fit.peak_workers().expect("coherency");
        assert!(
            (peak.value - (0.95_f64 / 0.002).sqrt()).abs() < 1e-3,
            "{peak:?}"
        );
        assert!(peak.interval.expect("an interval").contains(peak.value));
        assert!(fit.coherency.interval.expect("an interval").contains(0.002));
    }

    #[test]
    fn better_than_linear_speedup_gives_no_negative_coefficient() {
        let points = points(|p| 100.0 / p.powf(1.1));
        for law in [Law::Amdahl, Law::Usl] {
            let fit = fit(law, &points).expect("six points");
            assert!(fit.contention.value >= 0.0 && fit.coherency.value >= 0.0);
        }
    }

    #[test]
    fn curve_that_may_have_no_peak_shows_none() {
        let level = points(|p| 100.0 * (1.0 + 0.05 * (p - 1.0) + 1e-6 * p * (p - 1.0)) / p);
        let fit = fit(Law::Usl, &level).expect("six points");
        assert_eq!(fit.peak_workers(), None, "{:?}", fit.coherency);
    }

    #[test]
    fn two_points_are_no_fit() {
        let points = points(|p| 1.0 / p);
        let error = fit(Law::Usl, &points[..2]).expect_err("refused");
        assert!(
            error.to_string().starts_with("2 points: too few for a fit"),
            "{error}"
        );
        let same: Vec<Point> = (0..9).map(|_| points[0].clone()).collect();
        assert_eq!(fit(Law::Usl, &same), Err(NoFit::TooFewPoints(1)));
    }

    #[test]
    fn prediction_past_twice_the_largest_count_is_refused() {
        let fit = fit(Law::Amdahl, &points(|p| 0.1 + 0.9 / p)).expect("six points");
        assert_eq!(fit.speedup(65.0), None);
    }
}
