//! The workloads, the lanes, the lane program and its wire protocol.
//!
//! [`catalogue`] lists the workloads, each a kernel of [`kernels`] and a shape;
//! [`lanes`] lists the models of concurrency that run them. The program
//! `threadbare-lane` runs one lane and answers the study by [`protocol`], in a
//! separate process; `PROTOCOL.md` lets other languages do the same.
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
