//! How long a runtime's core lives: until no thread can reach it.
//!
//! The whole runtime uses [`Shared`](super::shared::Shared) by plain references. Each of these
//! keeps it in memory:
//!
//! - a *user*, counted in `users`: the runtime's handle, each of its threads,
//!   a [`Spawner`](crate::seam::Spawner), and each call into it from
//!   outside;
//! - a record in use, which names the runtime. A thread outside reaches the core only through such
//!   a record. It counts as a user before the record can be released, that is, before it readies
//!   the goroutine or puts the record on its list.
//!
//! So the last user checks the records while it still counts. If no record is in use, no other
//! thread can reach the core:
//!
//! | `users` | the last user                                                |
//! |---------|--------------------------------------------------------------|
//! | 1       | checks; some record in use: to 0, the core stays             |
//! | 0       | a thread with a record comes, to 1: it is the last user then |
//! | 1       | checks; none in use: to [`GONE`], all is freed               |
//!
//! The exchange fails if another thread came meanwhile; that thread is then the last user.
//! The timers of its Ps are not freed but used again: handles of timers may
//! outlive their runtime.

use std::sync::atomic::AtomicUsize;

/// The count of a core that is being freed.
pub(super) const GONE: usize = usize::MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lifetime {
    pub(super) users: AtomicUsize,
    /// Half of the records that were in use when a last user checked, less those that were released
    /// since. While it is above 1 a last user does not check: to check all records whenever one is
    /// released would be quadratic.
    pub(super) in_use: AtomicUsize,
}
