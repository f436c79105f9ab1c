//! A single tick, at a time that can be changed.
//!
//! A stop or a reset also empties the channel, under the lock that each tick takes. So no earlier
//! tick is received afterwards, except for one that a dropped future puts back into the channel.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chan::{Receiver, Sender, tick_chan};
use crate::sched;
use crate::time::armed::{self, Armed};
use crate::time::{after_ns, instant_of};
use crate::timer::{Action, Call};
use crate::util::lock::Lock;

/// Sends the time, once, on its channel. Dropping it stops the timer and closes the channel.
///
/// # Examples
///
/// ```
/// use bench_runtime::time::Timer;
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let timer = Timer::new(Duration::from_millis(1));
/// let tick = timer.receiver().recv().unwrap();
/// assert!(tick >= start + Duration::from_millis(1));
///
/// timer.reset(Duration::from_secs(3600));
/// assert!(timer.stop(), "it was stopped before it fired");
/// assert!(!timer.stop(), "and was not running any more");
/// assert!(timer.receiver().try_recv().is_err());
///
/// let tick = timer.receiver().clone();
/// drop(timer);
/// assert_eq!(tick.recv(), None);
/// ```
pub struct Timer {
    shared: Arc<Shared>,
    call: Arc<dyn Call>,
}

struct Shared {
    state: Lock<State>,
    sender: Sender<Instant>,
    receiver: Receiver<Instant>,
}

#[derive(Debug, Default)]
struct State {
    due_ns: Option<u64>,
    armed: Option<Armed>,
}

impl Shared {
    fn fire(&self, when_ns: u64) {
        let mut state = self.state.lock();
        if state.due_ns == Some(when_ns) {
            state.due_ns = None;
            state.armed = None;
            // A dropped future may have put an earlier tick back since the reset.
            let _ = self.receiver.take();
            let _ = self.sender.try_send(instant_of(when_ns));
        }
    }
}

impl Timer {
    /// A timer that sends the time after a duration.
    ///
    /// # Panics
    ///
    /// On a plain thread, if the thread that fires timers cannot be started.
    pub fn new(duration: Duration) -> Self {
        let (sender, receiver) = tick_chan();
        let shared = Arc::new(Shared {
            state: Lock::new(State::default()),
            sender,
            receiver,
        });
        let fired = shared.clone();
        let timer = Self {
            shared,
            call: Arc::new(move |when_ns| fired.fire(when_ns)),
        };
        timer.reset(duration);
        timer
    }

    /// The channel on which the time is sent: the time for which the timer was set.
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.shared.receiver
    }

    /// Stops the timer. True: the tick was still to come, or had come and was not received; now it
    /// will not be received. False: the tick was received, or the timer was stopped before.
    ///
    /// One exception: if a future of [`Receiver::recv_async`] holds the tick and is dropped, it
    /// puts the tick back into the channel.
    pub fn stop(&self) -> bool {
        self.replace(None)
    }

    /// Makes the timer fire `duration` from now instead. Returns what [`Self::stop`] would return.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::time::Timer;
    /// use std::time::Duration;
    ///
    /// let idle = Timer::new(Duration::from_secs(3600));
    /// // Starts again, with a shorter time.
    /// assert!(idle.reset(Duration::from_millis(1)));
    /// assert!(idle.receiver().recv().is_some());
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
        let was_unreceived = self.shared.receiver.take().is_some();
        state.due_ns = due_ns;
        state.armed = due_ns.map(|when| armed::arm(when, Action::Call(self.call.clone())));
        drop(state);
        sched::give_way();
        was_due || was_unreceived
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}
