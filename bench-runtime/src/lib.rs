//! An M:N goroutine runtime: Go's semantics in Rust.
