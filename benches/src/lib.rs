//! How it is measured: the study and the `threadbare` program.
//!
//! Unsafe code is denied here but for two modules: [`lane_process`]'s set-up of
//! a child between `fork` and `exec`, which the standard library marks unsafe,
//! and `signals`, which reads how a signal is handled.
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
