use std::fmt;

use thiserror::Error;

/// The channel is closed; the error contains the value.
///
/// # Examples
///
/// ```
/// # #![deny(dropping_copy_types)]
/// use bench_runtime::{chan, SendError};
///
/// let (tx, rx) = chan(1);
/// drop(rx);
/// let SendError(letter) = tx.send("there is no reader").unwrap_err();
/// assert_eq!(letter, "there is no reader");
/// // The result is not `Copy`, so its `drop` does not warn.
/// drop(tx.send("nor this"));
/// ```
#[derive(Clone, Eq, Error, Hash, PartialEq)]
#[error("send on a closed channel")]
pub struct SendError<T>(pub T);

/// Why [`Sender::try_send`](super::Sender::try_send) failed; the error contains the value.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, TrySendError};
///
/// let (tx, rx) = chan(1);
/// assert_eq!(tx.try_send(1), Ok(()));
/// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
/// drop(rx);
/// assert_eq!(tx.try_send(3).unwrap_err().into_inner(), 3);
/// ```
#[derive(Clone, Eq, Error, Hash, PartialEq)]
pub enum TrySendError<T> {
    /// The buffer is full, or, without a buffer, no receiver waits.
    #[error("send on a full channel")]
    Full(T),
    /// The channel is closed.
    #[error("send on a closed channel")]
    Closed(T),
}

/// Why a send with a time limit failed; the error contains the value.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, SendTimeoutError};
/// use std::time::Duration;
///
/// let (tx, rx) = chan(0);
/// let late = tx.send_timeout("parcel", Duration::from_millis(1)).unwrap_err();
/// assert_eq!(late, SendTimeoutError::Timeout("parcel"));
/// assert_eq!(late.into_inner(), "parcel");
/// # drop(rx);
/// ```
#[derive(Clone, Eq, Error, Hash, PartialEq)]
pub enum SendTimeoutError<T> {
    /// The value could not be sent in time.
    #[error("send timed out")]
    Timeout(T),
    /// The channel is closed.
    #[error("send on a closed channel")]
    Closed(T),
}

/// Why [`Receiver::try_recv`](super::Receiver::try_recv) failed.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, TryRecvError};
///
/// let (tx, rx) = chan::<u8>(1);
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
/// tx.close();
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
/// ```
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum TryRecvError {
    /// No value is there now.
    #[error("receive on an empty channel")]
    Empty,
    /// The channel is closed and drained.
    #[error("receive on a closed, empty channel")]
    Closed,
}

/// Why a receive with a time limit failed.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, RecvTimeoutError};
/// use std::time::Duration;
///
/// let (tx, rx) = chan::<u8>(1);
/// match rx.recv_timeout(Duration::from_millis(1)) {
///     Ok(n) => println!("{n} in time"),
///     Err(RecvTimeoutError::Timeout) => println!("later, perhaps"),
///     Err(RecvTimeoutError::Closed) => println!("never"),
/// }
/// # drop(tx);
/// ```
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum RecvTimeoutError {
    /// No value came in time.
    #[error("receive timed out")]
    Timeout,
    /// The channel is closed and drained.
    #[error("receive on a closed, empty channel")]
    Closed,
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }
}

impl<T> SendTimeoutError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Timeout(value) | Self::Closed(value) => value,
        }
    }
}

// Not derived: a derived `Debug` requires `T: Debug`, so `unwrap` of a send's result would too.

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout(_) => "Timeout(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}
