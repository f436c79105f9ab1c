//! Waiting until a number of tasks are done.
//!
//! | `state`       | meaning                                             |
//! |---------------|-----------------------------------------------------|
//! | `ONE` × n     | n tasks are not done                                |
//! | `QUEUED`      | waiters exist, or timed out since; set and cleared under the queue's lock |
//!
//! A round lasts until the count is zero again. The change that brings the count to zero while
//! `QUEUED` is set is made under the queue's lock. So no goroutine can begin a new round, and wait
//! for it, before the waiters of this round have been dequeued.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use super::waiting::{Woken, park_in, park_in_until};
use crate::goroutine::body::Exit;
use crate::goroutine::{WaitQueue, WaitReason};
use crate::runtime::spawn::{GoBuilder, go_detached};
use crate::sched;
use crate::sched::current;
use crate::seam::Spawner;
use crate::time::after_ns;
use crate::util::lock::Lock;
use crate::util::quick_lock::QuickLock;

const QUEUED: i64 = 1;
const ONE: i64 = 2;

/// Counts tasks; goroutines can wait until all are done. Clones are handles of the same group.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::WaitGroup;
///
/// let group = WaitGroup::new();
/// for _ in 0..3 {
///     group.add(1);
///     let group = group.clone();
///     std::thread::spawn(move || group.done());
/// }
/// group.wait();
/// ```
#[derive(Clone)]
pub struct WaitGroup {
    inner: Arc<Inner>,
}

struct Inner {
    state: AtomicI64,
    queue: QuickLock<WaitQueue>,
    /// The first panic of a task.
    panic: Lock<Option<Box<dyn Any + Send>>>,
    /// There is, or was, a panic.
    panicked: AtomicBool,
}

impl WaitGroup {
    /// A group with nothing to wait for.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: AtomicI64::new(0),
                queue: QuickLock::new(WaitQueue::new()),
                panic: Lock::new(None),
                panicked: AtomicBool::new(false),
            }),
        }
    }

    /// Changes the count. As in Go, an `add` that raises the count from zero must happen before the
    /// [`Self::wait`] that is to wait for it.
    ///
    /// # Panics
    ///
    /// If the count would become negative, or above `i32::MAX`; it then stays
    /// as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::WaitGroup;
    ///
    /// let group = WaitGroup::new();
    /// group.add(2);
    /// for _ in 0..2 {
    ///     let group = group.clone();
    ///     std::thread::spawn(move || group.done());
    /// }
    /// group.wait();
    /// assert_eq!(group.count(), 0);
    /// ```
    pub fn add(&self, delta: i32) {
        self.change(delta);
        sched::give_way();
    }

    /// As [`Self::add`], without `give_way`: for the start and the end of a goroutine, which give
    /// way themselves.
    fn change(&self, delta: i32) {
        let inner = &*self.inner;
        let mut state = inner.state.load(Ordering::Relaxed);
        loop {
            let next = changed(state, delta);
            if next == QUEUED {
                return inner.change_under_lock(delta);
            }
            // AcqRel: the Acquire of a wait pairs with every change of the count.
            match inner.state.compare_exchange_weak(
                state,
                next,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }

    /// One task is done: `add(-1)`.
    ///
    /// # Panics
    ///
    /// If no task was left.
    pub fn done(&self) {
        self.add(-1);
    }

    /// Starts a task in a goroutine, and counts it until it returns, panics or exits. On a plain
    /// thread this starts an OS thread; [`Handle::spawn`](crate::Handle::spawn) starts a goroutine.
    ///
    /// # Panics
    ///
    /// As [`Self::add`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::WaitGroup;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// static SUM: AtomicU32 = AtomicU32::new(0);
    /// let group = WaitGroup::new();
    /// for n in 1..=3 {
    ///     group.go(move || {
    ///         SUM.fetch_add(n, Ordering::Relaxed);
    ///     });
    /// }
    /// group.wait();
    /// assert_eq!(SUM.load(Ordering::Relaxed), 6);
    /// ```
    #[track_caller]
    pub fn go(&self, f: impl FnOnce() + Send + 'static) {
        let task = self.task(f);
        if current::header().is_some() {
            go_detached(task);
        } else {
            Spawner::current().spawn(task);
        }
    }

    /// As [`Self::go`], with settings: a name and labels, a priority, a stack.
    ///
    /// # Errors
    ///
    /// As [`GoBuilder::go`]; the task is not counted then.
    ///
    /// # Panics
    ///
    /// As [`Self::add`], and outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::WaitGroup;
    /// use bench_runtime::{GoBuilder, Runtime, labels};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// unsafe { Runtime::builder().build() }?.run(|| {
    ///     let group = WaitGroup::new();
    ///     for shard in ["0", "1"] {
    ///         let how = GoBuilder::new().name("indexer").label("shard", shard);
    ///         group.go_with(how, move || assert_eq!(labels()[0].1, shard))?;
    ///     }
    ///     group.wait();
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn go_with(&self, how: GoBuilder, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
        how.check()?;
        how.go(self.task(f)).map(drop)
    }

    /// Counts a task until the returned closure has run or was dropped. If the task panics, `wait`
    /// panics with the same payload.
    pub(crate) fn task<F: FnOnce() + Send>(&self, f: F) -> impl FnOnce() + Send + use<F> {
        self.change(1);
        let unrun = Unrun(ManuallyDrop::new(Counted(self.clone())));
        move || {
            let counted = unrun.begin();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
                if panic.is::<Exit>() {
                    // `goexit`, no panic: the goroutine ends, and the drop of `counted` decrements
                    // the count.
                    resume_unwind(panic);
                }
                counted.0.inner.note_panic(panic);
            }
            drop(counted);
        }
    }

    /// How many tasks are not done.
    #[must_use]
    pub fn count(&self) -> usize {
        sched::give_way();
        usize::try_from(self.inner.state.load(Ordering::Relaxed) / ONE).unwrap_or(0)
    }

    /// Waits until the count is zero; blocks the goroutine.
    ///
    /// # Panics
    ///
    /// With the first panic of a task that the group started; only one call panics with it. A task
    /// that did not run, because there was no stack or the runtime stopped, counts as a panic.
    pub fn wait(&self) {
        self.wait_as(WaitReason::WaitGroup);
    }

    pub(crate) fn wait_as(&self, reason: WaitReason) {
        let inner = &*self.inner;
        if inner.is_done() {
            sched::give_way();
        } else {
            let queue = inner.queue.lock();
            if inner.queue_up() {
                let object = ptr::from_ref(inner).cast();
                park_in(queue, reason, object, ptr::null_mut());
            }
        }
        inner.pass_on_panic();
    }

    /// Waits until the count is zero, for `timeout` at most; false if the time passed first. Blocks
    /// the goroutine.
    ///
    /// # Panics
    ///
    /// As [`Self::wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::WaitGroup;
    /// use std::time::Duration;
    ///
    /// let group = WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(Duration::from_millis(1)));
    /// group.done();
    /// assert!(group.wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let inner = &*self.inner;
        if inner.is_done() {
            sched::give_way();
        } else {
            let deadline_ns = after_ns(timeout);
            let queue = inner.queue.lock();
            if inner.queue_up() {
                let object = ptr::from_ref(inner).cast();
                let elem = ptr::null_mut();
                let reason = WaitReason::WaitGroup;
                let done = park_in_until(queue, reason, object, elem, deadline_ns, |waiter| {
                    // SAFETY: alive, and was enqueued nowhere else. (`QUEUED` stays set; the last
                    // change of the round then finds no waiter.)
                    unsafe { inner.queue.lock().remove(waiter.as_ptr()) };
                });
                if !done {
                    return false;
                }
            }
        }
        inner.pass_on_panic();
        true
    }
}

struct Counted(WaitGroup);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.change(-1);
    }
}

/// A counted task that has not begun. Its drop means that there is no stack for the task, or that
/// the runtime stops.
struct Unrun(ManuallyDrop<Counted>);

impl Unrun {
    fn begin(self) -> Counted {
        let mut unrun = ManuallyDrop::new(self);
        // SAFETY: it is taken out once: `unrun` is not dropped.
        unsafe { ManuallyDrop::take(&mut unrun.0) }
    }
}

impl Drop for Unrun {
    fn drop(&mut self) {
        // SAFETY: it is taken out once: here, or in `begin`, after which this is not called.
        let counted = unsafe { ManuallyDrop::take(&mut self.0) };
        // If there is no stack, `goroutine::body` also reports the reason through the panic hook.
        let text = "a goroutine of the WaitGroup did not run: there was no stack for it, or its runtime stopped";
        counted.0.inner.note_panic(Box::new(text));
    }
}

fn changed(state: i64, delta: i32) -> i64 {
    let count = state / ONE + i64::from(delta);
    assert!(count >= 0, "WaitGroup: negative count");
    assert!(
        count <= i64::from(i32::MAX),
        "WaitGroup: more than i32::MAX tasks"
    );
    count * ONE + (state & QUEUED)
}

impl Inner {
    fn is_done(&self) -> bool {
        // Acquire: pairs with the Release of the changes.
        self.state.load(Ordering::Acquire) < ONE
    }

    /// Makes a change that may be the last of a round with waiters.
    #[cold]
    fn change_under_lock(&self, delta: i32) {
        let mut queue = self.queue.lock();
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let next = match changed(state, delta) {
                QUEUED => 0,
                next => next,
            };
            // AcqRel: as in `change`.
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) if next == 0 => break,
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        let (woken, _) = Woken::all_of(&mut queue);
        drop(queue);
        woken.ready();
    }

    /// Sets `QUEUED`, and returns true, unless the count is zero. The caller holds the queue's
    /// lock.
    fn queue_up(&self) -> bool {
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Acquire, |state| {
                (state >= ONE).then_some(state | QUEUED)
            })
            .is_ok()
    }

    /// Keeps a panic for the waiters, if it is the first.
    fn note_panic(&self, panic: Box<dyn Any + Send>) {
        let mut panic = Some(panic);
        {
            let mut first = self.panic.lock();
            if first.is_none() {
                *first = panic.take();
            }
        }
        // Relaxed: the change of the count that follows orders it.
        self.panicked.store(true, Ordering::Relaxed);
        // A later panic is dropped after the unlock: its destructor is code of the program.
        drop(panic);
    }

    fn pass_on_panic(&self) {
        if self.panicked.load(Ordering::Relaxed) {
            let panic = self.panic.lock().take();
            if let Some(panic) = panic {
                resume_unwind(panic);
            }
        }
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
