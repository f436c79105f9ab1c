//! The study, which measures the lanes, and the `threadbare` program.
//!
//! Unsafe code is allowed in two modules: [`lane_process`], between `fork` and `exec`, and
//! `signals`.
#![deny(unsafe_code)]

mod bisect;
pub mod cli;
mod commits;
pub mod cpus;
pub mod doctor;
mod engines;
pub mod environment;
pub mod lane_process;
pub mod lane_program;
pub mod lanes;
pub mod own;
mod say;
mod scratch;
mod signals;
pub mod study;
