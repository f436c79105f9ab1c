//! The operating system, as lanes and measurements need it: one file for each concept.

pub mod affinity;
pub(crate) mod backlog;
pub(crate) mod cache_line;
pub mod children;
pub mod clock;
pub(crate) mod files;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod idle;
pub(crate) mod mappings;
pub(crate) mod open_files;
pub mod pipe;
pub(crate) mod proc_file;
pub mod reserved_port;
pub(crate) mod resident;
pub(crate) mod shared_memory;
pub(crate) mod usage;
