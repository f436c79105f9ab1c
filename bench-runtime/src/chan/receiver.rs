use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::core::{Side, block_until, wait_for_ever};
use super::typed::{Chan, Received};
use super::{Recv, RecvTimeoutError, TryRecvError};
use crate::goroutine::{WaitReason, Waiter};
use crate::sched;
use crate::time::{after_ns, ns_of};

/// The receiving end of a channel. If there are clones, each value goes to one of them.
///
/// When the last clone is dropped, the channel closes: sends fail, and the values in the buffer are
/// dropped.
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(3);
/// for n in 1..=3 {
///     tx.send(n).unwrap();
/// }
/// drop(tx);
/// assert_eq!(rx.into_iter().sum::<i32>(), 6);
/// ```
pub struct Receiver<T> {
    /// `None` is the nil channel.
    chan: Option<Chan<T>>,
}

// SAFETY: the channel is used under its lock, and passes only values, which are `Send`.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}
// A panic of the program does not damage a channel: none of its code runs under the lock.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    pub(super) fn new(chan: Chan<T>) -> Self {
        Self { chan: Some(chan) }
    }

    pub(super) fn chan(&self) -> Option<Chan<T>> {
        self.chan
    }

    /// An end without a channel, like a nil channel in Go: [`recv`](Self::recv) on it never
    /// returns, and in a `select!` it is never ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Receiver, TryRecvError};
    ///
    /// assert_eq!(Receiver::<()>::never().try_recv(), Err(TryRecvError::Empty));
    /// ```
    #[must_use]
    pub const fn never() -> Self {
        Self { chan: None }
    }

    /// Receives a value; blocks the goroutine (or, on a plain thread, the
    /// thread) until there is one. `None` once the channel is closed and
    /// drained.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, rx) = chan(0);
    /// let sender = std::thread::spawn(move || tx.send(42));
    /// assert_eq!(rx.recv(), Some(42));
    /// sender.join().unwrap().unwrap();
    /// assert_eq!(rx.recv(), None);
    /// ```
    #[inline(always)]
    pub fn recv(&self) -> Option<T> {
        match &self.chan {
            Some(chan) => chan.recv(),
            None => wait_for_ever(WaitReason::ChanRecvNil),
        }
    }

    /// A receive for async code: see [`crate::future`]. A future that was handed a value and is
    /// dropped before its next poll puts the value back at the front. If several such futures are
    /// dropped, the order of their values may change. While such a future is neither polled nor
    /// dropped, no other receiver gets its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, future};
    ///
    /// let (tx, rx) = chan(0);
    /// let sender = std::thread::spawn(move || (1..=4).try_for_each(|n| tx.send(n)));
    /// // Any executor will do.
    /// let sum = future::block_on(async {
    ///     let mut sum = 0;
    ///     while let Some(n) = rx.recv_async().await {
    ///         sum += n;
    ///     }
    ///     sum
    /// });
    /// assert_eq!(sum, 10);
    /// sender.join().unwrap().unwrap();
    /// ```
    pub fn recv_async(&self) -> Recv<'_, T> {
        Recv::new(self.chan)
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    ///
    /// `Empty` if no value is there now, `Closed` if the channel is closed and drained.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, TryRecvError};
    ///
    /// let (tx, rx) = chan(1);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// drop(tx);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let Some(chan) = &self.chan else {
            return Err(TryRecvError::Empty);
        };
        let received = chan.try_recv();
        sched::give_way();
        match received {
            Received::Value(value) => Ok(value),
            Received::Empty => Err(TryRecvError::Empty),
            Received::Closed => Err(TryRecvError::Closed),
        }
    }

    /// As [`Self::try_recv`], without `give_way`: for a caller that holds a lock of the runtime.
    pub(crate) fn take(&self) -> Option<T> {
        match self.chan.as_ref()?.try_recv() {
            Received::Value(value) => Some(value),
            Received::Empty | Received::Closed => None,
        }
    }

    /// Receives a value, waiting for `timeout` at most; blocks the goroutine.
    ///
    /// # Errors
    ///
    /// `Timeout` if no value came in time, `Closed` if the channel is closed and drained.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, RecvTimeoutError};
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = chan::<()>(0);
    /// let late = rx.recv_timeout(Duration::from_millis(1));
    /// assert_eq!(late, Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(after_ns(timeout))
    }

    /// Receives a value, waiting until `deadline` at the latest; blocks the
    /// goroutine.
    ///
    /// # Errors
    ///
    /// As for [`Self::recv_timeout`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, RecvTimeoutError};
    /// use std::time::{Duration, Instant};
    ///
    /// let (tx, rx) = chan(1);
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// tx.send("in time").unwrap();
    /// assert_eq!(rx.recv_deadline(deadline), Ok("in time"));
    /// // The same deadline for a second value, which does not come.
    /// assert_eq!(rx.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(ns_of(deadline))
    }

    fn recv_until(&self, deadline_ns: u64) -> Result<T, RecvTimeoutError> {
        let Some(chan) = &self.chan else {
            block_until(WaitReason::ChanRecvNil, deadline_ns);
            return Err(RecvTimeoutError::Timeout);
        };
        match chan.recv_until(deadline_ns) {
            Received::Value(value) => Ok(value),
            Received::Empty => Err(RecvTimeoutError::Timeout),
            Received::Closed => Err(RecvTimeoutError::Closed),
        }
    }

    /// An iterator over the values, until the channel is closed and drained, as `for v in &rx`;
    /// each step blocks the goroutine. After `None` it may return a value that a dropped future of
    /// [`Self::recv_async`] has put back, unless [`fuse`](Iterator::fuse) is used.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, rx) = chan(2);
    /// tx.send('a').unwrap();
    /// tx.send('b').unwrap();
    /// tx.close();
    /// assert_eq!(rx.iter().collect::<String>(), "ab");
    /// ```
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// An iterator over the values that are there now; it does not block.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, rx) = chan(2);
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_iter().count(), 1);
    /// ```
    #[must_use]
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// True once the channel is closed; the buffer may still hold values.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::chan;
    ///
    /// let (tx, rx) = chan(1);
    /// tx.send(1).unwrap();
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// assert_eq!(rx.recv(), Some(1));
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
    /// let (tx, rx) = chan(3);
    /// tx.send('x').unwrap();
    /// assert_eq!((rx.len(), rx.capacity(), rx.is_empty()), (1, 3, false));
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
    /// use bench_runtime::{chan, Receiver};
    ///
    /// let (_tx, rx) = chan::<u8>(0);
    /// assert!(rx.same_channel(&rx.clone()));
    /// assert!(!Receiver::<u8>::never().same_channel(&Receiver::never()));
    /// ```
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        self.chan.is_some() && self.chan == other.chan
    }
}

impl Receiver<()> {
    /// Enqueues a waiter whose owner is readied when the channel is closed; false if the channel is
    /// closed already. Only for channels on which no value is ever sent.
    ///
    /// # Safety
    ///
    /// The waiter does not move, and is in no other queue, until it has been
    /// dequeued or [`Self::unwatch`] was called.
    pub(crate) unsafe fn watch(&self, waiter: *mut Waiter) -> bool {
        let Some(chan) = &self.chan else { return true };
        let core = chan.core();
        core.lock();
        // SAFETY: we hold the lock until the end; the waiter is as promised.
        unsafe {
            let state = core.state();
            let open = !state.closed;
            if open {
                state.receivers.enqueue(waiter);
            }
            core.unlock();
            open
        }
    }

    /// Removes a waiter that may still be enqueued.
    ///
    /// # Safety
    ///
    /// It was given to [`Self::watch`], and is alive.
    pub(crate) unsafe fn unwatch(&self, waiter: *mut Waiter) {
        let Some(chan) = &self.chan else { return };
        let core = chan.core();
        core.lock();
        // SAFETY: we hold the lock; the waiter is in this queue or in none.
        unsafe {
            core.state().receivers.remove(waiter);
            core.unlock();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        if let Some(chan) = &self.chan {
            chan.core().retain(Side::Recv);
        }
        Self { chan: self.chan }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Some(chan) = self.chan {
            chan.release_receiver();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chan {
            Some(chan) => write!(f, "Receiver({:p})", chan.core_ptr()),
            None => f.write_str("Receiver(never)"),
        }
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter::new(self)
    }
}

/// The iterator of [`Receiver::iter`].
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(2);
/// tx.send(1).unwrap();
/// tx.send(2).unwrap();
/// drop(tx);
/// for n in &rx {
///     println!("{n}");
/// }
/// assert!(rx.is_closed());
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The iterator of [`Receiver::try_iter`].
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(8);
/// for n in 0..5 {
///     tx.send(n).unwrap();
/// }
/// let waiting: Vec<i32> = rx.try_iter().collect();
/// assert_eq!(waiting, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The iterator of a `for` loop that consumes a [`Receiver`].
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(2);
/// tx.send("last").unwrap();
/// tx.send("words").unwrap();
/// drop(tx);
/// let mut words = Vec::new();
/// for word in rx {
///     words.push(word);
/// }
/// assert_eq!(words, ["last", "words"]);
/// ```
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<'a, T> TryIter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<T> IntoIter<T> {
    pub(super) fn new(receiver: Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv()
    }
}
