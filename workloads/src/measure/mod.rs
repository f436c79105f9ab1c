//! Taking a sample: clock, CPU time, latencies, the memory ledger.

pub(crate) mod latency;
pub mod ledger;
pub(crate) mod meter;
pub(crate) mod observed;
pub(crate) mod starts;
pub(crate) mod study;

pub(crate) use latency::Latencies;
pub(crate) use meter::{Measured, Meter};
pub(crate) use starts::Starts;
