//! Statistics: pure functions, with random numbers from a given seed.
//!
//! `METHOD.md` in this crate has the methods, their reasons and their results in simulation.

pub mod adjust;
pub mod bootstrap;
pub mod curve;
pub mod difference;
pub mod drift;
pub mod geometric;
pub mod histogram;
pub mod ledger;
pub mod looks;
pub mod noise;
pub mod quantile;
pub mod regression;
pub mod shift;
pub mod verdict;

pub use adjust::benjamini_hochberg;
pub use bootstrap::{Estimate, Interval, Replicates, Tree};
pub use verdict::{Comparison, Verdict};

/// The confidence of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// The smallest effect of *faster* and *slower*, if the design names none.
pub const DEFAULT_THRESHOLD_RATIO: f64 = 0.05;

/// The false discovery rate between two builds. Their measurement ends when the intervals are
/// narrow enough, not at a verdict.
pub const FALSE_DISCOVERY_RATE: f64 = 0.05;

/// The false discovery rate between lanes, where a verdict ends the measurement. Over all looks of
/// a run, about one in a hundred comparisons of a lane with itself ends as different (`METHOD.md`).
pub const FALSE_DISCOVERY_RATE_OF_LOOKS: f64 = 0.01;

/// Resamples of each bootstrap. With five processes, about ten lie beyond each end of an interval,
/// which [`bootstrap`] moves outwards.
pub const RESAMPLES: usize = 4_000;
