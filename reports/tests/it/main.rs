//! The crate's public API, as its users call it.

mod schema;
mod simulation;
mod store;
