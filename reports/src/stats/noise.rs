//! The noise floor: how far apart a lane is from itself on this host.

use super::quantile::median;

/// The noise floor of one workload, as a share.
///
/// `own` are the ratios of the A/A pairs of that workload, `all` those of the
/// whole run. One pair that happened to agree shows nothing, so that the
/// floor is at least the median of all pairs; and a workload without a pair
/// of its own has the largest of all.
#[must_use]
pub fn floor(own: &[f64], all: &[f64]) -> Option<f64> {
    let away = |ratio: &f64| ratio.ln().abs().exp_m1();
    let all: Vec<f64> = all
        .iter()
        .map(away)
        .filter(|share| share.is_finite())
        .collect();
    let typical = median(&all)?;
    let largest = |shares: &mut dyn Iterator<Item = f64>| shares.fold(0.0, f64::max);
    let own: Vec<f64> = own
        .iter()
        .map(away)
        .filter(|share| share.is_finite())
        .collect();
    if own.is_empty() {
        return Some(largest(&mut all.into_iter()));
    }
    Some(largest(&mut own.into_iter()).max(typical))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_counts_both_directions_alike() {
        let up = floor(&[1.1], &[1.1]).expect("pairs");
        let down = floor(&[1.0 / 1.1], &[1.0 / 1.1]).expect("pairs");
        assert!((up - 0.1).abs() < 1e-12 && (up - down).abs() < 1e-12);
    }

    #[test]
    fn lucky_pair_gets_the_typical_floor() {
        let floor = floor(&[1.0], &[1.0, 1.04, 1.06]).expect("pairs");
        assert!((floor - 0.04).abs() < 1e-12);
    }

    #[test]
    fn workload_without_a_pair_gets_the_largest() {
        let floor = floor(&[], &[1.0, 1.04, 1.06]).expect("pairs");
        assert!((floor - 0.06).abs() < 1e-12);
    }

    #[test]
    fn no_pairs_give_no_floor() {
        assert_eq!(floor(&[], &[]), None);
    }
}
