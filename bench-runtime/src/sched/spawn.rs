//! Starting goroutines and waiting for their end.

use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::current::{self, goroutine_of, machine_of};
use super::global_queue::Priority;
use super::processor::Processor;
use super::ready::{make_runnable, push_back, shared_of};
use super::runtime::Shared;
use super::shutdown::Outlook;
use super::trace::ANY;
use super::{park, preempt};
use crate::goroutine::body::{self, Exit, Outcome};
use crate::goroutine::{
    Details, FLAG_CPU_BOUND, FLAG_PRIORITY_SHIFT, FRESH, Goroutine, JOIN_DETACHED, JOIN_DONE,
    JOIN_LOST, JOIN_OPEN, Kind, Parkable, Status, WaitReason,
};
use crate::stack::{Class, StackError, StackPolicy};

/// Ids that a P takes at a time: Go's figure.
const ID_BATCH: u64 = 16;

/// Starts a goroutine that runs `f`, on the runtime of the calling goroutine.
/// It runs when the caller parks or when another P takes it. Dropping the
/// handle lets it run on, for which [`go!`](macro@crate::go) is shorter.
///
/// # Panics
///
/// Outside every goroutine: see [`crate::Runtime::spawn`].
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go};
///
/// let sum = Runtime::builder().build()?.run(|| {
///     let handles: Vec<_> = (0..10u64).map(|i| go(move || i * i)).collect();
///     handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
/// });
/// assert_eq!(sum, 285);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
#[inline]
pub fn go<T, F>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let site = Location::caller();
    let Some(header) = current::header() else {
        outside_every_goroutine()
    };
    let mut m = machine_of(header);
    let p = match m.enter().0 {
        Some(p) => p,
        None => {
            let p = preempt::regain(header);
            m = machine_of(header);
            p
        }
    };
    let shared = m.shared;
    let g = new_record(shared, p);
    g.set_site(site);
    // SAFETY: a fresh record with an empty body.
    unsafe { body::put_closure(g, f) };
    if p.watches(ANY) {
        p.note_spawn(g);
    }
    if shared.pinned {
        // It belongs to no M yet: the queue, from where it may be stolen.
        push_back(m, p, g);
    } else {
        make_runnable(m, p, g);
    }
    m.leave(false);
    JoinHandle::new(g)
}

/// Starts a goroutine and lets it run on: what a `go` statement is in Go. The
/// body becomes a closure that takes what it names; [`go`](fn@crate::go) gives
/// a handle to wait with.
///
/// # Panics
///
/// Outside every goroutine, as [`go`](fn@crate::go).
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, go};
///
/// let sum = Runtime::builder().build()?.run(|| {
///     let (tx, rx) = chan(0);
///     for n in 1..=10 {
///         let tx = tx.clone();
///         go!(tx.send(n));
///     }
///     drop(tx);
///     rx.iter().sum::<u32>()
/// });
/// assert_eq!(sum, 55);
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! go {
    ($($body:tt)*) => {
        ::core::mem::drop($crate::go(move || { $($body)* }))
    };
}

/// An unused record, made ready for its closure.
#[inline(always)]
fn new_record(shared: &'static Shared, p: &'static Processor) -> &'static Goroutine {
    // SAFETY: the caller holds P inside the runtime.
    let own = unsafe { p.own() };
    let g = own.records.take(shared.slab());
    if own.next_id == own.end_id {
        own.next_id = shared.next_id.fetch_add(ID_BATCH, Ordering::Relaxed);
        own.end_id = own.next_id + ID_BATCH;
    }
    g.id.store(own.next_id, Ordering::Relaxed);
    own.next_id += 1;
    Processor::count(&p.spawned_count);
    begin(g);
    g
}

#[inline(always)]
fn begin(g: &Goroutine) {
    g.head.flags.store(0, Ordering::Relaxed);
    g.head.reason.store(0, Ordering::Relaxed);
    g.context.store(FRESH, Ordering::Relaxed);
    g.join.store(JOIN_OPEN, Ordering::Relaxed);
    g.set_status(Status::Runnable);
}

#[cold]
#[inline(never)]
#[track_caller]
fn outside_every_goroutine() -> ! {
    panic!(
        "go() was called outside every goroutine: use Runtime::spawn, or call it inside Runtime::run"
    )
}

/// Starts a goroutine from a thread that has no P.
#[track_caller]
pub(crate) fn from_outside<T, F>(shared: &'static Shared, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start_outside(shared, f, Location::caller(), None)
}

fn start_outside<T, F>(
    shared: &'static Shared,
    f: F,
    site: &'static Location<'static>,
    settings: Option<(Box<Details>, u8)>,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let g = shared.take_record_outside();
    g.id.store(
        shared.next_id.fetch_add(1, Ordering::Relaxed),
        Ordering::Relaxed,
    );
    begin(g);
    g.set_site(site);
    if let Some((details, flags)) = settings {
        g.head.flags.store(flags, Ordering::Relaxed);
        g.set_details(details);
    }
    // SAFETY: a fresh record with an empty body.
    unsafe { body::put_closure(g, f) };
    shared.note_spawn_outside(g);
    if !shared.admit(g) {
        abandon(shared, g, None);
    }
    JoinHandle::new(g)
}

/// Ends a goroutine that never ran.
pub(crate) fn abandon(
    shared: &'static Shared,
    g: &'static Goroutine,
    error: Option<Box<StackError>>,
) {
    // SAFETY: it is off every queue and never ran.
    unsafe { (g.vtable().abandon)(g, error) };
    g.set_status(Status::Dead);
    match g.join.swap(JOIN_DONE, Ordering::AcqRel) {
        JOIN_OPEN | JOIN_LOST => {}
        JOIN_DETACHED => {
            // SAFETY: it ended and no handle exists.
            unsafe { (g.vtable().drop_outcome)(g) };
            shared.recycle_outside(g);
        }
        waiting => {
            if let Some(head) = ptr::NonNull::new(waiting as *mut _) {
                // SAFETY: by the table of `join` it is a parkable's head.
                park::ready(unsafe { Parkable::from_head(head) });
            }
        }
    }
}

/// Settings of one goroutine.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Priority, Runtime};
///
/// let runtime = Runtime::builder().build()?;
/// let answer = runtime.run(|| {
///     GoBuilder::new().name("adder").priority(Priority::High).go(|| 1 + 1).unwrap().join().unwrap()
/// });
/// assert_eq!(answer, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GoBuilder {
    name: Option<Box<str>>,
    priority: Priority,
    stack: Option<StackPolicy>,
    cpu_bound: bool,
}

impl GoBuilder {
    /// No name, normal priority, the runtime's stack policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for dumps and reports.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime, goroutines};
    ///
    /// Runtime::builder().build()?.run(|| {
    ///     let named = GoBuilder::new().name("indexer");
    ///     let seen = named.go(|| goroutines().iter().any(|g| g.name.as_deref() == Some("indexer")));
    ///     assert!(seen.unwrap().join().unwrap());
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The scheduling class.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Priority, Runtime};
    ///
    /// Runtime::builder().build()?.run(|| {
    ///     let tidying = GoBuilder::new().priority(Priority::Low).go(|| "tidy").unwrap();
    ///     assert_eq!(tidying.join().unwrap(), "tidy");
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Says that it will compute for long without a call into the runtime.
    ///
    /// In a pinned runtime it then starts on a thread that no other goroutine
    /// shares, if one can be had, so that none of them waits for it. A
    /// migrating runtime needs no such hint.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime};
    ///
    /// let sum = Runtime::builder().build()?.run(|| {
    ///     let adds_up = GoBuilder::new().cpu_bound(true).go(|| (0..1_000_000u64).sum::<u64>());
    ///     adds_up.unwrap().join().unwrap()
    /// });
    /// assert_eq!(sum, 499_999_500_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn cpu_bound(mut self, cpu_bound: bool) -> Self {
        self.cpu_bound = cpu_bound;
        self
    }

    /// A stack policy of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime, StackPolicy, stack_usage};
    ///
    /// Runtime::builder().build()?.run(|| {
    ///     let small = GoBuilder::new().stack(StackPolicy::Fixed(32 << 10));
    ///     let usage = small.go(stack_usage).unwrap().join().unwrap().unwrap();
    ///     assert_eq!(usage.limit_bytes, 32 << 10);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn stack(mut self, policy: StackPolicy) -> Self {
        self.stack = Some(policy);
        self
    }

    /// Starts the goroutine, on the runtime of the calling one.
    ///
    /// # Errors
    ///
    /// When the stack policy is out of range.
    ///
    /// # Panics
    ///
    /// Outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoBuilder, Runtime};
    ///
    /// Runtime::builder().build()?.run(|| {
    ///     let worker = GoBuilder::new().name("worker").go(|| 6 * 7);
    ///     assert_eq!(worker.unwrap().join().unwrap(), 42);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn go<T, F>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let Some(shared) = park::runtime() else {
            outside_every_goroutine()
        };
        let class = self
            .stack
            .map(Class::for_policy)
            .transpose()
            .map_err(io::Error::other)?;
        let site = Location::caller();
        let details = Box::new(Details {
            site,
            name: self.name,
            class,
        });
        let mut flags = (self.priority as u8) << FLAG_PRIORITY_SHIFT;
        if self.cpu_bound && shared.pinned {
            flags |= FLAG_CPU_BOUND;
            shared.hogs.declare();
        }
        Ok(start_outside(shared, f, site, Some((details, flags))))
    }
}

/// Why a goroutine has no result.
///
/// # Examples
///
/// ```
/// use bench_runtime::{JoinError, Runtime, go, goexit};
///
/// Runtime::builder().build()?.run(|| {
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
    /// It panicked; the payload is what the panic carried.
    #[error("the goroutine panicked: {0}")]
    Panicked(PanicPayload),
    /// It ended itself by [`goexit`].
    #[error("the goroutine ended by goexit")]
    Exited,
    /// The runtime was shut down before it ended.
    #[error("the runtime was shut down before the goroutine ended")]
    Unfinished,
    /// The runtime was shut down before it started.
    #[error("the runtime was shut down before the goroutine started")]
    Abandoned,
    /// It could be given no stack.
    #[error("no stack for the goroutine: {0}")]
    NoStack(#[source] Box<StackError>),
}

/// What a panic carried.
///
/// # Examples
///
/// ```
/// use bench_runtime::{JoinError, Runtime, go};
///
/// Runtime::builder().build()?.run(|| {
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
    /// Runtime::builder().build()?.run(|| {
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

/// The right to wait for a goroutine and to take its result. Dropping it lets
/// the goroutine run on.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go};
///
/// Runtime::builder().build()?.run(|| {
///     let handle = go(|| "done".to_owned());
///     println!("goroutine {} is finished: {}", handle.id(), handle.is_finished());
///     assert_eq!(handle.join().unwrap(), "done");
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a goroutine whose handle is dropped runs on; say `drop(go(..))` or `let _ = go(..)` if that is meant"]
pub struct JoinHandle<T> {
    g: &'static Goroutine,
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
    fn new(g: &'static Goroutine) -> Self {
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

    /// Waits for the end. False: it will not come, in a test with fake time.
    pub(crate) fn wait(&self) -> bool {
        if !self.is_finished() {
            wait_for(self.g, true);
        }
        self.is_finished()
    }

    /// Gives a goroutine up whose runtime has stopped; false if it has ended
    /// after all.
    #[cold]
    fn let_go(&self) -> bool {
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

    /// True once [`Self::join`] would not wait, but for a goroutine whose
    /// runtime was shut down before it ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let finished = self.g.join.load(Ordering::Acquire) == JOIN_DONE;
        if !finished {
            preempt::give_way();
        }
        finished
    }

    /// Waits until the goroutine has ended and takes its result. Blocks the
    /// goroutine, or the thread if called from a plain one.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if it panicked, left by [`goexit`], or never started, or
    /// if its runtime was shut down before it ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, go};
    ///
    /// Runtime::builder().build()?.run(|| {
    ///     assert_eq!(go(|| 2 + 2).join().unwrap(), 4);
    ///     assert!(go(|| panic!("two and two make five")).join().is_err());
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn join(self) -> Result<T, JoinError> {
        let g = self.g;
        // Acquire: pairs with the AcqRel of `finish`; the outcome is written.
        loop {
            match g.join.load(Ordering::Acquire) {
                JOIN_DONE => break,
                JOIN_LOST if self.let_go() => {
                    std::mem::forget(self);
                    return Err(JoinError::Unfinished);
                }
                _ => wait_for(g, false),
            }
        }
        std::mem::forget(self);
        // SAFETY: it ended; the handle is used up, so this happens once.
        let outcome = unsafe { body::take_outcome::<T>(g) };
        free(g);
        match outcome {
            Outcome::Returned(value) => Ok(value),
            other => Err(failure(other)),
        }
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

/// Waits for an end, or until none can come; the caller looks which. With
/// `for_all`, a thread does not wait while all goroutines are stuck.
#[inline(never)]
fn wait_for(g: &'static Goroutine, for_all: bool) {
    let me = super::prepare_park(WaitReason::Join, ptr::from_ref(g).cast());
    let address = me.as_ptr() as usize;
    // Release: our status is set before the goroutine may ready us. Acquire:
    // as in `join`. SeqCst: with the look at the outlook; whoever changes that
    // looks for us afterwards.
    let waits = g
        .join
        .compare_exchange(JOIN_OPEN, address, Ordering::SeqCst, Ordering::Acquire)
        .is_ok();
    if !waits {
        return super::cancel_park(me);
    }
    let instead = match shared_of(g).outlook() {
        Outlook::Open => None,
        Outlook::Stuck => (for_all && me.head().kind == Kind::Thread).then_some(JOIN_OPEN),
        Outlook::Stopped => Some(JOIN_LOST),
    };
    // It fails where a ready is on its way.
    let taken_back = instead.is_some_and(|instead| {
        g.join
            .compare_exchange(address, instead, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    });
    if taken_back {
        super::cancel_park(me);
    } else {
        park(me);
    }
}

/// Takes back the record of an ended goroutine.
#[inline(always)]
fn free(g: &'static Goroutine) {
    let shared = shared_of(g);
    if let Some(header) = current::header() {
        let m = machine_of(header);
        if ptr::eq(m.shared, shared) {
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
        // AcqRel: if it ended, its outcome is ours to drop.
        if g.join.swap(JOIN_DETACHED, Ordering::AcqRel) == JOIN_DONE {
            // SAFETY: it ended, and the handle is gone.
            unsafe { (g.vtable().drop_outcome)(g) };
            free(g);
        }
    }
}

/// Ends the calling goroutine: destructors run, [`JoinHandle::join`] answers
/// [`JoinError::Exited`]. In the main goroutine it ends `Runtime::run` with a
/// panic.
///
/// # Panics
///
/// Outside every goroutine.
///
/// # Examples
///
/// ```
/// use bench_runtime::{JoinError, Runtime, go, goexit};
///
/// struct Tidy;
/// impl Drop for Tidy {
///     fn drop(&mut self) {
///         println!("tidied up");
///     }
/// }
///
/// Runtime::builder().build()?.run(|| {
///     let ended = go(|| {
///         let _tidy = Tidy;
///         goexit()
///     });
///     assert!(matches!(ended.join(), Err(JoinError::Exited)));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn goexit() -> ! {
    assert!(current::header().is_some(), "goexit outside a goroutine");
    std::panic::resume_unwind(Box::new(Exit))
}

/// The number of the calling goroutine; `None` on a plain thread.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go, goroutine_id};
///
/// assert_eq!(goroutine_id(), None);
/// Runtime::builder().build()?.run(|| {
///     let other = go(goroutine_id);
///     let id = other.id();
///     assert_eq!(other.join().unwrap(), Some(id));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn goroutine_id() -> Option<u64> {
    current::header().map(|header| goroutine_of(header).id.load(Ordering::Relaxed))
}

/// How many goroutines of this runtime have not ended; 0 outside a runtime.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, go, num_goroutine};
///
/// Runtime::builder().build()?.run(|| {
///     let (tx, rx) = chan::<()>(0);
///     let other = go(move || rx.recv());
///     assert_eq!(num_goroutine(), 2);
///     drop(tx);
///     other.join().unwrap();
///     assert_eq!(num_goroutine(), 1);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn num_goroutine() -> usize {
    park::runtime().map_or(0, Shared::goroutines_count)
}

/// GOMAXPROCS of this runtime. With `Some(n)` it is changed, while goroutines
/// run; the old value is returned.
///
/// # Panics
///
/// Outside every goroutine, or if `n` is not 1 to 4,096.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, gomaxprocs};
///
/// Runtime::builder().procs(2).build()?.run(|| {
///     assert_eq!(gomaxprocs(Some(4)), 2);
///     assert_eq!(gomaxprocs(None), 4);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn gomaxprocs(n: Option<usize>) -> usize {
    let Some(shared) = park::runtime() else {
        panic!("gomaxprocs outside a goroutine: see Runtime::set_procs")
    };
    match n {
        Some(n) => shared.set_procs_by_hand(n),
        None => shared.procs(),
    }
}
