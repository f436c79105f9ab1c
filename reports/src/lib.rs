//! What is said about a run: result schema, statistics, comparison, plots, HTML.
#![forbid(unsafe_code)]
pub mod schema;
