//! How much further repeats lie apart than their intervals allow.
//!
//! An A/A pair is a lane measured twice, in fresh processes of one interleaved design. Its ratio
//! must differ from 1 by no more than its interval allows; otherwise intervals are widened.
//!
//! The deviation of a pair is its distance from 1 in standard errors. Its square is one observation
//! of the *excess*, the factor by which the variance is too small. The excess of a figure is
//! estimated by shrinkage in two steps:
//!
//! 1. the run's excess: the mean over all pairs and `PRIOR_OF_RUN` imagined pairs whose excess is 1.
//!    No pair counts more than `MOST_OF_ONE` deviations;
//! 2. the figure's excess: the mean over its own pairs and `PRIOR_OF_FIGURE` imagined pairs with the run's
//!    excess.
//!
//! Both are scales of a conjugate (scaled inverse chi-squared) posterior; see Gelman and others,
//! "Bayesian data analysis", 3rd edition, section 2.6.

/// The weight of an excess of 1, as a number of pairs.
const PRIOR_OF_RUN: f64 = 20.0;

/// The weight of the run's excess, as a number of pairs.
const PRIOR_OF_FIGURE: f64 = 8.0;

/// A pair's deviation counts up to this much for other figures.
const MOST_OF_ONE: f64 = 4.0;

/// The factor for the spread of a figure's comparisons, at least 1. `own`: the deviations of its
/// own pairs; `all`: those of the whole run.
#[must_use]
pub fn inflation(own: &[f64], all: &[f64]) -> f64 {
    let of_run = posterior(
        all.iter().map(|one| one.abs().min(MOST_OF_ONE)),
        1.0,
        PRIOR_OF_RUN,
    );
    posterior(own.iter().copied(), of_run, PRIOR_OF_FIGURE).sqrt()
}

/// The mean of the squares, together with `weight` values of `prior`; at least 1.
fn posterior(deviations: impl Iterator<Item = f64>, prior: f64, weight: f64) -> f64 {
    let (sum, count) = deviations
        .filter(|one| one.is_finite())
        .fold((prior * weight, weight), |(sum, count), one| {
            (sum + one * one, count + 1.0)
        });
    (sum / count).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pairs_leave_the_intervals_as_they_are() {
        assert_eq!(inflation(&[], &[]), 1.0);
    }

    #[test]
    fn pairs_within_their_intervals_inflate_nothing() {
        let all: Vec<f64> = (1..40).map(|at| f64::from(at % 4) * 0.5).collect();
        assert_eq!(inflation(&all[..1], &all), 1.0);
    }

    #[test]
    fn pairs_that_all_vary_twice_as_much_inflate_almost_twice() {
        let found = inflation(&[2.0], &[2.0; 100]);
        assert!((1.8..2.0).contains(&found), "{found}");
    }

    #[test]
    fn wild_pair_widens_its_own_figure_and_hardly_any_other() {
        let mut all = vec![0.7; 60];
        all.push(30.0);
        let own = inflation(&[30.0], &all);
        assert!((9.0..11.0).contains(&own), "{own}");
        assert_eq!(inflation(&[0.7], &all), 1.0, "another figure's");
    }
}
