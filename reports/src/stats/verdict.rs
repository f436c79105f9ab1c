//! The verdict on two figures: *faster*, *slower*, *no difference*, *too noisy to say*.
//!
//! | verdict         | the interval of the ratio      | and                                    |
//! |-----------------|--------------------------------|----------------------------------------|
//! | faster, slower  | does not contain 1             | the effect is above the [`Bound`], and |
//! |                 |                                | Benjamini and Hochberg's procedure     |
//! |                 |                                | over all comparisons of the page       |
//! |                 |                                | keeps it                               |
//! | same            | within the margin on each side | neither of the above; nor do the       |
//! |                 |                                | averages differ                        |
//! | too noisy to say | anything else                 |                                        |
//!
//! *Same* needs its own evidence, because failing to find a difference does not show that there is
//! none. So its interval is within the [`Bound::margin`].

use serde::{Deserialize, Serialize};

use super::benjamini_hochberg;
use super::bootstrap::{Interval, Ratio};

/// The verdict on one figure against another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figure is better, significantly and by enough to matter.
    Faster,
    /// The figure is worse, significantly and by enough to matter.
    Slower,
    /// The two do not differ by more than the margin.
    Same,
    /// The figures are too noisy to say.
    CannotTell,
}

impl Verdict {
    /// True for *faster* and *slower*.
    #[must_use]
    pub fn is_difference(self) -> bool {
        matches!(self, Verdict::Faster | Verdict::Slower)
    }

    /// True for all but *too noisy to say*.
    #[must_use]
    pub fn is_decided(self) -> bool {
        self != Verdict::CannotTell
    }

    /// The verdict in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Same => "no difference",
            Verdict::CannotTell => "too noisy to say",
        }
    }
}

/// Bounds as shares: 0.05 is 5%.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// The smallest effect that may be *faster* or *slower*.
    pub threshold_ratio: f64,
    /// How much the host changed from one run to the other; 0 within one run.
    pub noise_ratio: f64,
}

impl Bound {
    /// The smallest effect of *faster* and *slower*.
    #[must_use]
    pub fn effect(&self) -> f64 {
        self.threshold_ratio.max(self.noise_ratio)
    }

    /// The margin of *same*: twice the effect, from 5% to 25%. A wider margin would include large
    /// differences.
    #[must_use]
    pub fn margin(&self) -> f64 {
        (2.0 * self.effect()).clamp(0.05, 0.25)
    }
}

/// One of the comparisons that are shown, and tested, together on a page.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The figure ÷ the reference's, inverted if a higher figure is better: below 1 is better.
    pub ratio: Ratio,
    /// The ratio of the [`averages`](super::shift::averages), if known.
    pub average: Option<Ratio>,
    /// The bound that the effect must exceed.
    pub bound: Bound,
}

impl Comparison {
    /// A comparison without averages.
    #[must_use]
    pub fn new(ratio: Ratio, bound: Bound) -> Comparison {
        Comparison {
            ratio,
            average: None,
            bound,
        }
    }

    /// True if the averages differ significantly and by more than the bound: a slow mode may be
    /// more frequent in one lane.
    #[must_use]
    pub fn averages_differ(&self) -> bool {
        self.average.is_some_and(|average| {
            average.value.ln().abs() > self.bound.effect().ln_1p()
                && average.interval.is_some_and(|one| !one.contains(1.0))
        })
    }
}

/// The verdicts on the comparisons of one page, in their order. About a share `rate` of *faster*
/// and *slower* may be false.
#[must_use]
pub fn verdicts(page: &[Comparison], rate: f64) -> Vec<Verdict> {
    let p_values: Vec<f64> = page
        .iter()
        .map(|comparison| comparison.ratio.p_value)
        .collect();
    let found = benjamini_hochberg(&p_values, rate);
    page.iter()
        .zip(found)
        .map(|(comparison, found)| verdict(comparison, found))
        .collect()
}

fn verdict(comparison: &Comparison, found: bool) -> Verdict {
    let Some(interval) = comparison.ratio.interval else {
        return Verdict::CannotTell;
    };
    let effect = comparison.ratio.value.ln().abs();
    let is_enough = effect > comparison.bound.effect().ln_1p();
    if found && is_enough && !interval.contains(1.0) {
        return if comparison.ratio.value < 1.0 {
            Verdict::Faster
        } else {
            Verdict::Slower
        };
    }
    if is_within(interval, comparison.bound.margin()) && !comparison.averages_differ() {
        return Verdict::Same;
    }
    Verdict::CannotTell
}

fn is_within(interval: Interval, margin: f64) -> bool {
    1.0 / (1.0 + margin) <= interval.low && interval.high <= 1.0 + margin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::FALSE_DISCOVERY_RATE as RATE;

    const BOUND: Bound = Bound {
        threshold_ratio: 0.02,
        noise_ratio: 0.01,
    };

    fn one(value: f64, low: f64, high: f64, p_value: f64) -> Verdict {
        let ratio = Ratio {
            value,
            interval: Some(Interval { low, high }),
            p_value,
        };
        verdicts(&[Comparison::new(ratio, BOUND)], RATE)[0]
    }

    #[test]
    fn clear_difference_is_faster_or_slower() {
        assert_eq!(one(0.5, 0.48, 0.52, 1e-6), Verdict::Faster);
        assert_eq!(one(2.0, 1.9, 2.1, 1e-6), Verdict::Slower);
    }

    #[test]
    fn difference_below_the_bound_is_not_called_slower_even_if_certain() {
        assert_eq!(one(1.015, 1.014, 1.016, 1e-9), Verdict::Same);
    }

    #[test]
    fn interval_that_contains_one_and_is_wide_cannot_tell() {
        assert_eq!(one(1.2, 0.9, 1.5, 0.2), Verdict::CannotTell);
    }

    #[test]
    fn narrow_interval_around_one_is_same() {
        assert_eq!(one(1.0, 0.98, 1.02, 0.9), Verdict::Same);
    }

    #[test]
    fn difference_below_the_noise_is_not_called_slower() {
        let ratio = Ratio {
            value: 1.2,
            interval: Some(Interval {
                low: 1.1,
                high: 1.3,
            }),
            p_value: 1e-9,
        };
        let bound = Bound {
            threshold_ratio: 0.02,
            noise_ratio: 0.25,
        };
        let verdict = verdicts(&[Comparison::new(ratio, bound)], RATE)[0];
        assert_eq!(
            verdict,
            Verdict::CannotTell,
            "nor is it the same, on such a host"
        );
    }

    #[test]
    fn no_interval_cannot_tell() {
        let ratio = Ratio {
            value: 9.0,
            interval: None,
            p_value: 1.0,
        };
        assert_eq!(
            verdicts(&[Comparison::new(ratio, BOUND)], RATE),
            [Verdict::CannotTell]
        );
    }

    #[test]
    fn lone_weak_finding_among_many_is_not_a_discovery() {
        let ratio = |p_value| Ratio {
            value: 1.1,
            interval: Some(Interval {
                low: 1.001,
                high: 1.2,
            }),
            p_value,
        };
        let mut page = vec![Comparison::new(ratio(0.04), BOUND)];
        page.extend((0..30).map(|_| Comparison::new(ratio(0.8), BOUND)));
        assert_eq!(verdicts(&page, RATE)[0], Verdict::CannotTell);
    }
}
