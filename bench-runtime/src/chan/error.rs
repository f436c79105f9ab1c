//! What channel operations fail with; a failed send gives the value back.

use std::fmt;

use thiserror::Error;

/// The channel is closed; the value comes back.
#[derive(Clone, Copy, Eq, Error, Hash, PartialEq)]
#[error("send on a closed channel")]
pub struct SendError<T>(pub T);

/// Why [`Sender::try_send`](super::Sender::try_send) failed; the value comes
/// back.
#[derive(Clone, Copy, Eq, Error, Hash, PartialEq)]
pub enum TrySendError<T> {
    /// The buffer is full, or, without a buffer, no receiver waits.
    #[error("send on a full channel")]
    Full(T),
    /// The channel is closed.
    #[error("send on a closed channel")]
    Closed(T),
}

/// Why a send with a time limit failed; the value comes back.
#[derive(Clone, Copy, Eq, Error, Hash, PartialEq)]
pub enum SendTimeoutError<T> {
    /// Nobody took the value in time.
    #[error("send timed out")]
    Timeout(T),
    /// The channel is closed.
    #[error("send on a closed channel")]
    Closed(T),
}

/// Why [`Receiver::try_recv`](super::Receiver::try_recv) failed.
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

// By hand, so that a value which is not `Debug` is no reason not to unwrap.

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
