//! What is run: workloads, lanes, the lane program and its wire protocol.
#![deny(unsafe_code)]

pub mod catalogue;
pub mod kernels;
pub mod protocol;
