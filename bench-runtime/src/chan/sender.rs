use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::core::{Side, block_until, wait_for_ever};
use super::send_future::Sending;
use super::typed::{Chan, Sent};
use super::{SendError, SendTimeoutError, TrySendError};
use crate::goroutine::WaitReason;
use crate::sched;
use crate::time::{after_ns, ns_of};

/// The sending end of a channel; clones send into the same channel.
///
/// When the last clone is dropped, the channel closes: receivers get the values left in the buffer,
/// and then `None`.
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(1);
/// tx.send(7).unwrap();
/// assert_eq!(rx.recv(), Some(7));
/// ```
pub struct Sender<T> {
    /// `None` is the nil channel.
    chan: Option<Chan<T>>,
}

// SAFETY: the channel is used under its lock, and passes only values, which are `Send`.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}
// A panic of the program does not damage a channel: none of its code runs under the lock.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    pub(super) fn new(chan: Chan<T>) -> Self {
        Self { chan: Some(chan) }
    }

    pub(super) fn chan(&self) -> Option<Chan<T>> {
        self.chan
    }

    /// An end without a channel, like a nil channel in Go: [`send`](Self::send) on it never
    /// returns, and in a `select!` it is never ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Sender;
    ///
    /// assert!(Sender::never().try_send(1).is_err());
    /// ```
    #[must_use]
    pub const fn never() -> Self {
        Self { chan: None }
    }

    /// Sends a value; blocks the goroutine (or, on a plain thread, the thread) until the value is
    /// in the buffer or, without a buffer, a receiver has it.
    ///
    /// # Errors
    ///
    /// The value is returned if the channel is or becomes closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, SendError};
    ///
    /// let (tx, rx) = chan(1);
    /// assert_eq!(tx.send("taken"), Ok(()));
    /// drop(rx);
    /// assert_eq!(tx.send("back"), Err(SendError("back")));
    /// ```
    #[inline(always)]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        match &self.chan {
            Some(chan) => chan.send(value).map_err(SendError),
            None => wait_for_ever(WaitReason::ChanSendNil),
        }
    }

    /// Sends a value if that would not block.
    ///
    /// # Errors
    ///
    /// The value is returned if the buffer is full (or, without one, no
    /// receiver waits), or the channel is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, TrySendError};
    ///
    /// let (tx, _rx) = chan(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let Some(chan) = &self.chan else {
            return Err(TrySendError::Full(value));
        };
        let sent = chan.try_send(value);
        sched::give_way();
        match sent {
            Sent::Done => Ok(()),
            Sent::Full(value) => Err(TrySendError::Full(value)),
            Sent::Closed(value) => Err(TrySendError::Closed(value)),
        }
    }

    /// Sends a value if that would not block, unless the buffer holds an equal value.
    pub(crate) fn try_send_once(&self, value: T)
    where
        T: Copy + Eq,
    {
        if let Some(chan) = &self.chan {
            chan.try_send_once(value);
            sched::give_way();
        }
    }

    /// Sends a value, waiting for `timeout` at most; blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The value is returned if it could not be sent in time, or the channel is or becomes closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, SendTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (tx, _rx) = chan(0);
    /// let late = tx.send_timeout(1, Duration::from_millis(1));
    /// assert_eq!(late, Err(SendTimeoutError::Timeout(1)));
    /// ```
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, after_ns(timeout))
    }

    /// Sends a value, waiting until `deadline` at the latest; blocks the
    /// goroutine.
    ///
    /// # Errors
    ///
    /// As for [`Self::send_timeout`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, SendTimeoutError};
    /// use std::time::{Duration, Instant};
    ///
    /// let (tx, _rx) = chan(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(tx.send_deadline("first", deadline), Ok(()));
    /// let second = tx.send_deadline("second", deadline);
    /// assert_eq!(second, Err(SendTimeoutError::Timeout("second")));
    /// ```
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, ns_of(deadline))
    }

    fn send_until(&self, value: T, deadline_ns: u64) -> Result<(), SendTimeoutError<T>> {
        let Some(chan) = &self.chan else {
            block_until(WaitReason::ChanSendNil, deadline_ns);
            return Err(SendTimeoutError::Timeout(value));
        };
        match chan.send_until(value, deadline_ns) {
            Sent::Done => Ok(()),
            Sent::Full(value) => Err(SendTimeoutError::Timeout(value)),
            Sent::Closed(value) => Err(SendTimeoutError::Closed(value)),
        }
    }

    /// Sends a value from async code, with any executor. The future's output is the result of
    /// [`Self::send`]. No poll blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, future};
    ///
    /// let (tx, rx) = chan(0);
    /// let task = std::thread::spawn(move || future::block_on(async {
    ///     tx.send_async("from a task").await
    /// }));
    /// assert_eq!(rx.recv(), Some("from a task"));
    /// assert_eq!(task.join().unwrap(), Ok(()));
    /// ```
    pub fn send_async(&self, value: T) -> Sending<'_, T> {
        Sending::new(self.chan, value)
    }

    /// Closes the channel: sends fail from now on; receivers get the values left in the buffer, and
    /// then `None`. Returns true if this call closed the channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, rx) = chan(1);
    /// tx.send(1).unwrap();
    /// assert!(tx.close());
    /// assert!(!tx.close());
    /// assert_eq!((rx.recv(), rx.recv()), (Some(1), None));
    /// ```
    pub fn close(&self) -> bool {
        self.chan.as_ref().is_some_and(|chan| chan.core().close())
    }

    /// True once the channel is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, rx) = chan::<u8>(0);
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.chan
            .as_ref()
            .is_some_and(|chan| chan.core().is_closed())
    }

    /// How many values the buffer holds now.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, _rx) = chan(3);
    /// tx.send('x').unwrap();
    /// assert_eq!((tx.len(), tx.capacity(), tx.is_empty()), (1, 3, false));
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.chan.as_ref().map_or(0, |chan| chan.core().len())
    }

    /// True if the buffer is empty at this moment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the buffer can hold; 0 for a channel without a buffer, and for nil.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chan
            .as_ref()
            .map_or(0, |chan| chan.core().cap as usize)
    }

    /// True if both are ends of the same channel; false if one of them is nil.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, _rx) = chan::<u8>(0);
    /// let (other, _) = chan::<u8>(0);
    /// assert!(tx.same_channel(&tx.clone()));
    /// assert!(!tx.same_channel(&other));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        self.chan.is_some() && self.chan == other.chan
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        if let Some(chan) = &self.chan {
            chan.core().retain(Side::Send);
        }
        Self { chan: self.chan }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(chan) = self.chan {
            chan.release_sender();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chan {
            Some(chan) => write!(f, "Sender({:p})", chan.core_ptr()),
            None => f.write_str("Sender(never)"),
        }
    }
}
