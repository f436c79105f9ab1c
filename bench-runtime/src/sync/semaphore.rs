//! A weighted semaphore, which serves requests in order.
//!
//! Invariant, while the lock is free: the first waiter needs more units than are free. A waiter's
//! `elem` is the weight of its request.

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::waiting::{Queued, WOKEN, Woken, park_in, park_in_until};
use crate::context::{Context, ContextError};
use crate::goroutine::{MULTI, WaitQueue, WaitReason, Waiter, has_runtime_stopped};
use crate::sched;
use crate::time::after_ns;
use crate::util::quick_lock::{QuickGuard, QuickLock};

#[derive(Debug)]
struct State {
    free: usize,
    queue: WaitQueue,
}

impl Queued for State {
    fn queue(&mut self) -> &mut WaitQueue {
        &mut self.queue
    }
}

/// Why an acquisition failed.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::{AcquireError, Semaphore};
///
/// let slots = Semaphore::new(1);
/// let held = slots.acquire(1);
/// assert!(matches!(slots.try_acquire(1), Err(AcquireError::Busy)));
/// # drop(held);
/// ```
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
#[non_exhaustive]
pub enum AcquireError {
    /// Not enough units were free, or other requests waited.
    #[error("the semaphore has not so much free")]
    Busy,
    /// The units did not become free in time.
    #[error("the acquisition timed out")]
    Timeout,
    /// The context ended first; [`Context::cause`] says why.
    #[error("the acquisition was given up: {0}")]
    Ended(ContextError),
}

/// A weighted semaphore: a number of units, acquired in the order of requests.
///
/// Small requests do not overtake a large one. A request for more units than the semaphore has is
/// never served, but delays no other request.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Semaphore;
///
/// let slots = Semaphore::new(3);
/// let two = slots.acquire(2);
/// assert!(slots.try_acquire(2).is_err());
/// drop(two);
/// assert!(slots.try_acquire(2).is_ok());
/// ```
pub struct Semaphore {
    size: usize,
    state: QuickLock<State>,
}

impl Semaphore {
    /// A semaphore of `size` units, all free.
    #[must_use]
    pub const fn new(size: usize) -> Self {
        Self {
            size,
            state: QuickLock::new(State {
                free: size,
                queue: WaitQueue::new(),
            }),
        }
    }

    /// Acquires `weight` units; blocks the goroutine until they are free and all earlier requests
    /// are served.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Semaphore;
    ///
    /// let memory = Semaphore::new(64);
    /// let permit = memory.acquire(48);
    /// assert_eq!((permit.weight(), memory.available()), (48, 16));
    /// drop(permit);
    /// assert_eq!(memory.available(), 64);
    /// ```
    pub fn acquire(&self, weight: usize) -> Permit<'_> {
        let mut state = self.state.lock();
        if !state.take(weight) {
            let elem = ptr::without_provenance_mut(weight);
            if weight > self.size {
                // In a separate queue, which is never served.
                drop(state);
                let unserved = QuickLock::new(WaitQueue::new());
                park_in(unserved.lock(), WaitReason::Semaphore, self.object(), elem);
                unreachable!("nobody knows the queue");
            }
            park_in(state, WaitReason::Semaphore, self.object(), elem);
        }
        Permit {
            semaphore: self,
            weight,
        }
    }

    /// Acquires `weight` units if they are free and no goroutine waits.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Busy`] otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Semaphore;
    ///
    /// let slots = Semaphore::new(2);
    /// let held = slots.try_acquire(2)?;
    /// assert!(slots.try_acquire(1).is_err());
    /// # drop(held);
    /// # Ok::<(), bench_runtime::sync::AcquireError>(())
    /// ```
    pub fn try_acquire(&self, weight: usize) -> Result<Permit<'_>, AcquireError> {
        if self.state.lock().take(weight) {
            Ok(Permit {
                semaphore: self,
                weight,
            })
        } else {
            sched::give_way();
            Err(AcquireError::Busy)
        }
    }

    /// Acquires `weight` units, waiting for `timeout` at most; blocks the goroutine.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Timeout`] if the units did not become free in time. The requests that waited
    /// behind this one are then served, as far as units are free.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::{AcquireError, Semaphore};
    /// use std::time::Duration;
    ///
    /// let slots = Semaphore::new(1);
    /// let _held = slots.acquire(1);
    /// let late = slots.acquire_timeout(1, Duration::from_millis(1));
    /// assert!(matches!(late, Err(AcquireError::Timeout)));
    /// ```
    pub fn acquire_timeout(
        &self,
        weight: usize,
        timeout: Duration,
    ) -> Result<Permit<'_>, AcquireError> {
        let mut state = self.state.lock();
        if !state.take(weight) {
            let deadline_ns = after_ns(timeout);
            let elem = ptr::without_provenance_mut(weight);
            let reason = WaitReason::Semaphore;
            let got = if weight > self.size {
                drop(state);
                let unserved = QuickLock::new(WaitQueue::new());
                let object = self.object();
                park_in_until(unserved.lock(), reason, object, elem, deadline_ns, |_| {})
            } else {
                park_in_until(state, reason, self.object(), elem, deadline_ns, |waiter| {
                    let mut state = self.state.lock();
                    // SAFETY: alive, and was enqueued nowhere else.
                    unsafe { state.queue.remove(waiter.as_ptr()) };
                    let woken = state.serve();
                    drop(state);
                    woken.ready();
                })
            };
            if !got {
                return Err(AcquireError::Timeout);
            }
        }
        Ok(Permit {
            semaphore: self,
            weight,
        })
    }

    /// Acquires `weight` units, waiting until the context ends at the latest; blocks the goroutine.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Ended`] if the context has ended, or ends first.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    /// use bench_runtime::sync::Semaphore;
    /// use std::time::Duration;
    ///
    /// let slots = Semaphore::new(1);
    /// let _held = slots.acquire(1);
    /// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(1));
    /// assert!(slots.acquire_with(&ctx, 1).is_err());
    /// ```
    pub fn acquire_with(&self, ctx: &Context, weight: usize) -> Result<Permit<'_>, AcquireError> {
        if let Some(error) = ctx.err() {
            return Err(AcquireError::Ended(error));
        }
        let mut state = self.state.lock();
        let got = state.take(weight)
            || if weight > self.size {
                drop(state);
                let unserved = QuickLock::new(State {
                    free: 0,
                    queue: WaitQueue::new(),
                });
                self.park_with(ctx, weight, &unserved, unserved.lock())
            } else {
                self.park_with(ctx, weight, &self.state, state)
            };
        if !got {
            let error = ctx.err().unwrap_or(ContextError::Cancelled);
            return Err(AcquireError::Ended(error));
        }
        Ok(Permit {
            semaphore: self,
            weight,
        })
    }

    /// As [`Self::acquire`], with a permit that owns a reference to the semaphore, so it can be
    /// moved into a goroutine or a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// let slots = Arc::new(Semaphore::new(2));
    /// let tasks: Vec<_> = (0..8)
    ///     .map(|n| {
    ///         // Waits here, so that no more than two threads exist.
    ///         let permit = slots.acquire_owned(1);
    ///         std::thread::spawn(move || {
    ///             let _permit = permit;
    ///             n * n
    ///         })
    ///     })
    ///     .collect();
    /// let sum: u32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
    /// assert_eq!((sum, slots.available()), (140, 2));
    /// ```
    pub fn acquire_owned(self: &Arc<Self>, weight: usize) -> OwnedPermit {
        self.acquire(weight).owned_by(self)
    }

    /// As [`Self::try_acquire`], with a permit that owns a reference to the semaphore.
    ///
    /// # Errors
    ///
    /// As [`Self::try_acquire`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// let slots = Arc::new(Semaphore::new(1));
    /// let held = slots.try_acquire_owned(1)?;
    /// assert!(slots.try_acquire_owned(1).is_err());
    /// # drop(held);
    /// # Ok::<(), bench_runtime::sync::AcquireError>(())
    /// ```
    pub fn try_acquire_owned(self: &Arc<Self>, weight: usize) -> Result<OwnedPermit, AcquireError> {
        self.try_acquire(weight).map(|permit| permit.owned_by(self))
    }

    /// As [`Self::acquire_with`], with a permit that owns a reference to the semaphore.
    ///
    /// # Errors
    ///
    /// As [`Self::acquire_with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    /// use bench_runtime::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// let slots = Arc::new(Semaphore::new(1));
    /// let held = slots.acquire_owned_with(&Context::background(), 1)?;
    /// assert_eq!(slots.available(), 0);
    /// # drop(held);
    /// # Ok::<(), bench_runtime::sync::AcquireError>(())
    /// ```
    pub fn acquire_owned_with(
        self: &Arc<Self>,
        ctx: &Context,
        weight: usize,
    ) -> Result<OwnedPermit, AcquireError> {
        self.acquire_with(ctx, weight)
            .map(|permit| permit.owned_by(self))
    }

    /// Waits in `lock`'s queue, until the context ends at the latest. True if the caller has got
    /// the units, even if the context has ended meanwhile.
    fn park_with(
        &self,
        ctx: &Context,
        weight: usize,
        lock: &QuickLock<State>,
        mut state: QuickGuard<'_, State>,
    ) -> bool {
        let me = sched::prepare_park(WaitReason::Semaphore, self.object());
        let ticket = me.ticket();
        let mut own = Waiter::multi(me, ticket, ptr::without_provenance_mut(weight), 0);
        let own = &raw mut own;
        let mut ending = Waiter::multi(me, ticket, ptr::null_mut(), 0);
        let ending = &raw mut ending;
        let done = ctx.done();
        // SAFETY: neither waiter moves before it is removed below or was dequeued.
        let open = unsafe {
            state.queue.enqueue(own);
            drop(state);
            done.watch(ending)
        };
        if !open && me.claim(ticket) {
            // We claimed the wait, so no other thread ends it.
            sched::cancel_park(me);
        } else {
            sched::park(me);
        }
        // SAFETY: the wait is over, so no other thread writes the tag; both waiters are alive, and
        // in no other queue.
        let got = unsafe {
            done.unwatch(ending);
            (*own).tag.get() & WOKEN != 0
        };
        if !got {
            let mut state = lock.lock();
            // SAFETY: as above.
            unsafe { state.queue.remove(own) };
            let woken = state.serve();
            drop(state);
            woken.ready();
        }
        got
    }

    /// Gives back units whose [`Permit`] was forgotten.
    ///
    /// # Panics
    ///
    /// If more units would be free than the semaphore has.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// // One thread takes the unit, and another gives it back.
    /// let slots = Arc::new(Semaphore::new(1));
    /// slots.acquire(1).forget();
    /// let theirs = Arc::clone(&slots);
    /// std::thread::spawn(move || theirs.release(1));
    /// slots.acquire(1);
    /// ```
    pub fn release(&self, weight: usize) {
        if !self.give_back(weight) {
            panic!("Semaphore: released more than was acquired");
        }
    }

    /// Returns false, and changes nothing, if more units would be free than the semaphore has.
    fn give_back(&self, weight: usize) -> bool {
        let mut state = self.state.lock();
        if weight > self.size - state.free {
            return false;
        }
        state.free += weight;
        let woken = state.serve();
        drop(state);
        woken.ready();
        true
    }

    /// Gives the units of a dropped permit back. Does not panic while the thread unwinds, because a
    /// second panic would abort the process.
    fn end_permit(&self, weight: usize) {
        let fits = self.give_back(weight);
        assert!(
            fits || std::thread::panicking(),
            "Semaphore: released more than was acquired"
        );
    }

    /// How many units are free now.
    #[must_use]
    pub fn available(&self) -> usize {
        self.state.lock().free
    }

    fn object(&self) -> *const () {
        ptr::from_ref(self).cast()
    }
}

impl State {
    /// Takes units if they are free and no goroutine waits.
    fn take(&mut self, weight: usize) -> bool {
        let is_available = weight <= self.free && self.queue.is_empty();
        if is_available {
            self.free -= weight;
        }
        is_available
    }

    /// Serves the waiters in order, while enough units are free.
    fn serve(&mut self) -> Woken {
        let mut woken = Woken::none();
        while let Some(first) = self.queue.first() {
            // SAFETY: in the queue, and so alive.
            let waiter = unsafe { first.as_ref() };
            let weight = waiter.elem.get().addr();
            let is_stopped = has_runtime_stopped(waiter.owner);
            if !is_stopped && weight > self.free {
                break;
            }
            // SAFETY: as above.
            unsafe { self.queue.remove(first.as_ptr()) };
            if is_stopped || waiter.tag.get() & MULTI != 0 && !waiter.owner.claim(waiter.ticket) {
                // The wait has just ended in another way, or the waiter's runtime has stopped.
                continue;
            }
            self.free -= weight;
            // SAFETY: dequeued and claimed.
            unsafe { woken.add(first, WOKEN) };
        }
        woken
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("size", &self.size)
            .field("free", &self.available())
            .finish()
    }
}

/// Units acquired from a [`Semaphore`]; released on drop.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Semaphore;
///
/// let slots = Semaphore::new(3);
/// let permit = slots.acquire(2);
/// assert_eq!(permit.weight(), 2);
/// permit.forget();
/// assert_eq!(slots.available(), 1, "they were not given back");
/// ```
#[derive(Debug)]
#[must_use = "the units are given back at once if the permit is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    weight: usize,
}

impl Permit<'_> {
    /// How many units it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Ends the permit without giving the units back; [`Semaphore::release`] gives them back.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl<'a> Permit<'a> {
    fn owned_by(self, semaphore: &'a Arc<Semaphore>) -> OwnedPermit {
        let weight = self.weight;
        self.forget();
        OwnedPermit {
            semaphore: Arc::clone(semaphore),
            weight,
        }
    }
}

/// Units acquired from a [`Semaphore`], with a reference to it; released on drop. See
/// [`Semaphore::acquire_owned`].
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Semaphore;
/// use std::sync::Arc;
///
/// let slots = Arc::new(Semaphore::new(3));
/// let permit = slots.acquire_owned(2);
/// assert_eq!(permit.weight(), 2);
/// drop(permit);
/// assert_eq!(slots.available(), 3);
/// ```
#[derive(Debug)]
#[must_use = "the units are given back at once if the permit is dropped"]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
    weight: usize,
}

impl OwnedPermit {
    /// How many units it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.end_permit(self.weight);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.end_permit(self.weight);
    }
}
