use std::time::Duration;

use workloads::protocol::{ErrorKind, Sample};

/// Numbers below this are exact in every language and every reader of JSON.
const EXACT: u64 = 1 << 53;

/// A lane's answer to a request that it understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The checksum is not checked yet.
    Sample(Box<Sample>),
    /// The lane could not take the sample and continues.
    Refused {
        /// The kind of failure.
        kind: ErrorKind,
        /// The message for the user.
        message: String,
    },
}

/// Why no lane can have measured this sample; `None` if one can. `took`, from the request to the
/// answer, includes the timed section.
pub(super) fn impossible(sample: &Sample, took: Duration) -> Option<String> {
    if sample.elapsed_ns == 0 || sample.operations_count == 0 {
        return Some("a sample needs elapsed_ns and operations_count above 0".to_owned());
    }
    let counts = [
        ("elapsed_ns", sample.elapsed_ns),
        ("operations_count", sample.operations_count),
        ("cpu_ns", sample.cpu_ns),
        ("voluntary_switches_count", sample.voluntary_switches_count),
        (
            "involuntary_switches_count",
            sample.involuntary_switches_count,
        ),
    ];
    if let Some((name, _)) = counts.iter().find(|(_, count)| *count >= EXACT) {
        return Some(format!("{name} must be below 2^53"));
    }
    let took_ns = took.as_nanos();
    (u128::from(sample.elapsed_ns) > took_ns).then(|| {
        format!(
            "elapsed_ns is {}, and the whole answer took {took_ns} ns",
            sample.elapsed_ns
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(elapsed_ns: u64) -> Sample {
        Sample {
            id: 1,
            elapsed_ns,
            operations_count: 1,
            ..Sample::default()
        }
    }

    #[test]
    fn timed_section_longer_than_the_answer_or_beyond_what_is_exact_is_impossible() {
        let took = Duration::from_millis(1);
        assert_eq!(impossible(&sample(1_000_000), took), None);
        let why = impossible(&sample(1_000_001), took).unwrap();
        assert!(
            why.contains("1000001") && why.contains("1000000 ns"),
            "{why}"
        );
        let why = impossible(&sample(u64::MAX), Duration::MAX).unwrap();
        assert!(why.contains("elapsed_ns must be below 2^53"), "{why}");
        let mut odd = sample(5);
        odd.cpu_ns = EXACT;
        assert!(impossible(&odd, took).unwrap().contains("cpu_ns"));
    }
}
