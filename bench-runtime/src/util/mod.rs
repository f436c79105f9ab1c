//! Small helpers with no knowledge of the runtime.

pub(crate) mod lock;
pub(crate) mod quick_lock;
pub(crate) mod rng;
pub(crate) mod write;
