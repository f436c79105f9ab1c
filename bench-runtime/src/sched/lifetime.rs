//! How long a runtime's core lives: until no thread can reach it any more.
//!
//! [`Shared`] is reached by plain references from everywhere in the runtime.
//! What keeps it in memory is either of:
//!
//! - a *user*, counted in `users`: the runtime's handle, each of its threads,
//!   a [`Spawner`](crate::seam::Spawner), and each call into it from
//!   outside;
//! - a goroutine's record in use, which names it: from outside it is reached
//!   only through one. A thread that comes this way counts as a user before the record
//!   can be given back, that is, before the goroutine is readied or the record
//!   is put on its list.
//!
//! So the last user looks at the records while it still counts, and if none is
//! in use no other thread can come:
//!
//! | `users` | the last user                                                |
//! |---------|--------------------------------------------------------------|
//! | 1       | looks; some record in use: to 0, the core stays              |
//! | 0       | a thread with a record comes, to 1: it is the last user then |
//! | 1       | looks; none in use: to [`GONE`], all is freed                |
//!
//! The exchange fails if a thread came meanwhile, which is then the last user.
//! The timers of its Ps are not freed but used again: handles of timers may
//! outlive their runtime.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::machine::Machine;
use super::runtime::Shared;
use crate::goroutine::Status;

/// Of a core that is being freed.
const GONE: usize = usize::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Lifetime {
    users: AtomicUsize,
    /// So many records were in use when a last user looked, less those that
    /// were given back since: looking at all of them for each one that is
    /// given back after the end would be quadratic.
    in_use: AtomicUsize,
}

impl Lifetime {
    pub(super) const fn new(users: usize) -> Self {
        Self {
            users: AtomicUsize::new(users),
            in_use: AtomicUsize::new(0),
        }
    }
}

/// A user of a runtime's core, while it lives.
#[derive(Debug)]
pub(crate) struct User(&'static Shared);

impl User {
    pub(crate) fn shared(&self) -> &'static Shared {
        self.0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        Shared::release(self.0);
    }
}

impl Shared {
    /// Counts the caller as a user.
    pub(crate) fn user(&'static self) -> User {
        // Relaxed: by the rule of the module the core is there now, and the thread that
        // frees it synchronises with the end of each use.
        self.lifetime.users.fetch_add(1, Ordering::Relaxed);
        User(self)
    }

    /// The end of a use that was counted. Nothing of the runtime is touched
    /// by the caller after it.
    pub(crate) fn release(this: &'static Self) {
        let users = &this.lifetime.users;
        let mut count = users.load(Ordering::Acquire);
        loop {
            let frees = count == 1 && this.nobody_can_come();
            let next = if frees { GONE } else { count - 1 };
            // AcqRel: what any user did comes before the freeing.
            match users.compare_exchange_weak(count, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if frees => break,
                Ok(_) => return,
                Err(now) => count = now,
            }
        }
        // SAFETY: no user is left and no record is in use, so by the rule of
        // the module no thread comes.
        unsafe { free(ptr::from_ref(this).cast_mut()) };
    }

    /// For the last user: true if all is given back and no record is in use.
    fn nobody_can_come(&'static self) -> bool {
        if !self.cleared_up.is_completed() || self.lifetime.in_use.load(Ordering::Relaxed) > 1 {
            return false;
        }
        let mut in_use = 0;
        self.slab()
            .for_each(|g| in_use += usize::from(g.status() != Status::Idle));
        // Half of them: it need not be exact, but must not stay too high.
        self.lifetime.in_use.store(in_use / 2, Ordering::Relaxed);
        // Acquire: pairs with the Release of `given_back`; a thread that gave a record
        // back and is still here is seen in `users`.
        fence(Ordering::Acquire);
        in_use == 0
    }

    /// A user from outside is about to give a record back.
    pub(super) fn gives_back(&self) {
        let in_use = &self.lifetime.in_use;
        let count = in_use.load(Ordering::Relaxed);
        if count != 0 {
            in_use.store(count - 1, Ordering::Relaxed);
        }
        // Release: it counts as a user before the record is seen to be idle.
        fence(Ordering::Release);
    }
}

/// Frees a runtime's core, its Ms and its Ps, and lets other runtimes have its
/// records.
///
/// # Safety
///
/// None of them is in use, now or later.
unsafe fn free(shared: *mut Shared) {
    // SAFETY: made by `Box::leak` in `start`, and not in use by the promise.
    let shared = unsafe { Box::from_raw(shared) };
    if let Some(slab) = shared.slab.get() {
        // SAFETY: every record is on a free list, and by the promise none is
        // taken any more.
        unsafe { slab.retire() };
    }
    for m in shared.machines.lock().drain(..) {
        // SAFETY: made by `Box::leak` in `new_machine`; its thread has ended.
        drop(unsafe { Box::from_raw(ptr::from_ref::<Machine>(m).cast_mut()) });
    }
}
