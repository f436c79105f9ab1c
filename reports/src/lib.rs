//! Reports of runs: result schema, statistics, comparison, plots, HTML.
//!
//! The crate starts no programs and takes all figures and lanes from the result file. (The texts on
//! folklore name some lanes.)
//! So it can read a file of another machine, or of a later version with other lanes.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod analysis;
pub mod change;
pub mod collect;
pub mod compare;
pub mod criterion;
pub mod failure;
pub mod format;
pub mod gate;
pub mod glossary;
pub mod history;
pub mod html;
pub mod machine;
pub mod merge;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod plot;
pub mod published;
pub mod run;
pub mod schema;
pub mod site;
pub mod stats;
pub mod store;
pub mod taints;
pub mod verify;

pub use analysis::Analysis;
pub use run::Run;

/// The figures of a run, in its header's order.
#[must_use]
pub fn summary(run: &Run) -> Vec<analysis::Row> {
    Analysis::of(run).rows
}
