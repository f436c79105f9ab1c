//! How long a runtime's core lives: until no thread can reach it.
//!
//! [`Shared`](super::shared::Shared) is reached by plain references from everywhere in the runtime.
//! It is kept in memory by either of:
//!
//! - a *user*, counted in `users`: the runtime's handle, each of its threads,
//!   a [`Spawner`](crate::seam::Spawner), and each call into it from
//!   outside;
//! - a goroutine's record in use, which names it: from outside it is reached only
//!   through one. A thread that comes in this way counts as a user before the record
//!   can be released, that is, before the goroutine is readied or the record is put on
//!   its list.
//!
//! So the last user checks the records while it still counts, and if none is in
//! use no other thread can come:
//!
//! | `users` | the last user                                                |
//! |---------|--------------------------------------------------------------|
//! | 1       | checks; some record in use: to 0, the core stays             |
//! | 0       | a thread with a record comes, to 1: it is the last user then |
//! | 1       | checks; none in use: to [`GONE`], all is freed               |
//!
//! The exchange fails if a thread came meanwhile, which is then the last user.
//! The timers of its Ps are not freed but used again: handles of timers may
//! outlive their runtime.

use std::sync::atomic::AtomicUsize;

/// The count of a core that is being freed.
pub(super) const GONE: usize = usize::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Lifetime {
    pub(super) users: AtomicUsize,
    /// The number of records in use when a last user checked, less those that
    /// were released since: checking all of them for each one that is released
    /// after the end would be quadratic.
    pub(super) in_use: AtomicUsize,
}

impl Lifetime {
    pub(super) const fn new(users: usize) -> Self {
        Self {
            users: AtomicUsize::new(users),
            in_use: AtomicUsize::new(0),
        }
    }
}
