//! The difference of two figures, for figures that may be zero, such as the memory of a light task:
//! the ratio of such figures has no interval.
//!
//! The unit of a difference is the larger figure. Near equality, a difference in this unit is the
//! logarithm of the ratio, so the rules of [`verdict`](super::verdict) hold for both.

use serde::Serialize;

use super::bootstrap::{Interval, Ratio};

/// One figure minus another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The difference, in the figures' unit.
    pub value: f64,
    /// The interval at [`CONFIDENCE`](super::CONFIDENCE); `None` with fewer than two processes on a
    /// side.
    pub interval: Option<Interval>,
    /// The probability of a difference at least this far from 0 between repeats, by Student's t.
    pub p_value: f64,
    /// The larger figure, but at least the smallest amount that matters; above zero.
    pub scale: f64,
}

impl Difference {
    /// The difference as a ratio, for the rules that judge ratios: 1 for no difference.
    #[must_use]
    pub fn as_ratio(&self) -> Ratio {
        let share = |value: f64| (value / self.scale).exp();
        Ratio {
            value: share(self.value),
            interval: self.interval.map(|interval| Interval {
                low: share(interval.low),
                high: share(interval.high),
            }),
            p_value: self.p_value,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::stats::bootstrap::{Replicates, Tree};
    use crate::stats::verdict::{Bound, Comparison, Verdict, verdicts};

    fn figure(processes: &[f64], seed: u64) -> Replicates {
        let tree: Tree = processes.iter().map(|one| vec![vec![*one]]).collect();
        Replicates::of_median(&tree, seed).expect("values")
    }

    fn verdict(ours: &[f64], theirs: &[f64], least: f64) -> Verdict {
        let (ours, theirs) = (figure(ours, 1), figure(theirs, 2));
        let difference = ours.difference(&theirs, least).expect("a scale");
        let bound = Bound {
            threshold_ratio: 0.05,
            noise_ratio: 0.0,
        };
        let ratio = difference.as_ratio();
        verdicts(&[Comparison::new(ratio, bound)], 0.05)[0]
    }

    const NOTHING: [f64; 6] = [-3.0, 2.0, -1.0, 4.0, 0.0, -2.0];
    const TASK: [f64; 6] = [451.0, 456.0, 460.0, 455.0, 453.0, 458.0];

    #[test]
    fn zero_is_smaller_than_a_positive_figure_on_either_side() {
        assert_eq!(verdict(&NOTHING, &TASK, 0.0), Verdict::Faster);
        assert_eq!(verdict(&TASK, &NOTHING, 0.0), Verdict::Slower);
    }

    #[test]
    fn two_zeros_are_the_same_only_if_a_smallest_amount_is_given() {
        let other: Vec<f64> = NOTHING.iter().map(|one| -one).collect();
        assert_eq!(verdict(&NOTHING, &other, 0.0), Verdict::CannotTell);
        assert_eq!(verdict(&NOTHING, &other, 160.0), Verdict::Same);
    }

    #[test]
    fn figures_that_differ_by_a_hundredth_are_the_same() {
        let near: Vec<f64> = TASK.iter().map(|one| one * 1.01).collect();
        assert_eq!(verdict(&near, &TASK, 0.0), Verdict::Same);
    }

    #[test]
    fn one_process_has_a_difference_and_no_interval() {
        let one = figure(&[5.0], 1);
        let difference = one.difference(&figure(&[3.0], 2), 0.0).expect("a scale");
        assert_eq!((difference.value, difference.interval), (2.0, None));
    }
}
