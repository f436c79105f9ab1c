//! The times of `spawn.first_instruction`.

use super::{Latencies, Measured};
use crate::lane::Outcome;

#[derive(Clone, Debug)]
pub(crate) struct Starts {
    returns: Latencies,
    firsts: Latencies,
    finishes: Latencies,
}

impl Starts {
    pub(crate) fn new() -> Self {
        Self {
            returns: Latencies::new(),
            firsts: Latencies::new(),
            finishes: Latencies::new(),
        }
    }

    /// Four readings of the clock: when the start was called, when the call returned, when the
    /// first instruction ran, and when the result was available.
    pub(crate) fn record(&mut self, called: u64, returned: u64, ran: u64, finished: u64) {
        self.returns.record(returned - called);
        self.firsts.record(ran - called);
        self.finishes.record(finished - ran);
    }

    pub(crate) fn outcome(self, measured: Measured, checksum: u64) -> Outcome {
        let mut outcome = Outcome::new(measured, checksum)
            .with("spawn_return_ns", self.returns.median_ns())
            .with("first_instruction_ns", self.firsts.median_ns())
            .with("finish_ns", self.finishes.median_ns());
        let rate = outcome.per_second(self.firsts.count());
        outcome.latency = Some(self.firsts.report(None, rate));
        outcome
    }
}
