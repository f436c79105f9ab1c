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

/// Of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// The smallest effect with a verdict, if the design names none.
pub const DEFAULT_THRESHOLD_RATIO: f64 = 0.05;

/// For verdicts between two builds, whose measurement does not end by the verdicts.
pub const FALSE_DISCOVERY_RATE: f64 = 0.05;

/// For verdicts between lanes, which end the measurement. All looks together then call repeats
/// different in about one comparison of a hundred (`METHOD.md`).
pub const FALSE_DISCOVERY_RATE_OF_LOOKS: f64 = 0.01;

/// Resamples of each bootstrap: about ten are beyond the widened percentiles of [`bootstrap`] for
/// five processes.
pub const RESAMPLES: usize = 4_000;
