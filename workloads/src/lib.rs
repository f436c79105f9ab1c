//! The workloads, the lanes, the lane program and its wire protocol.
//!
//! [`catalogue`] lists the workloads, and [`lanes`] the models of concurrency that run them. The
//! program `threadbare-lane` runs one lane and speaks [`protocol`].
#![deny(unsafe_code)]

pub mod catalogue;
pub mod handler;
pub mod host;
pub mod kernels;
pub mod lane;
pub mod lanes;
pub mod load;
pub mod mail;
mod measure;
pub mod program;
pub mod protocol;
pub mod serve;
pub mod service;
mod shapes;

pub use measure::ledger;
