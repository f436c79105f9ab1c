//! The crate's public API, as its users call it.

mod analysis;
mod browser;
mod collect;
mod derive;
mod gate;
mod history;
mod hostile;
mod html;
mod kept;
mod merge;
mod peers;
mod published;
mod schema;
mod simulation;
mod site;
mod store;
mod synthetic;
