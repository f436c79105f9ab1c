//! The quantity of a figure: name, unit and direction.

use serde::Serialize;

use crate::format;
use crate::schema::{Better, Measure, Metric, Sample, Workload};
use crate::stats::bootstrap::{Interval, Ratio};
use crate::stats::histogram::shown_percentile;
use crate::stats::verdict::Verdict;

/// Metric: the highest rate of the load generator ÷ the rate of the measurement.
pub const HEADROOM: &str = "load_headroom_ratio";

/// Metric: the highest rate that a service can carry, found by a search.
pub(crate) const RATE: &str = "rate_per_s";

/// Metric: the next rate above the one that the search found, which failed or was not tried, ÷ the
/// rate that it found.
pub(crate) const GAP: &str = "rate_gap_ratio";

/// With less [headroom](HEADROOM) than this, the load generator may limit the figure.
pub const LEAST_HEADROOM: f64 = 1.2;

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// Operations or requests a second.
    PerSecond,
    /// A share of 1.
    Share,
    /// A factor.
    Factor,
    /// A plain number.
    Count,
}

impl Unit {
    /// The unit in a name: at its end (`first_instruction_ns`), or before a qualifier
    /// (`latency_ns_p99`). [`Unit::Count`] for a name without a unit.
    #[must_use]
    pub fn of_name(name: &str) -> Unit {
        let words: Vec<&str> = name.split('_').collect();
        let has = |unit: &str| words.iter().rev().take(2).any(|word| *word == unit);
        if name.ends_with("_per_s") {
            Unit::PerSecond
        } else if has("ns") {
            Unit::Nanoseconds
        } else if has("bytes") {
            Unit::Bytes
        } else if has("ratio") {
            // Only these ratios may be above 1.
            match words.contains(&"headroom") || words.contains(&"gap") {
                true => Unit::Factor,
                false => Unit::Share,
            }
        } else {
            Unit::Count
        }
    }

    /// `value` rounded, with the unit.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        match self {
            Unit::Nanoseconds => format::nanoseconds(value),
            Unit::Bytes => format::bytes(value),
            Unit::PerSecond => format::per_second(value),
            Unit::Share => format::percent(value),
            Unit::Factor => format::times(value),
            Unit::Count => format::number(value),
        }
    }
}

/// What the figures of a workload measure: time, memory, a percentile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Quantity {
    /// Index among the workload's quantities; the most important is 0.
    #[serde(skip)]
    pub(crate) rank: usize,
    /// A stable name, such as `time`, `memory`, `latency_ns_p99`.
    pub id: String,
    /// The title in the report.
    pub title: String,
    /// The unit.
    pub unit: Unit,
    /// True if more is better.
    pub higher_is_better: bool,
    #[serde(skip)]
    pub(crate) source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Time,
    Throughput,
    /// The sum of the memory ledger ÷ its number of tasks.
    Memory,
    /// A percentile of the latencies: 990 is the 99th.
    Latency(u16),
    Metric(String),
}

impl Quantity {
    /// The quantities of a workload, the most important first.
    pub(crate) fn all_of(workload: &Workload) -> Vec<Quantity> {
        let mut all: Vec<Quantity> = Vec::new();
        let mut add = |id: &str, title: String, unit, higher_is_better, source| {
            if all.iter().all(|quantity: &Quantity| quantity.id != id) {
                let rank = all.len();
                all.push(Quantity {
                    rank,
                    id: id.to_owned(),
                    title,
                    unit,
                    higher_is_better,
                    source,
                });
            }
        };
        let operation = if workload.operation.is_empty() {
            "operation"
        } else {
            &workload.operation
        };
        for measure in &workload.measures {
            match measure {
                Measure::Time | Measure::Scaling | Measure::Efficiency => {
                    let title = format!("time per {operation}");
                    add("time", title, Unit::Nanoseconds, false, Source::Time);
                }
                Measure::Throughput => {
                    let title = format!("{operation}s a second");
                    add(
                        "throughput",
                        title,
                        Unit::PerSecond,
                        true,
                        Source::Throughput,
                    );
                }
                Measure::Memory => {
                    add(
                        "memory",
                        "memory per task".to_owned(),
                        Unit::Bytes,
                        false,
                        Source::Memory,
                    );
                }
                Measure::Latency => {
                    for (id, title, thousandths) in [
                        ("latency_ns_p50", "median latency", 500),
                        ("latency_ns_p99", "99th percentile of latency", 990),
                        ("latency_ns_p999", "99.9th percentile of latency", 999),
                    ] {
                        let source = Source::Latency(thousandths);
                        add(id, title.to_owned(), Unit::Nanoseconds, false, source);
                    }
                }
            }
        }
        for Metric {
            name,
            title,
            better,
        } in &workload.metrics
        {
            let title = if title.is_empty() {
                name.replace('_', " ")
            } else {
                title.clone()
            };
            let source = Source::Metric(name.clone());
            add(
                name,
                title,
                Unit::of_name(name),
                *better == Better::Higher,
                source,
            );
        }
        let telling = |quantity: &Quantity| {
            let place = workload.telling.iter().position(|id| *id == quantity.id);
            place.unwrap_or(workload.telling.len())
        };
        all.sort_by_key(telling);
        for (rank, quantity) in all.iter_mut().enumerate() {
            quantity.rank = rank;
        }
        all
    }

    /// The value in one sample. `None` if the sample lacks it, or if it is not finite.
    #[must_use]
    pub fn value(&self, sample: &Sample) -> Option<f64> {
        let operations = sample.operations_count as f64;
        let elapsed = sample.elapsed_ns as f64;
        let value = match &self.source {
            Source::Time => elapsed / operations,
            Source::Throughput if elapsed > 0.0 => operations * 1e9 / elapsed,
            Source::Throughput => return None,
            Source::Memory => {
                let memory = sample
                    .memory
                    .as_ref()
                    .filter(|memory| memory.tasks_count > 0)?;
                memory.sum_bytes() as f64 / memory.tasks_count as f64
            }
            Source::Latency(thousandths) => {
                let latency = sample.latency.as_ref()?;
                shown_percentile(&latency.buckets, f64::from(*thousandths) / 1000.0)? as f64
            }
            Source::Metric(name) => *sample.metrics.get(name)?,
        };
        value.is_finite().then_some(value)
    }

    /// The workload's most important quantity. A cell gets more processes until the comparisons of
    /// this quantity are decided.
    #[must_use]
    pub fn main_of(workload: &Workload) -> Option<Quantity> {
        Quantity::all_of(workload).into_iter().next()
    }

    /// The smallest amount that matters, in the quantity's unit. A value much below it cannot be
    /// distinguished from zero.
    pub(crate) fn least(&self) -> f64 {
        match self.unit {
            Unit::Bytes => 160.0,
            _ => 0.0,
        }
    }

    /// The ratio of costs: `ratio`, inverted if a higher figure is better, so below 1 is better.
    pub(crate) fn as_cost(&self, ratio: Ratio) -> Ratio {
        if !self.higher_is_better {
            return ratio;
        }
        let invert = |interval: Interval| Interval {
            low: 1.0 / interval.high,
            high: 1.0 / interval.low,
        };
        Ratio {
            value: 1.0 / ratio.value,
            interval: ratio.interval.map(invert),
            ..ratio
        }
    }

    /// The words before a value that the load generator limited: the lane may be better. Empty if
    /// the load cannot limit this quantity.
    pub(crate) fn bound_sign(&self) -> &'static str {
        match &self.source {
            Source::Time | Source::Latency(_) => "at most\u{a0}",
            Source::Throughput => "at least\u{a0}",
            Source::Metric(name) if name == RATE => "at least\u{a0}",
            Source::Memory | Source::Metric(_) => "",
        }
    }

    /// True for a figure of the load generator. Lanes are not compared by such figures.
    pub(crate) fn is_of_load(&self) -> bool {
        matches!(&self.source, Source::Metric(name) if name.starts_with("load_"))
    }

    /// The words for a verdict on this quantity: memory is “smaller”, not “faster”.
    #[must_use]
    pub fn words(&self, verdict: Verdict) -> &'static str {
        match (verdict, self.unit) {
            (Verdict::Faster, Unit::Bytes) => "smaller",
            (Verdict::Slower, Unit::Bytes) => "larger",
            (Verdict::Faster, Unit::Share | Unit::Factor | Unit::Count) => "better",
            (Verdict::Slower, Unit::Share | Unit::Factor | Unit::Count) => "worse",
            _ => verdict.words(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_follows_from_the_name() {
        assert_eq!(Unit::of_name("first_instruction_ns"), Unit::Nanoseconds);
        assert_eq!(Unit::of_name("latency_ns_p99"), Unit::Nanoseconds);
        assert_eq!(Unit::of_name("achieved_per_s"), Unit::PerSecond);
        assert_eq!(Unit::of_name("load_busy_ratio"), Unit::Share);
        assert_eq!(Unit::of_name(HEADROOM), Unit::Factor);
        assert_eq!(Unit::of_name(GAP), Unit::Factor);
        assert_eq!(Unit::of_name("stack_bytes"), Unit::Bytes);
        assert_eq!(Unit::of_name("steps"), Unit::Count);
    }

    #[test]
    fn ratio_of_two_rates_is_inverted_to_make_less_better() {
        let workload = Workload {
            measures: vec![Measure::Throughput],
            ..Workload::default()
        };
        let quantity = &Quantity::all_of(&workload)[0];
        let interval = Some(Interval {
            low: 1.6,
            high: 2.5,
        });
        let as_cost = quantity.as_cost(Ratio {
            value: 2.0,
            interval,
            p_value: 0.0,
        });
        assert_eq!(as_cost.value, 0.5);
        assert_eq!(
            as_cost.interval,
            Some(Interval {
                low: 0.4,
                high: 0.625
            })
        );
    }

    #[test]
    fn scaling_and_time_are_one_quantity() {
        let measures = vec![Measure::Scaling, Measure::Time];
        let workload = Workload {
            measures,
            ..Workload::default()
        };
        assert_eq!(Quantity::all_of(&workload).len(), 1);
    }
}
