//! The `threadbare` program.
fn main() {}
