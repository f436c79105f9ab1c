//! When a comparison is judged during the measurement, and how many processes it may need.
//!
//! Each judgement is a *look*. With a look after every process, the most extreme of two hundred
//! intervals would decide, so looks are rare: each at about 1.4 times the processes of the look
//! before. The errors of the looks add up, so the false discovery rate is lower
//! ([`FALSE_DISCOVERY_RATE_OF_LOOKS`](super::FALSE_DISCOVERY_RATE_OF_LOOKS)).

use super::bootstrap::Ratio;
use super::verdict::Bound;

/// The number of processes at each look.
pub const LOOKS: [u64; 12] = [5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 200];

/// A discovery among many comparisons needs an effect of this many half-widths of its interval: the
/// 99.5th percentile ÷ the 97.5th, for few processes.
const DISCOVERY: f64 = 1.45;

/// The first look after `count` processes; `None` after the last.
#[must_use]
pub fn next(count: u64) -> Option<u64> {
    LOOKS.into_iter().find(|look| *look > count)
}

/// The number of processes for a verdict, if the present effect is the true one: the interval
/// narrows with the root of this number. Infinite without an interval.
#[must_use]
pub fn needed(ratio: &Ratio, bound: &Bound, count: u64) -> f64 {
    let Some(interval) = ratio.interval else {
        return f64::INFINITY;
    };
    let log = ratio.value.ln();
    let width = (log - interval.low.ln()).max(interval.high.ln() - log);
    let effect = log.abs();
    let to_tell = match effect > bound.effect().ln_1p() {
        true => effect / DISCOVERY,
        false => 0.0,
    };
    let to_be_same = bound.margin().ln_1p() - effect;
    let wanted_width = to_tell.max(to_be_same);
    match wanted_width > 0.0 {
        true => count as f64 * (width / wanted_width).powi(2),
        false => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Interval;

    const BOUND: Bound = Bound {
        threshold_ratio: 0.05,
        noise_ratio: 0.0,
    };

    fn ratio(log: f64, width: f64) -> Ratio {
        Ratio {
            value: log.exp(),
            interval: Some(Interval {
                low: (log - width).exp(),
                high: (log + width).exp(),
            }),
            p_value: 0.5,
        }
    }

    #[test]
    fn looks_become_rarer_and_stop() {
        assert_eq!((next(0), next(5), next(199)), (Some(5), Some(7), Some(200)));
        assert_eq!(next(200), None);
    }

    #[test]
    fn interval_twice_as_wide_needs_four_times_the_processes() {
        let (narrow, wide) = (ratio(0.0, 0.1), ratio(0.0, 0.2));
        let factor = needed(&wide, &BOUND, 10) / needed(&narrow, &BOUND, 10);
        assert!((factor - 4.0).abs() < 1e-9, "{factor}");
    }

    #[test]
    fn large_effect_needs_fewer_than_a_small_one() {
        let of = |log| needed(&ratio(log, 0.3), &BOUND, 5);
        assert!(of(1.0) < of(0.3) && of(0.3) < of(0.07), "{}", of(0.07));
    }

    #[test]
    fn figures_without_an_interval_need_infinitely_many_processes() {
        let ratio = Ratio {
            interval: None,
            ..ratio(0.5, 0.1)
        };
        assert_eq!(needed(&ratio, &BOUND, 5), f64::INFINITY);
    }
}
