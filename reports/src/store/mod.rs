//! Result files on disk: an append-only writer and a reader that trusts nothing.

mod atomic;
mod reader;
mod writer;

pub use atomic::write_atomically;
pub use reader::{Limits, ReadError, read, read_from};
pub use writer::{Medium, WriteError, Writer};
