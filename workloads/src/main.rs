//! The lane program: runs the workloads of one lane and speaks PROTOCOL.md.
fn main() {}
