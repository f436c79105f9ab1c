//! What is run: workloads, lanes, the lane program and its wire protocol.
pub mod protocol;
