//! Result files on disk: an append-only writer, and a reader that checks everything it reads.

mod claim;
mod columns;
mod files;
mod keep;
mod output;
mod reader;
mod source;
mod writer;

pub use claim::Claim;
pub use files::Files;
pub(crate) use keep::path_safe;
pub use keep::{Kept, MOST_BYTES, kept_path};
pub use output::{create, holds_results, replace, write_output};
pub use reader::{Limits, ReadError, read, read_from};
pub use source::Unread;
pub use writer::{Medium, WriteError, Writer};
