//! The slope of a line through noisy points.
//!
//! The weighted Theil–Sen slope: the median of the slopes of all pairs of points, each weighted by
//! its distance along x (Sievers, 1978; Scholz, 1978). One disturbed reading moves it little, and
//! pairs of close points, whose slopes are mostly noise, have little weight.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::bootstrap::{Estimate, Interval};
use super::quantile::{quantile_of_sorted, weighted_median_in_place};
use super::{CONFIDENCE, quantile};

/// Fewer than for a median, because each resample uses all pairs of points.
const RESAMPLES: usize = 500;

/// A fitted line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The change of y per x.
    pub slope: Estimate,
    /// The value at x = 0.
    pub intercept: f64,
    /// How many different x.
    pub distinct_count: usize,
    /// The slope of each resample; empty with two points.
    pub resampled: Vec<f64>,
}

/// Fits a line to `points`; `None` with fewer than two different x.
///
/// Points are resampled within their x, so all resamples span the same range. If each x has one
/// point only, the residuals are resampled instead. The same seed gives the same interval.
#[must_use]
pub fn line(points: &[(f64, f64)], seed: u64) -> Option<Line> {
    let value = slope(points)?;
    let mut by_x: Vec<(f64, Vec<f64>)> = Vec::new();
    for &(x, y) in points {
        match by_x.iter_mut().find(|group| group.0 == x) {
            Some(group) => group.1.push(y),
            None => by_x.push((x, vec![y])),
        }
    }
    let residuals: Vec<f64> = points.iter().map(|(x, y)| y - value * x).collect();
    let intercept = quantile::median(&residuals)?;
    let resampled = if by_x.iter().any(|group| group.1.len() > 1) {
        resampled_slopes(&by_x, points.len(), seed)
    } else if by_x.len() > 2 {
        resampled_residuals(points, value, intercept, &residuals, seed)
    } else {
        Vec::new()
    };
    let slope = Estimate {
        value,
        interval: interval(&resampled),
    };
    Some(Line {
        slope,
        intercept,
        distinct_count: by_x.len(),
        resampled,
    })
}

fn interval(resampled: &[f64]) -> Option<Interval> {
    let mut sorted = resampled.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(Interval {
        low: quantile_of_sorted(&sorted, (1.0 - CONFIDENCE) / 2.0)?,
        high: quantile_of_sorted(&sorted, f64::midpoint(1.0, CONFIDENCE))?,
    })
}

fn resampled_slopes(by_x: &[(f64, Vec<f64>)], count: usize, seed: u64) -> Vec<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drawn = Vec::with_capacity(count);
    (0..RESAMPLES)
        .filter_map(|_| {
            drawn.clear();
            for (x, ys) in by_x {
                drawn.extend(ys.iter().map(|_| (*x, ys[rng.random_range(0..ys.len())])));
            }
            slope(&drawn)
        })
        .collect()
}

fn resampled_residuals(
    points: &[(f64, f64)],
    slope_value: f64,
    intercept: f64,
    residuals: &[f64],
    seed: u64,
) -> Vec<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let count = points.len() as f64;
    // A fitted line is closer to its few points than the true line is, so the residuals are
    // widened.
    let widened = (count / (count - 2.0)).sqrt();
    let mut drawn = Vec::with_capacity(points.len());
    (0..RESAMPLES)
        .filter_map(|_| {
            drawn.clear();
            drawn.extend(points.iter().map(|&(x, _)| {
                let residual = residuals[rng.random_range(0..residuals.len())] - intercept;
                (x, intercept + slope_value * x + residual * widened)
            }));
            slope(&drawn)
        })
        .collect()
}

fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, &(x1, y1)) in points.iter().enumerate() {
        for &(x2, y2) in &points[index + 1..] {
            if x1 != x2 {
                slopes.push(((y2 - y1) / (x2 - x1), (x2 - x1).abs()));
            }
        }
    }
    weighted_median_in_place(&mut slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_line_is_found() {
        let points: Vec<(f64, f64)> = (1..=5)
            .map(|x| (f64::from(x), 3.0 * f64::from(x) + 7.0))
            .collect();
        let line = line(&points, 1).expect("five points");
        assert!((line.slope.value - 3.0).abs() < 1e-12 && (line.intercept - 7.0).abs() < 1e-12);
        let interval = line.slope.interval.expect("five points");
        assert!(
            (interval.high - interval.low).abs() < 1e-9,
            "an exact line has no spread"
        );
        assert_eq!(line.distinct_count, 5);
    }

    #[test]
    fn one_spoiled_reading_moves_the_slope_little() {
        let mut points: Vec<(f64, f64)> = (1..=5)
            .flat_map(|x| {
                [
                    (f64::from(x), 3.0 * f64::from(x)),
                    (f64::from(x), 3.1 * f64::from(x)),
                ]
            })
            .collect();
        points[9].1 = 1e6;
        let line = line(&points, 1).expect("ten points");
        assert!((line.slope.value - 3.0).abs() < 0.2, "{}", line.slope.value);
    }

    #[test]
    fn one_noisy_point_at_each_x_gives_an_interval() {
        let points = [
            (100.0, 3.9e6),
            (250.0, 9.4e6),
            (500.0, 19.3e6),
            (1000.0, 38.1e6),
            (2000.0, 76.4e6),
        ];
        let interval = line(&points, 1)
            .expect("points")
            .slope
            .interval
            .expect("an interval");
        assert!(
            interval.contains(38_200.0) && interval.high - interval.low > 10.0,
            "{interval:?}"
        );
        assert_eq!(
            line(&points[..2], 1).expect("two points").slope.interval,
            None
        );
    }

    #[test]
    fn one_x_has_no_line() {
        assert_eq!(line(&[(1.0, 2.0), (1.0, 3.0)], 1), None);
        assert_eq!(line(&[], 1), None);
    }

    #[test]
    fn interval_contains_the_true_slope_of_noisy_points() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let points: Vec<(f64, f64)> = (0..50)
            .map(|index| {
                let x = f64::from(1 + index % 5) * 200.0;
                (x, 38_000.0 * x + (rng.random::<f64>() - 0.5) * 400_000.0)
            })
            .collect();
        let interval = line(&points, 1)
            .expect("points")
            .slope
            .interval
            .expect("an interval");
        assert!(interval.contains(38_000.0), "{interval:?}");
    }
}
