//! Geometric means over common cells.

use std::collections::BTreeMap;

/// The geometric mean of each side over the cells that all sides have, and the number of these
/// cells; `None` if there are none. Values that are not above zero count as missing.
#[must_use]
pub fn means_over_intersection<K: Ord>(sides: &[BTreeMap<K, f64>]) -> Option<(Vec<f64>, usize)> {
    let is_good = |value: &f64| *value > 0.0 && value.is_finite();
    let common: Vec<&K> = sides
        .first()?
        .keys()
        .filter(|key| sides.iter().all(|side| side.get(key).is_some_and(is_good)))
        .collect();
    if common.is_empty() {
        return None;
    }
    let mean = |side: &BTreeMap<K, f64>| {
        (common.iter().map(|key| side[key].ln()).sum::<f64>() / common.len() as f64).exp()
    };
    Some((sides.iter().map(mean).collect(), common.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_common_cells_count() {
        let a = BTreeMap::from([("x", 2.0), ("y", 8.0), ("only a", 1e9)]);
        let b = BTreeMap::from([("x", 1.0), ("y", 1.0), ("only b", 1e-9)]);
        let (means, count) = means_over_intersection(&[a, b]).expect("two cells");
        assert!((means[0] - 4.0).abs() < 1e-12 && (means[1] - 1.0).abs() < 1e-12);
        assert_eq!(count, 2);
    }

    #[test]
    fn sides_without_common_cells_have_no_mean() {
        let a = BTreeMap::from([("x", 2.0)]);
        let b = BTreeMap::from([("x", 0.0)]);
        assert_eq!(means_over_intersection(&[a, b]), None);
        assert_eq!(means_over_intersection::<u8>(&[]), None);
    }
}
