//! How long a runtime's core lives: until no thread can reach it.
//!
//! [`Shared`](super::shared::Shared) is used by plain references. Each of these keeps it in
//! memory:
//!
//! - a *user*, counted in `users`: the runtime's handle, each of its threads, a
//!   [`Spawner`](crate::seam::Spawner), and each call into it from outside;
//! - a record in use, which names the runtime. An outside thread that reaches the core through a
//!   record counts as a user before it readies the goroutine or releases the record.
//!
//! The last user checks the records while it still counts:
//!
//! | `users` | the last user                                                |
//! |---------|--------------------------------------------------------------|
//! | 1       | checks; some record in use: to 0, the core stays             |
//! | 0       | another thread becomes a user, and is the last one: to 1     |
//! | 1       | checks; none in use: to [`GONE`], all is freed               |
//!
//! The exchange to [`GONE`] fails if another thread became a user meanwhile; that thread is then
//! the last user. The timers of the Ps are not freed but used again, because handles of timers may
//! outlive their runtime.

use std::sync::atomic::AtomicUsize;

/// The count of a core that is being freed.
pub(super) const GONE: usize = usize::MAX;

#[derive(Debug, Default)]
pub(crate) struct Lifetime {
    pub(super) users: AtomicUsize,
    /// Half of the records that were in use when a last user checked, less those released since.
    /// While it is above 1 a last user does not check: a check at each release would be
    /// quadratic.
    pub(super) in_use: AtomicUsize,
}
