//! A tick or a call after a duration.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::chan::{Receiver, chan};
use crate::sched;
use crate::seam::Spawner;
use crate::time::armed::{self, Armed};
use crate::time::{after_ns, instant_of};
use crate::timer::{Action, Call};
use crate::util::lock::Lock;

/// A channel on which the time is sent once, after a duration, and which is then closed.
///
/// It cannot be stopped, and uses a little memory until the time is sent, even if the receiver is
/// dropped. For long times that are mostly cancelled, use [`crate::time::Timer`].
///
/// # Panics
///
/// On a plain thread, if the thread that fires timers cannot be started.
///
/// # Examples
///
/// ```
/// use bench_runtime::time::after;
/// use std::time::Duration;
///
/// let tick = after(Duration::from_millis(1));
/// assert!(tick.recv().is_some());
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    let (sender, receiver) = chan(1);
    let call = move |when_ns| {
        // It fails if the receiver was dropped.
        let _ = sender.try_send(instant_of(when_ns));
    };
    armed::arm(after_ns(duration), Action::Call(Arc::new(call)));
    sched::give_way();
    receiver
}

/// A function that is called after a duration: see [`after_func`]. Dropping this does not stop
/// the call.
///
/// # Examples
///
/// ```
/// use bench_runtime::time;
/// use std::time::Duration;
///
/// let call = time::after_func(Duration::from_secs(3600), || println!("an hour has passed"));
/// assert!(call.stop(), "it had not begun");
/// assert!(!call.stop(), "and now it will not");
/// ```
pub struct AfterFunc {
    shared: Arc<Shared>,
    call: Arc<dyn Call>,
}

struct Later<F: Send + 'static> {
    shared: Arc<Shared>,
    spawner: Spawner,
    /// True if the function is to be called even if the runtime stops first.
    outlives: bool,
    /// True once a goroutine was started to call the function.
    is_started: AtomicBool,
    /// `None` only during the drop.
    f: Option<F>,
}

impl<F: Send + 'static> Drop for Later<F> {
    /// Runs where the last owner ends: the handle, or the goroutine of the call. If the handle is
    /// the last owner, and the function was called before, a new goroutine drops the function: its
    /// destructor is code of the program.
    fn drop(&mut self) {
        let f = self.f.take();
        if std::mem::needs_drop::<F>() && f.is_some() && *self.is_started.get_mut() {
            self.spawner.drop_apart(f);
        }
    }
}

impl<F: Fn() + Send + Sync + 'static> Call for Later<F> {
    fn fire(self: Arc<Self>, when_ns: u64) {
        let is_due = {
            let mut state = self.shared.state.lock();
            let is_due = state.due_ns == Some(when_ns);
            if is_due {
                *state = State::default();
            }
            is_due
        };
        self.is_started.fetch_or(is_due, Ordering::Relaxed);
        // A goroutine is started even if the call is no longer due: this may be the last owner of
        // the function, whose destructor must not run here.
        let spawner = self.spawner.clone();
        spawner.call_by_timer(move || {
            if let Some(f) = self.f.as_ref().filter(|_| is_due) {
                f();
            }
            // Dropped here, where code of the program may run.
            if let Some(mut last) = Arc::into_inner(self) {
                drop(last.f.take());
            }
        });
    }

    fn outlive(self: Arc<Self>, now_ns: u64) {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        if let Some(due_ns) = state.due_ns.filter(|_| self.outlives) {
            let due_ns = armed::outside_ns(due_ns, now_ns);
            state.due_ns = Some(due_ns);
            state.armed = Some(armed::arm_outside(due_ns, Action::Call(self)));
        }
    }
}

struct Shared {
    state: Lock<State>,
}

#[derive(Debug, Default)]
struct State {
    due_ns: Option<u64>,
    armed: Option<Armed>,
}

/// Calls a function in a new goroutine after a duration; from a plain thread, in a new thread. If
/// no thread can be started after some tries, the process ends with a fatal error.
///
/// If the runtime stops first, the function is not called. A later [`reset`](AfterFunc::reset)
/// makes a new thread call it.
///
/// # Panics
///
/// On a plain thread, if the thread that fires timers cannot be started.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, time};
/// use std::time::Duration;
///
/// let (tx, rx) = chan(1);
/// time::after_func(Duration::from_millis(1), move || {
///     let _ = tx.send("now");
/// });
/// assert_eq!(rx.recv(), Some("now"));
/// ```
pub fn after_func(duration: Duration, f: impl Fn() + Send + Sync + 'static) -> AfterFunc {
    begin(duration, f, false)
}

/// As [`after_func`]; but if the runtime stops first, a new thread calls the function when it is
/// due.
pub(crate) fn after_func_in_any_case(
    duration: Duration,
    f: impl Fn() + Send + Sync + 'static,
) -> AfterFunc {
    begin(duration, f, true)
}

fn begin(duration: Duration, f: impl Fn() + Send + Sync + 'static, outlives: bool) -> AfterFunc {
    let shared = Arc::new(Shared {
        state: Lock::new(State::default()),
    });
    let call = Arc::new(Later {
        shared: shared.clone(),
        spawner: Spawner::current(),
        outlives,
        is_started: AtomicBool::new(false),
        f: Some(f),
    });
    let after = AfterFunc { shared, call };
    after.reset(duration);
    after
}

impl AfterFunc {
    /// Cancels the call. True: the call had not begun, and will not. False: its goroutine was
    /// started, or the call was cancelled before.
    pub fn stop(&self) -> bool {
        self.replace(None)
    }

    /// Makes the call happen `duration` from now, even if it has happened before. Returns what
    /// [`Self::stop`] would return.
    ///
    /// # Panics
    ///
    /// As [`after_func`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, time};
    /// use std::time::Duration;
    ///
    /// let (tx, rx) = chan(1);
    /// let call = time::after_func(Duration::from_secs(3600), move || {
    ///     let _ = tx.try_send("called");
    /// });
    /// assert!(call.reset(Duration::from_millis(1)), "it was still to come");
    /// assert_eq!(rx.recv(), Some("called"));
    /// ```
    pub fn reset(&self, duration: Duration) -> bool {
        self.replace(Some(after_ns(duration)))
    }

    fn replace(&self, due_ns: Option<u64>) -> bool {
        let mut state = self.shared.state.lock();
        let was_due = state.due_ns.is_some();
        if let Some(armed) = state.armed.take() {
            armed.cancel();
        }
        state.due_ns = due_ns;
        state.armed = due_ns.map(|when| armed::arm(when, Action::Call(self.call.clone())));
        drop(state);
        sched::give_way();
        was_due
    }
}

impl fmt::Debug for AfterFunc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterFunc").finish_non_exhaustive()
    }
}
