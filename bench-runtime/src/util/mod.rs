//! Small helpers with no knowledge of the runtime.

pub(crate) mod atomic_ref;
pub(crate) mod counter;
pub(crate) mod lock;
pub(crate) mod note;
pub(crate) mod panic;
pub(crate) mod quick_lock;
pub(crate) mod rng;
pub(crate) mod sleep_while;
pub(crate) mod write;
