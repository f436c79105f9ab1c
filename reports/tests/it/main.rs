//! The crate's public API, as its users call it.

mod analysis;
mod schema;
mod simulation;
mod store;
mod synthetic;
