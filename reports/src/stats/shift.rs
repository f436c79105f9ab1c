//! The factor by which one set of processes is slower than another: the shift of Hodges and
//! Lehmann, in logarithms.
//!
//! Processes of one lane often have a few modes: for example, whether the scheduler started both
//! threads on one CPU. Medians jump between the modes. The shift is the median of the factors
//! between each new process and each old one. Pairs of the same mode are the largest group, and all
//! of them have the same factor.
//!
//! The ends of the interval are quantiles of the same factors. The uncertainty of one share decides
//! which quantiles: the share of pairs in which the new process is slower (a U-statistic). The
//! variance of this share is estimated from how often each process is slower ("placements"), so the
//! two sides may have different spreads. If processes are paired, the placements of a pair are
//! added before their variance is taken, so the host's effect on both cancels. If this effect is
//! most of the variation, each pair gives one factor, and the shift is the median of the means of
//! every two factors (Hodges and Lehmann's estimate of one sample).
//!
//! # Sources
//!
//! Hodges and Lehmann, "Estimates of location based on rank tests", Annals of Mathematical
//! Statistics 34, 1963; Fligner and Policello, "Robust rank procedures for the Behrens-Fisher
//! problem", Journal of the American Statistical Association 76, 1981; Brunner and Munzel, "The
//! nonparametric Behrens-Fisher problem", Biometrical Journal 42, 2000, for the degrees of freedom.

use std::collections::BTreeMap;

use super::bootstrap::{Interval, Ratio, p_value, reach};
use super::quantile::{median, quantile_of_sorted};

/// With fewer processes on a side there is no interval at [`CONFIDENCE`](super::CONFIDENCE).
pub const FEWEST_PROCESSES: usize = 4;

/// With fewer pairs their correlation is unknown.
const FEWEST_PAIRS: usize = 10;

/// At most this many processes of a side are used, because the number of factors is its square.
const MOST_PROCESSES: usize = 1_000;

/// Whether processes are paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// The n-th processes of both sides were measured in one round.
    Paired,
    /// The two sides are independent.
    Apart,
}

/// The factor by which `ours` are larger than `theirs`, with a figure for each process; `None` if
/// there are too few, or if one is not above zero.
#[must_use]
pub fn shift(ours: &[f64], theirs: &[f64], design: Design) -> Option<Ratio> {
    let (ours, theirs) = (logarithms(ours)?, logarithms(theirs)?);
    let mut factors = match design {
        Design::Paired if host_dominates(&ours, &theirs) => Factors::of_pairs(&ours, &theirs),
        Design::Paired if ours.len() == theirs.len() => Factors::of_all(&ours, &theirs, true),
        _ => Factors::of_all(&ours, &theirs, false),
    };
    factors.logs.sort_unstable_by(f64::total_cmp);
    let Factors {
        logs: factors,
        log,
        error,
        freedom,
    } = factors;
    let away = error * reach(freedom)?;
    let end = |share: f64| quantile_of_sorted(&factors, share.clamp(0.0, 1.0));
    let (low, high) = (end(0.5 - away)?, end(0.5 + away)?);
    // The distance from 1 in standard errors, by the end of the interval nearer to 1. The share of
    // slower pairs does not show it, because it cannot exceed 1.
    let towards_one = if log > 0.0 { log - low } else { high - log };
    Some(Ratio {
        value: log.exp(),
        interval: Some(Interval {
            low: low.exp(),
            high: high.exp(),
        }),
        p_value: p_value(log, towards_one / reach(freedom)?, freedom),
    })
}

/// The [`shift`] of processes by index; if paired, of complete pairs.
#[must_use]
pub fn between(
    ours: &BTreeMap<u64, f64>,
    theirs: &BTreeMap<u64, f64>,
    design: Design,
) -> Option<Ratio> {
    let (ours, theirs) = sides(ours, theirs, design);
    shift(&ours, &theirs, design)
}

/// The figures of both sides; if paired, of complete pairs.
#[must_use]
pub fn sides(
    ours: &BTreeMap<u64, f64>,
    theirs: &BTreeMap<u64, f64>,
    design: Design,
) -> (Vec<f64>, Vec<f64>) {
    match design {
        Design::Apart => (
            ours.values().copied().collect(),
            theirs.values().copied().collect(),
        ),
        Design::Paired => ours
            .iter()
            .filter_map(|(process, our)| Some((*our, *theirs.get(process)?)))
            .unzip(),
    }
}

/// Half of the width of the interval, as a share.
#[must_use]
pub fn half_width(ratio: &Ratio) -> Option<f64> {
    let interval = ratio.interval?;
    Some(((interval.high / interval.low).ln() / 2.0).exp_m1())
}

/// The ratio of the averages, with Student's interval in logarithms. Unlike the shift, it shows a
/// slow mode that became more frequent.
#[must_use]
pub fn averages(ours: &[f64], theirs: &[f64], design: Design) -> Option<Ratio> {
    let (ours, theirs) = (logarithms(ours)?, logarithms(theirs)?);
    let log = mean(ours.iter().copied()) - mean(theirs.iter().copied());
    let (error, freedom) = if design == Design::Paired && ours.len() == theirs.len() {
        let both = ours.iter().zip(&theirs);
        let differences: Vec<f64> = both.map(|(our, their)| our - their).collect();
        let freedom = (differences.len() - 1) as f64;
        (error_of_mean(&differences), freedom)
    } else {
        combine_errors(
            (error_of_mean(&ours), ours.len()),
            (error_of_mean(&theirs), theirs.len()),
        )
    };
    let away = error * reach(freedom)?;
    Some(Ratio {
        value: log.exp(),
        interval: Some(Interval {
            low: (log - away).exp(),
            high: (log + away).exp(),
        }),
        p_value: p_value(log, error, freedom),
    })
}

/// The logarithms of the figures, or of every n-th above [`MOST_PROCESSES`]. `None` if there are
/// too few, or if one is not above zero.
fn logarithms(figures: &[f64]) -> Option<Vec<f64>> {
    let step = figures.len().div_ceil(MOST_PROCESSES).max(1);
    let logs: Vec<f64> = figures.iter().step_by(step).map(|one| one.ln()).collect();
    (logs.len() >= FEWEST_PROCESSES && logs.iter().all(|log| log.is_finite())).then_some(logs)
}

/// 1 for a logarithm above zero, 0 below, and 0.5 if it is zero up to rounding.
fn above(log: f64) -> f64 {
    const TIE: f64 = 1e-12;
    match log {
        log if log > TIE => 1.0,
        log if log < -TIE => 0.0,
        _ => 0.5,
    }
}

struct Factors {
    logs: Vec<f64>,
    /// The median of `logs`.
    log: f64,
    /// The standard error of the share of factors above the median.
    error: f64,
    freedom: f64,
}

impl Factors {
    /// The factors between each of our processes and each of theirs.
    fn of_all(ours: &[f64], theirs: &[f64], paired: bool) -> Factors {
        let all = ours
            .iter()
            .flat_map(|our| theirs.iter().map(move |their| our - their));
        let logs: Vec<f64> = all.collect();
        let log = median(&logs).unwrap_or(f64::NAN);
        let of_ours = |our: &f64| mean(theirs.iter().map(|their| above(our - their - log)));
        let of_theirs = |their: &f64| mean(ours.iter().map(|our| above(our - their - log)));
        let of_ours: Vec<f64> = ours.iter().map(of_ours).collect();
        let of_theirs: Vec<f64> = theirs.iter().map(of_theirs).collect();
        let (error, freedom) = if paired {
            let sums = of_ours.iter().zip(&of_theirs);
            let sums: Vec<f64> = sums.map(|(our, their)| our + their).collect();
            (error_of_mean(&sums), (sums.len() - 1) as f64)
        } else {
            combine_errors(
                (error_of_mean(&of_ours), ours.len()),
                (error_of_mean(&of_theirs), theirs.len()),
            )
        };
        Factors {
            logs,
            log,
            error,
            freedom,
        }
    }

    /// The means of every two pairs' factors, including a pair and itself.
    fn of_pairs(ours: &[f64], theirs: &[f64]) -> Factors {
        let pairs = ours.iter().zip(theirs);
        let pairs: Vec<f64> = pairs.map(|(our, their)| our - their).collect();
        let middle = |at: usize| {
            let rest = &pairs[at..];
            rest.iter().map(move |other| f64::midpoint(rest[0], *other))
        };
        let logs: Vec<f64> = (0..pairs.len()).flat_map(middle).collect();
        let log = median(&logs).unwrap_or(f64::NAN);
        let of_pair = |pair: &f64| {
            let middles = pairs.iter().map(|other| f64::midpoint(*pair, *other));
            mean(middles.map(|middle| above(middle - log)))
        };
        let of_pairs: Vec<f64> = pairs.iter().map(of_pair).collect();
        Factors {
            logs,
            log,
            // Each mean contains two pairs.
            error: 2.0 * error_of_mean(&of_pairs),
            freedom: (pairs.len() - 1) as f64,
        }
    }
}

/// True if the host's effect on both processes of a pair is most of the variation, by Spearman's
/// correlation. Then only the factors within pairs are used.
fn host_dominates(ours: &[f64], theirs: &[f64]) -> bool {
    if ours.len() != theirs.len() || ours.len() < FEWEST_PAIRS {
        return false;
    }
    let (ours, theirs) = (ranks(ours), ranks(theirs));
    let middle = (ours.len() - 1) as f64 / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        let both = a.iter().zip(b);
        both.map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let spread = (product(&ours, &ours) * product(&theirs, &theirs)).sqrt();
    product(&ours, &theirs) > 0.5 * spread
}

/// Equal values get the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let place = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        below as f64 + (equal as f64 - 1.0) / 2.0
    };
    values.iter().map(place).collect()
}

/// Two standard errors, combined with the degrees of freedom of Welch and Satterthwaite.
fn combine_errors(ours: (f64, usize), theirs: (f64, usize)) -> (f64, f64) {
    let (a, b) = (ours.0.powi(2), theirs.0.powi(2));
    let (da, db) = ((ours.1 - 1) as f64, (theirs.1 - 1) as f64);
    let freedom = (a + b).powi(2) / (a * a / da + b * b / db);
    // Without any spread, the smaller of both numbers is used.
    let freedom = if freedom.is_finite() {
        freedom
    } else {
        da.min(db)
    };
    ((a + b).sqrt(), freedom)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn error_of_mean(values: &[f64]) -> f64 {
    let mean = mean(values.iter().copied());
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let count = values.len() as f64;
    (squares / (count - 1.0) / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two modes, each with a spread of 1%: one process in `slow_every` is slow.
    fn modes(count: usize, slow_every: usize) -> Vec<f64> {
        (0..count)
            .map(|at| {
                let wobble = 1.0 + 0.01 * ((at * 7 % 11) as f64 / 11.0 - 0.5);
                let mode = if at % slow_every == 0 { 1.5 } else { 1.0 };
                100.0 * mode * wobble
            })
            .collect()
    }

    fn times(figures: &[f64], factor: f64) -> Vec<f64> {
        figures.iter().map(|figure| figure * factor).collect()
    }

    #[test]
    fn shift_of_figures_in_two_modes_is_that_within_a_mode() {
        let base = modes(40, 3);
        let ratio = shift(&times(&modes(37, 4), 1.1), &base, Design::Apart).expect("enough");
        assert!((ratio.value - 1.1).abs() < 0.01, "{ratio:?}");
        assert!(ratio.interval.expect("one").low > 1.0, "{ratio:?}");
        assert!(ratio.p_value < 0.01, "{ratio:?}");
    }

    #[test]
    fn common_effects_of_the_host_on_a_pair_cancel() {
        let base: Vec<f64> = (0..12).map(|at| 100.0 + 37.0 * f64::from(at % 5)).collect();
        let new: Vec<f64> = base
            .iter()
            .enumerate()
            .map(|(at, one)| one * (1.05 + 0.001 * (at % 3) as f64))
            .collect();
        let paired = shift(&new, &base, Design::Paired).expect("enough");
        let apart = shift(&new, &base, Design::Apart).expect("enough");
        assert!(
            half_width(&paired) < half_width(&apart),
            "{paired:?} {apart:?}"
        );
        assert!(paired.interval.expect("one").low > 1.0, "{paired:?}");
    }

    #[test]
    fn equal_constants_are_exactly_alike() {
        let ratio = shift(&[7.0; 5], &[7.0; 5], Design::Apart).expect("enough");
        assert_eq!((ratio.value, ratio.p_value), (1.0, 1.0));
        assert_eq!(half_width(&ratio), Some(0.0));
    }

    #[test]
    fn large_difference_is_found_and_certain() {
        let ratio = shift(&modes(10, 99), &times(&modes(10, 99), 0.1), Design::Apart);
        let ratio = ratio.expect("enough");
        assert!(
            (ratio.value - 10.0).abs() < 0.2 && ratio.p_value < 1e-3,
            "{ratio:?}"
        );
    }

    #[test]
    fn few_or_impossible_figures_give_nothing() {
        assert_eq!(shift(&[1.0; 3], &[1.0; 9], Design::Apart), None);
        assert_eq!(shift(&[0.0; 9], &[1.0; 9], Design::Apart), None);
    }

    #[test]
    fn more_processes_have_a_narrower_interval() {
        let of = |count| {
            let ratio = shift(&modes(count, 4), &modes(count, 4), Design::Apart);
            half_width(&ratio.expect("enough")).expect("an interval")
        };
        assert!(
            of(160) < of(40) && of(40) < of(10),
            "{} {} {}",
            of(160),
            of(40),
            of(10)
        );
    }

    #[test]
    fn averages_see_a_slow_mode_that_became_frequent_and_the_shift_does_not() {
        let (base, new) = (modes(80, 4), modes(80, 2));
        let typical = shift(&new, &base, Design::Apart).expect("enough");
        let average = averages(&new, &base, Design::Apart).expect("enough");
        assert!((typical.value - 1.0).abs() < 0.02, "{typical:?}");
        assert!(average.interval.expect("one").low > 1.02, "{average:?}");
    }

    #[test]
    fn processes_above_the_limit_are_thinned_out() {
        let many = modes(50_000, 4);
        assert!(shift(&many, &many, Design::Paired).is_some());
    }
}
