//! What goroutines wait for each other with, beside channels.
//!
//! All of it also works on a plain thread, which it then blocks, so that a
//! program can talk to its goroutines from outside. Nothing is poisoned by a
//! panic: as in Go a mutex guards the access to a value, not the sense of it,
//! and a panic is handed to the join of the goroutine, which is where to
//! decide whether to go on; guards unlock while they unwind.

mod cond;
mod err_group;
mod mutex;
mod once;
mod once_cell;
mod pool;
mod rw_mutex;
mod semaphore;
pub(crate) mod signal;
mod wait_group;
mod waiting;

pub use cond::Cond;
pub use err_group::ErrGroup;
pub use mutex::{Mutex, MutexGuard};
pub use once::Once;
pub use once_cell::OnceCell;
pub use pool::{Pool, Pooled};
pub use rw_mutex::{RwMutex, RwMutexReadGuard, RwMutexWriteGuard};
pub use semaphore::{AcquireError, OwnedPermit, Permit, Semaphore};
pub use wait_group::WaitGroup;
