//! Taking a sample: clock, CPU time, latencies, the memory ledger.

pub(crate) mod latency;
pub(crate) mod ledger;
pub(crate) mod meter;

pub(crate) use latency::Latencies;
pub(crate) use ledger::Ledger;
pub(crate) use meter::{Measured, Meter};
