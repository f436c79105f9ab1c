//! Latency histograms as pairs of latency and count, in ascending order of latency.

use std::collections::BTreeMap;

/// The sum of several histograms.
#[must_use]
pub fn merge<'a>(histograms: impl IntoIterator<Item = &'a [(u64, u64)]>) -> Vec<(u64, u64)> {
    let mut merged: BTreeMap<u64, u64> = BTreeMap::new();
    for &(value, count) in histograms.into_iter().flatten() {
        let sum = merged.entry(value).or_default();
        *sum = sum.saturating_add(count);
    }
    merged.into_iter().collect()
}

/// The smallest latency that at least `share` of the counts do not exceed; `None` without counts.
#[must_use]
pub fn percentile(buckets: &[(u64, u64)], share: f64) -> Option<u64> {
    let total = total(buckets);
    if total == 0 {
        return None;
    }
    let wanted = ((share.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
    let mut seen = 0_u64;
    for &(value, count) in buckets {
        seen = seen.saturating_add(count);
        if seen >= wanted {
            return Some(value);
        }
    }
    buckets.last().map(|bucket| bucket.0)
}

/// The percentile, if at least three counts are beyond it: the 99th from 300 latencies on, the
/// 99.9th from 3,000 on. A median is always shown.
#[must_use]
pub fn shown_percentile(buckets: &[(u64, u64)], share: f64) -> Option<u64> {
    let beyond = total(buckets) as f64 * (1.0 - share);
    let is_shown = share <= 0.5 || beyond >= FEWEST_BEYOND;
    is_shown.then(|| percentile(buckets, share))?
}

/// A percentile with fewer latencies beyond it is mostly chance.
const FEWEST_BEYOND: f64 = 3.0;

/// How many latencies there are.
#[must_use]
pub fn total(buckets: &[(u64, u64)]) -> u64 {
    buckets
        .iter()
        .fold(0, |sum, bucket| sum.saturating_add(bucket.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_one_to_a_thousand() {
        let buckets: Vec<(u64, u64)> = (1..=1000).map(|value| (value, 1)).collect();
        assert_eq!(percentile(&buckets, 0.5), Some(500));
        assert_eq!(percentile(&buckets, 0.99), Some(990));
        assert_eq!(percentile(&buckets, 1.0), Some(1000));
        assert_eq!(percentile(&buckets, 0.0), Some(1));
    }

    #[test]
    fn percentile_with_fewer_than_three_latencies_beyond_it_is_not_shown() {
        for (count, p99, p999) in [
            (299, None, None),
            (300, Some(7), None),
            (2_999, Some(7), None),
            (3_000, Some(7), Some(7)),
        ] {
            let shown = |share| shown_percentile(&[(7, count)], share);
            assert_eq!(
                (shown(0.5), shown(0.99), shown(0.999)),
                (Some(7), p99, p999)
            );
        }
        assert_eq!(shown_percentile(&[(7, 1)], 0.5), Some(7));
        assert_eq!(shown_percentile(&[], 0.5), None);
    }

    #[test]
    fn merged_histogram_holds_all_counts() {
        let merged = merge([[(1, 2), (5, 1)].as_slice(), [(5, 4)].as_slice()]);
        assert_eq!(merged, [(1, 2), (5, 5)]);
        assert_eq!(total(&merged), 7);
    }

    #[test]
    fn empty_histogram_has_no_percentile() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[(3, 0)], 0.5), None);
    }

    #[test]
    fn counts_that_overflow_saturate() {
        assert_eq!(total(&[(1, u64::MAX), (2, 5)]), u64::MAX);
        assert_eq!(percentile(&[(1, u64::MAX), (2, 5)], 0.5), Some(1));
    }
}
