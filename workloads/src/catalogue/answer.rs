//! Whether a lane's answer is valid.

use super::{MetricKind, Workload};
use crate::protocol::{Parameters, Sample};

/// What is wrong with a sample's answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongAnswer {
    /// The checksum is wrong, so the work was not done.
    #[error(
        "the answer was {given}, the right one is {right} ({iterations} iterations): the sample is void"
    )]
    Checksum {
        /// The lane's checksum.
        given: u64,
        /// The right checksum of the workload.
        right: u64,
        /// Iterations of the sample.
        iterations: u64,
    },
    /// A figure breaks a rule of `PROTOCOL.md`.
    #[error("{0}, against PROTOCOL.md")]
    Figures(String),
}

impl Workload {
    /// Checks a sample of `iterations` iterations. `checksum` is the right checksum of one
    /// iteration.
    ///
    /// # Errors
    ///
    /// The first problem that is found.
    pub fn check_answer(
        &self,
        sample: &Sample,
        parameters: &Parameters,
        iterations: u64,
        checksum: u64,
    ) -> Result<(), WrongAnswer> {
        let right = checksum.saturating_mul(iterations);
        if sample.checksum != right {
            return Err(WrongAnswer::Checksum {
                given: sample.checksum,
                right,
                iterations,
            });
        }
        match self.wrong_figure(sample, parameters, iterations) {
            Some(what) => Err(WrongAnswer::Figures(what)),
            None => Ok(()),
        }
    }

    fn wrong_figure(
        &self,
        sample: &Sample,
        parameters: &Parameters,
        iterations: u64,
    ) -> Option<String> {
        let operations = (self.operations)(parameters).saturating_mul(iterations);
        let has = |kind| self.metrics.contains(&kind);
        let known = |name: &String| self.figures.contains(&name.as_str());
        let buckets = sample.latency.iter().flat_map(|latency| &latency.buckets);
        let rises = |pair: &[(u64, u64)]| pair[0].0 < pair[1].0;
        if operations > 0 && sample.operations_count != operations {
            return Some(format!(
                "the lane counted {} operations instead of {operations}",
                sample.operations_count
            ));
        }
        if sample.operations_count == 0 {
            return Some("the lane counted no operations".to_owned());
        }
        if sample.elapsed_ns == 0 {
            return Some("the sample took no time".to_owned());
        }
        if sample.memory.is_some() != has(MetricKind::MemoryLedger) {
            return Some("the memory ledger is missing, or it must not be there".to_owned());
        }
        if sample.latency.is_some() != has(MetricKind::Latency) {
            return Some("the latencies are missing, or they must not be there".to_owned());
        }
        if let Some(latency) = &sample.latency
            && (latency.buckets.is_empty() || !latency.buckets.windows(2).all(rises))
        {
            return Some("the latency buckets do not rise".to_owned());
        }
        if buckets.into_iter().any(|bucket| bucket.1 == 0) {
            return Some("a latency bucket is empty".to_owned());
        }
        let figure = sample.metrics.keys().find(|name| !known(name))?;
        Some(format!("the workload has no figure {figure}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::protocol::Latency;

    type Change = fn(&mut Sample);

    fn changed(change: impl FnOnce(&mut Sample)) -> Result<(), WrongAnswer> {
        let mut sample = Sample {
            elapsed_ns: 1,
            operations_count: 3,
            checksum: 3,
            latency: Some(Latency {
                buckets: vec![(10, 2), (20, 1)],
                ..Latency::default()
            }),
            ..Sample::default()
        };
        change(&mut sample);
        let workload = find("spawn.first_instruction").unwrap();
        workload.check_answer(&sample, &Parameters::new(), 3, 1)
    }

    #[test]
    fn right_answer_passes_and_a_wrong_checksum_is_an_error() {
        assert_eq!(changed(|_| ()), Ok(()));
        assert!(matches!(
            changed(|sample| sample.checksum = 4),
            Err(WrongAnswer::Checksum {
                given: 4,
                right: 3,
                ..
            })
        ));
    }

    #[test]
    fn every_figure_that_breaks_the_protocol_is_named() {
        let changes: [(Change, &str); 9] = [
            (|sample| sample.operations_count = 0, "operations"),
            (|sample| sample.operations_count = 2, "operations"),
            (|sample| sample.elapsed_ns = 0, "time"),
            (|sample| sample.memory = Some(Default::default()), "memory"),
            (|sample| sample.latency = None, "latencies"),
            (
                |sample| sample.latency.as_mut().unwrap().buckets.clear(),
                "rise",
            ),
            (
                |sample| sample.latency.as_mut().unwrap().buckets.reverse(),
                "rise",
            ),
            (
                |sample| sample.latency.as_mut().unwrap().buckets[1].1 = 0,
                "empty",
            ),
            (
                |sample| sample.metrics = [("speed".into(), 1.0)].into(),
                "no figure speed",
            ),
        ];
        for (change, word) in changes {
            let message = changed(change).unwrap_err().to_string();
            assert!(message.contains(word), "{word}: {message}");
        }
    }
}
