//! Statistics: pure functions on slices, all randomness from a given seed.
//!
//! `METHOD.md` in this crate lists which method is used for what, why, and its
//! results in simulation.

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

/// Confidence of every interval that this crate prints.
pub const CONFIDENCE: f64 = 0.95;

/// The smallest effect that gets a verdict if a run's design names none.
pub const DEFAULT_THRESHOLD_RATIO: f64 = 0.05;

/// The false discovery rate of the verdicts between two builds. Their measurement ends when the
/// intervals are narrow enough, whatever the verdicts are.
pub const FALSE_DISCOVERY_RATE: f64 = 0.05;

/// The rate between lanes, where a verdict ends the measurement. It is so low that all looks
/// together call repeats different in about one comparison of a hundred (`METHOD.md` has the
/// simulation).
pub const FALSE_DISCOVERY_RATE_OF_LOOKS: f64 = 0.01;

/// Resamples of each bootstrap: enough that the widened percentiles of [`bootstrap`] for five
/// processes have about ten resamples beyond them.
pub const RESAMPLES: usize = 4_000;
