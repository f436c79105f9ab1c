//! How it is measured: the study and the `threadbare` program.
//!
//! Unsafe code is denied here but for one module, [`lane_process`]'s set-up of
//! a child between `fork` and `exec`, which the standard library marks unsafe.
#![deny(unsafe_code)]

pub mod cli;
pub mod cpus;
pub mod doctor;
pub mod environment;
pub mod lane_process;
pub mod lane_program;
pub mod lanes;
pub mod study;
