use hdrhistogram::Histogram;

use crate::protocol::{Latency, has_percentile};

/// Latencies in nanoseconds, to three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).expect("3 significant digits are within the library's range"))
    }

    pub(crate) fn record(&mut self, ns: u64) {
        self.0
            .record(ns)
            .expect("a histogram that grows by itself takes every value");
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("a histogram that grows by itself takes every value");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn median_ns(&self) -> f64 {
        self.0.value_at_quantile(0.5) as f64
    }

    pub(crate) fn count_above(&self, ns: u64) -> u64 {
        self.count() - self.0.count_between(0, ns)
    }

    /// `None` if too few latencies lie beyond `share`.
    pub(crate) fn percentile_ns(&self, share: f64) -> Option<u64> {
        has_percentile(self.count(), share).then(|| self.0.value_at_quantile(share))
    }

    pub(crate) fn worst_ns(&self) -> f64 {
        self.0.max() as f64
    }

    /// `offered_per_s` is `None` for a closed loop.
    pub(crate) fn report(&self, offered_per_s: Option<f64>, achieved_per_s: f64) -> Latency {
        let buckets = self
            .0
            .iter_recorded()
            .map(|bucket| {
                (
                    bucket.value_iterated_to(),
                    bucket.count_since_last_iteration(),
                )
            })
            .collect();
        Latency {
            corrected: offered_per_s.is_some(),
            offered_per_s,
            achieved_per_s,
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_every_latency_once_within_a_thousandth() {
        let mut latencies = Latencies::new();
        for ns in [1_u64, 100, 100, 123_456_789, 60_000_000_000] {
            latencies.record(ns);
        }
        let report = latencies.report(None, 1.0);
        assert_eq!(
            report.buckets.iter().map(|&(_, count)| count).sum::<u64>(),
            5
        );
        assert!(report.buckets.is_sorted());
        let (last, _) = report.buckets[report.buckets.len() - 1];
        assert!((60_000_000_000..60_060_000_000).contains(&last), "{last}");
        assert_eq!(latencies.median_ns(), 100.0);
        let above = |ns| latencies.count_above(ns);
        assert_eq!(
            [above(0), above(1), above(100), above(1_000_000_000)],
            [5, 4, 2, 1]
        );
    }
}
