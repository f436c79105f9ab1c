//! Waiting for the end of a goroutine, and its outcome: see the table of `join` in
//! [`crate::goroutine`].

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use crate::goroutine::body::{self, Outcome};
use crate::goroutine::pending::Pending;
use crate::goroutine::{
    FRESH, Goroutine, JOIN_DETACHED, JOIN_DONE, JOIN_LOST, JOIN_OPEN, Kind, Parkable, Status,
    WaitReason,
};
use crate::sched::current::{self, machine_of, shared_of};
use crate::sched::shared::{RunState, Shared};
use crate::sched::{self, preempt, readied};
use crate::stack::StackError;

/// Why a goroutine has no result.
///
/// # Examples
///
/// ```
/// use bench_runtime::{JoinError, Runtime, go, goexit};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     assert!(matches!(go(|| goexit()).join(), Err(JoinError::Exited)));
///     match go(|| panic!("no luck")).join() {
///         Ok(()) => unreachable!(),
///         Err(JoinError::Panicked(payload)) => assert_eq!(payload.to_string(), "no luck"),
///         Err(other) => panic!("{other}"),
///     }
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The goroutine panicked, with this payload.
    #[error("the goroutine panicked: {0}")]
    Panicked(PanicPayload),
    /// The goroutine called [`goexit`](crate::goexit).
    #[error("the goroutine ended by goexit")]
    Exited,
    /// The runtime was shut down before the goroutine ended.
    #[error("the runtime was shut down before the goroutine ended")]
    Unfinished,
    /// The runtime was shut down before the goroutine started. While a thread of the runtime
    /// still computes, the closure may not have been dropped yet, or the goroutine may still run.
    #[error("the runtime was shut down before the goroutine started")]
    Abandoned,
    /// There was no stack for the goroutine.
    #[error("no stack for the goroutine: {0}")]
    NoStack(#[source] Box<StackError>),
}

/// The payload of a panic.
///
/// # Examples
///
/// ```
/// use bench_runtime::{JoinError, Runtime, go};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let Err(JoinError::Panicked(payload)) = go(|| panic!("out of {}", "cheese")).join() else {
///         unreachable!()
///     };
///     println!("the worker said: {payload}");
///     assert_eq!(payload.to_string(), "out of cheese");
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct PanicPayload(Mutex<Box<dyn Any + Send>>);

impl PanicPayload {
    /// The payload, as for [`std::panic::resume_unwind`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{JoinError, Runtime, go};
    /// use std::panic::panic_any;
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let Err(JoinError::Panicked(payload)) = go(|| panic_any(404)).join() else {
    ///         unreachable!()
    ///     };
    ///     // `std::panic::resume_unwind(payload.into_inner())` would pass it on.
    ///     assert_eq!(payload.into_inner().downcast_ref(), Some(&404));
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn message(&self) -> String {
        let payload = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a payload that is no text".into())
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicPayload")
            .field(&self.message())
            .finish()
    }
}

impl fmt::Display for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

/// A handle to wait for a goroutine and to take its result. The goroutine continues if the handle
/// is dropped.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let handle = go(|| "done".to_owned());
///     println!("goroutine {} is finished: {}", handle.id(), handle.is_finished());
///     assert_eq!(handle.join().unwrap(), "done");
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a goroutine whose handle is dropped runs on; say `drop(go(..))` or `let _ = go(..)` if that is meant"]
pub struct JoinHandle<T> {
    pub(crate) g: &'static Goroutine,
    _result: PhantomData<fn() -> T>,
}

// SAFETY: the handle gives its holder a `T` that another thread made.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: through a shared handle only atomics are read.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl<T> JoinHandle<T> {
    #[inline(always)]
    pub(crate) fn new(g: &'static Goroutine) -> Self {
        Self {
            g,
            _result: PhantomData,
        }
    }

    /// The goroutine's number, unique in its runtime.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.g.id.load(Ordering::Relaxed)
    }

    /// Waits for the end; false if the goroutine will not end: the runtime has stopped or, with
    /// fake time, all goroutines wait for each other.
    pub(crate) fn wait(&self) -> bool {
        if !self.is_finished() {
            wait_for(self.g, true);
        }
        self.is_finished()
    }

    /// Detaches the handle from a goroutine whose runtime has stopped; false if the goroutine has
    /// ended meanwhile.
    #[cold]
    fn detach_lost(&self) -> bool {
        // Release: pairs with the Acquire of a goroutine that ends later.
        self.g
            .join
            .compare_exchange(
                JOIN_LOST,
                JOIN_DETACHED,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// True once the goroutine has ended: then [`Self::join`] does not wait. Stays false if the
    /// runtime was shut down before.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let finished = self.g.join.load(Ordering::Acquire) == JOIN_DONE;
        if !finished {
            preempt::give_way();
        }
        finished
    }

    /// Waits until the goroutine has ended and takes its result. Blocks the goroutine, or the
    /// plain thread.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the goroutine panicked, ended by [`goexit`](crate::goexit), or never
    /// started, or if its runtime was shut down before it ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, go};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     assert_eq!(go(|| 2 + 2).join().unwrap(), 4);
    ///     assert!(go(|| panic!("two and two make five")).join().is_err());
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn join(self) -> Result<T, JoinError> {
        let g = self.g;
        // Acquire: pairs with the AcqRel of `finish`, so the outcome is written.
        loop {
            match g.join.load(Ordering::Acquire) {
                JOIN_DONE => break,
                JOIN_LOST => {
                    // Read before `detach_lost`, which releases the record. A stopped runtime
                    // starts no goroutine, except one that an M had just picked.
                    let began = g.context.load(Ordering::Acquire) != FRESH;
                    if self.detach_lost() {
                        std::mem::forget(self);
                        return Err(match began {
                            true => JoinError::Unfinished,
                            false => JoinError::Abandoned,
                        });
                    }
                }
                _ => wait_for(g, false),
            }
        }
        std::mem::forget(self);
        // SAFETY: the goroutine has ended; `self` is consumed, so this happens once.
        let outcome = unsafe { body::take_outcome::<T>(g) };
        free(g);
        match outcome {
            Outcome::Returned(value) => Ok(value),
            other => Err(failure(other)),
        }
    }
}

impl<T> JoinHandle<T> {
    /// [`Self::join`] for async code: see [`crate::future`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, future};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().build() }?;
    /// let answer = runtime.spawn(|| 6 * 7);
    /// assert_eq!(future::block_on(answer.join_async()).unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_async(self) -> Join<T> {
        Join::new(self)
    }
}

#[cold]
#[inline(never)]
fn failure<T>(outcome: Outcome<T>) -> JoinError {
    match outcome {
        Outcome::Returned(_) => unreachable!("handled by the caller"),
        Outcome::Panicked(payload) => JoinError::Panicked(PanicPayload(Mutex::new(payload))),
        Outcome::Exited => JoinError::Exited,
        Outcome::Abandoned(None) => JoinError::Abandoned,
        Outcome::Abandoned(Some(error)) => JoinError::NoStack(error),
    }
}

/// Waits until the goroutine has ended, or will not end; the caller checks which. With
/// `until_stuck`, a waiter outside this runtime also stops waiting if all goroutines of the
/// runtime are stuck.
#[inline(never)]
fn wait_for(g: &'static Goroutine, until_stuck: bool) {
    let me = sched::prepare_park(WaitReason::Join, ptr::from_ref(g).cast());
    let address = me.as_ptr() as usize;
    // Release: our status is set before the goroutine may ready us. Acquire: as in `join`. SeqCst:
    // before the load of the run state; a thread that changes the run state reads `join`
    // afterwards.
    let waits = g
        .join
        .compare_exchange(JOIN_OPEN, address, Ordering::SeqCst, Ordering::Acquire)
        .is_ok();
    if !waits {
        return sched::cancel_park(me);
    }
    let replacement = match shared_of(g).run_state() {
        RunState::Running => None,
        RunState::Stuck => (until_stuck && is_outside(me, shared_of(g))).then_some(JOIN_OPEN),
        RunState::Stopped => Some(JOIN_LOST),
    };
    // This fails if another thread is already about to ready us.
    let removed = replacement.is_some_and(|replacement| {
        g.join
            .compare_exchange(address, replacement, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    });
    if removed {
        sched::cancel_park(me);
    } else {
        sched::park(me);
    }
}

/// True for a thread, and for a goroutine of another runtime.
fn is_outside(who: Parkable, shared: &'static Shared) -> bool {
    match who.head().kind {
        Kind::Goroutine => !ptr::eq(shared_of(Goroutine::of(who)), shared),
        kind => kind == Kind::Thread,
    }
}

/// Stores `replacement` in the `join` of goroutines that will not end, and ends the waits of
/// callers outside this runtime. [`JOIN_LOST`] is also stored where no caller waits yet.
pub(super) fn release_joiners(shared: &'static Shared, replacement: usize) {
    shared.slab().for_each(|g| {
        if matches!(g.status(), Status::Idle | Status::Dead) {
            return;
        }
        // SeqCst: after the run state; see [`wait_for`].
        let join = g.join.load(Ordering::SeqCst);
        let who = match join {
            JOIN_DETACHED | JOIN_DONE | JOIN_LOST => return,
            JOIN_OPEN => None,
            address => NonNull::new(address as *mut _)
                // SAFETY: by the table of `join` it is a parkable's head.
                .map(|head| unsafe { Parkable::from_head(head) }),
        };
        let outside = who.is_some_and(|who| match who.head().kind {
            // A future may be polled again, so it keeps waiting while goroutines are only stuck.
            Kind::Future => replacement == JOIN_LOST,
            _ => is_outside(who, shared),
        });
        if !outside && replacement != JOIN_LOST {
            return;
        }
        let changed = g
            .join
            .compare_exchange(join, replacement, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        // Waiters inside the runtime are not readied: they do not continue either.
        if let Some(who) = who
            && changed
            && outside
        {
            readied::ready(who);
        }
    });
}

struct Free(&'static Goroutine);

impl Drop for Free {
    #[inline(always)]
    fn drop(&mut self) {
        free(self.0);
    }
}

#[inline(always)]
fn free(g: &'static Goroutine) {
    let shared = shared_of(g);
    if let Some(header) = current::header() {
        let m = machine_of(header);
        if ptr::eq(m.shared(), shared) {
            let (p, was_inside) = m.enter();
            match p {
                Some(p) => shared.recycle(p, g),
                None => shared.recycle_outside(g),
            }
            m.leave(was_inside);
            return;
        }
    }
    shared.recycle_outside(g);
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        let g = self.g;
        // AcqRel: if the goroutine has ended, its outcome is ours to drop.
        if g.join.swap(JOIN_DETACHED, Ordering::AcqRel) == JOIN_DONE {
            // Frees the record even if the result's destructor panics.
            let _free = Free(g);
            // SAFETY: the goroutine has ended, and the handle is dropped.
            unsafe { (g.vtable().drop_outcome)(g) };
        }
    }
}

/// The future of [`JoinHandle::join_async`]. Any thread and any executor may poll it; `&mut Join`
/// is a future too. The goroutine continues if the `Join` is dropped.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, future};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// let mut both = [1, 2].map(|n| runtime.spawn(move || n * 10).join_async());
/// // On a plain thread, by any executor.
/// let sum = future::block_on(async {
///     let mut sum = 0;
///     for each in &mut both {
///         sum += each.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!(sum, 30);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the goroutine runs on if it is dropped"]
pub struct Join<T> {
    /// `None` after the future was ready. This field is dropped after `Join::drop` has ended the
    /// wait.
    handle: Option<JoinHandle<T>>,
    /// `Some` while its address may be in the goroutine's `join`.
    pending: Option<&'static Pending>,
}

impl<T> Join<T> {
    pub(crate) fn new(handle: JoinHandle<T>) -> Self {
        Self {
            handle: Some(handle),
            pending: None,
        }
    }
}

fn address_of(pending: &'static Pending) -> usize {
    pending.parkable().as_ptr() as usize
}

/// Stores the address of `pending` in the goroutine's `join`; false if the goroutine has ended, or
/// will never end.
fn begin_wait(g: &'static Goroutine, pending: &'static Pending) -> bool {
    let address = address_of(pending);
    // The orderings, and the load of the run state, are as in `wait_for`.
    let waits = g
        .join
        .compare_exchange(JOIN_OPEN, address, Ordering::SeqCst, Ordering::Acquire)
        .is_ok();
    if !waits || shared_of(g).run_state() != RunState::Stopped {
        return waits;
    }
    // This fails if another thread is already about to ready `pending`.
    g.join
        .compare_exchange(address, JOIN_LOST, Ordering::AcqRel, Ordering::Relaxed)
        .is_err()
}

impl<T> Future for Join<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let g = self.handle.as_ref().expect("polled after it was ready").g;
        loop {
            ready!(Pending::poll(&mut self.pending, cx.waker()));
            // Acquire: as in `join`.
            if g.join.load(Ordering::Acquire) != JOIN_OPEN {
                break;
            }
            let pending = Pending::new(cx.waker());
            if begin_wait(g, pending) {
                self.pending = Some(pending);
                return Poll::Pending;
            }
            pending.give_back();
        }
        let handle = self.handle.take().expect("it was there");
        // Does not wait: the goroutine has ended, or will never end.
        Poll::Ready(handle.join())
    }
}

impl<T> Drop for Join<T> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take()
            && let Some(handle) = &self.handle
        {
            // AcqRel: as in `wait_for`.
            let removed = handle.g.join.compare_exchange(
                address_of(pending),
                JOIN_OPEN,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if removed.is_err() {
                pending.wait_ready();
            }
            pending.give_back();
        }
    }
}
