//! Order statistics: the median, its spread, and outliers.

/// The quantile, linear between adjacent values (type 7 of Hyndman and Fan, 1996); `None` for no
/// values.
#[must_use]
pub fn quantile_of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let low = place.floor() as usize;
    let high = place.ceil() as usize;
    let weight = place - low as f64;
    Some(sorted[low] + (sorted[high] - sorted[low]) * weight)
}

/// The median; reorders `values`. `None` for no values.
pub fn median_in_place(values: &mut [f64]) -> Option<f64> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let (below, middle, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    let middle = *middle;
    if count % 2 == 1 {
        return Some(middle);
    }
    let below = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(below + (middle - below) / 2.0)
}

/// The median; `None` for no values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    median_in_place(&mut values.to_vec())
}

/// The median distance from the median, unscaled; `None` for no values.
#[must_use]
pub fn median_absolute_deviation(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median_in_place(&mut deviations)
}

/// The indices of values with a modified z-score above 3.5 (Iglewicz and Hoaglin, 1993). The report
/// marks outliers and includes them.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<usize> {
    /// The median absolute deviation of a normal distribution ÷ its standard deviation.
    const NORMAL_SCALE: f64 = 0.674_489_75;
    let (Some(middle), Some(deviation)) = (median(values), median_absolute_deviation(values))
    else {
        return Vec::new();
    };
    let is_outlier = |value: f64| NORMAL_SCALE * (value - middle).abs() > 3.5 * deviation;
    (0..values.len())
        .filter(|&index| is_outlier(values[index]) && deviation > 0.0)
        .collect()
}

/// The weighted median of `(value, weight)` pairs, which are reordered. `None` if the weights sum
/// to zero.
pub fn weighted_median_in_place(pairs: &mut [(f64, f64)]) -> Option<f64> {
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = pairs.iter().map(|pair| pair.1).sum();
    if total <= 0.0 {
        return None;
    }
    let mut sum = 0.0;
    for (index, pair) in pairs.iter().enumerate() {
        sum += pair.1;
        if (sum - total / 2.0).abs() <= f64::EPSILON * total {
            let next = pairs.get(index + 1).map_or(pair.0, |next| next.0);
            return Some(f64::midpoint(pair.0, next));
        }
        if sum > total / 2.0 {
            return Some(pair.0);
        }
    }
    pairs.last().map(|pair| pair.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn quantile_lies_between_its_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(quantile_of_sorted(&sorted, 0.75), Some(3.0));
        assert_eq!(quantile_of_sorted(&sorted, 0.0), Some(1.0));
        assert_eq!(quantile_of_sorted(&sorted, 1.0), Some(4.0));
    }

    #[test]
    fn deviation_ignores_one_wild_value() {
        assert_eq!(
            median_absolute_deviation(&[1.0, 2.0, 3.0, 4.0, 1e9]),
            Some(1.0)
        );
    }

    #[test]
    fn outlier_is_flagged_and_the_rest_is_not() {
        assert_eq!(outliers(&[10.0, 11.0, 10.5, 9.5, 10.2, 30.0]), [5]);
        assert!(
            outliers(&[5.0, 5.0, 5.0, 6.0]).is_empty(),
            "no spread, no verdict"
        );
    }

    #[test]
    fn weighted_median_with_equal_weights_is_the_median() {
        let mut odd = [(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)];
        assert_eq!(weighted_median_in_place(&mut odd), Some(2.0));
        let mut even = [(1.0, 1.0), (2.0, 1.0)];
        assert_eq!(weighted_median_in_place(&mut even), Some(1.5));
        let mut heavy = [(1.0, 1.0), (2.0, 9.0), (7.0, 1.0)];
        assert_eq!(weighted_median_in_place(&mut heavy), Some(2.0));
    }

    proptest! {
        #[test]
        fn median_splits_the_values_in_half(values in prop::collection::vec(-1e12..1e12, 1..60)) {
            let middle = median(&values).expect("there are values");
            let below = values.iter().filter(|value| **value < middle).count();
            let above = values.iter().filter(|value| **value > middle).count();
            prop_assert!(below <= values.len() / 2 && above <= values.len() / 2);
        }
    }
}
