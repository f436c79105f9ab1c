//! A tick each period.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chan::{Receiver, Sender, tick_chan};
use crate::sched;
use crate::time::armed::{self, Armed};
use crate::time::{LATEST, after_ns, instant_of};
use crate::timer::{Action, Periodic};
use crate::util::lock::Lock;

/// Sends the time on its channel, once each period.
///
/// A tick is dropped if the tick before it was not received yet: the channel holds at most one.
/// Ticks keep their phase, even if some are late. Dropping the ticker closes its channel; after
/// [`Self::stop`] the channel stays open, as in Go.
///
/// # Examples
///
/// ```
/// use bench_runtime::time::Ticker;
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticker = Ticker::new(Duration::from_millis(1));
/// for _ in 0..3 {
///     ticker.receiver().recv();
/// }
/// assert!(start.elapsed() >= Duration::from_millis(3));
///
/// ticker.stop();
/// assert!(ticker.receiver().try_recv().is_err());
///
/// let ticks = ticker.receiver().clone();
/// drop(ticker);
/// assert_eq!(ticks.recv(), None);
/// ```
pub struct Ticker {
    shared: Arc<Shared>,
    receiver: Receiver<Instant>,
}

struct Shared {
    state: Lock<State>,
    sender: Sender<Instant>,
}

#[derive(Debug, Default)]
struct State {
    /// Incremented by each stop and reset: a tick of an earlier epoch has no effect.
    epoch: u64,
    armed: Option<Armed>,
}

impl Shared {
    fn fire(&self, epoch: u64, when_ns: u64) {
        let state = self.state.lock();
        if state.epoch == epoch {
            // It fails if the tick before was not received yet.
            let _ = self.sender.try_send(instant_of(when_ns));
        }
    }
}

impl Ticker {
    /// A ticker whose first tick comes after one period.
    ///
    /// # Panics
    ///
    /// If the period is zero; and, on a plain thread, if the thread that fires timers cannot be
    /// started.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::time::Ticker;
    /// use std::time::Duration;
    ///
    /// let ticker = Ticker::new(Duration::from_millis(1));
    /// let first = ticker.receiver().recv().unwrap();
    /// let second = ticker.receiver().recv().unwrap();
    /// assert!(second > first);
    /// ```
    pub fn new(period: Duration) -> Self {
        let (sender, receiver) = tick_chan();
        let ticker = Self {
            shared: Arc::new(Shared {
                state: Lock::new(State::default()),
                sender,
            }),
            receiver,
        };
        ticker.reset(period);
        ticker
    }

    /// The channel on which the time is sent.
    pub fn receiver(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Stops the ticks: none is received any more, not even one that is in the channel. The channel
    /// stays open.
    ///
    /// One exception: if a future of [`Receiver::recv_async`] holds a tick and is dropped, it
    /// puts the tick back into the channel, unless the channel holds another tick.
    pub fn stop(&self) {
        self.replace(None);
    }

    /// Starts again with this period: the next tick comes one period from now.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::time::Ticker;
    /// use std::time::Duration;
    ///
    /// let ticker = Ticker::new(Duration::from_secs(3600));
    /// ticker.reset(Duration::from_millis(1));
    /// assert!(ticker.receiver().recv().is_some());
    /// ```
    pub fn reset(&self, period: Duration) {
        assert!(!period.is_zero(), "the period of a ticker must not be zero");
        self.replace(Some(period));
    }

    fn replace(&self, period: Option<Duration>) {
        let mut state = self.shared.state.lock();
        state.epoch += 1;
        if let Some(armed) = state.armed.take() {
            armed.cancel();
        }
        let _ = self.receiver.take();
        let epoch = state.epoch;
        state.armed = period.map(|period| {
            // Weak: a call that was cancelled while a poll makes it must not keep the ticker's
            // memory.
            let shared = Arc::downgrade(&self.shared);
            let call = move |when_ns| {
                if let Some(shared) = shared.upgrade() {
                    shared.fire(epoch, when_ns);
                }
            };
            let periodic = Periodic {
                period_ns: u64::try_from(period.as_nanos()).unwrap_or(LATEST),
                call: Box::new(call),
            };
            armed::arm(after_ns(period), Action::Every(Arc::new(periodic)))
        });
        drop(state);
        sched::give_way();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}
