//! Channels: a bounded buffer, whose capacity may be 0, with two queues of waiting goroutines; and
//! [`select!`](crate::select) over several channels.
//!
//! A sent value is moved to a waiting receiver directly. If a sender waits, its value is moved to
//! the receiver or into the buffer.
//!
//! # What differs from Go
//!
//! - Handles are counted. When the last [`Sender`] is dropped, the channel closes. When the last
//!   [`Receiver`] is dropped, the channel closes too, and the values in its buffer are dropped.
//! - A send on a closed channel returns the value in its error, and closing a
//!   channel twice returns `false`; neither panics.
//! - A nil channel is a handle made by [`Sender::never`] or
//!   [`Receiver::never`].
//! - If a channel's buffer holds the receiver of the next channel, and so on, the drop recurses,
//!   as for a linked list of boxes. Empty a long chain in a loop.
//!
//! [`core`] has the invariants and the protocol.

mod core;
mod error;
mod future;
mod put_back;
mod receiver;
pub(crate) mod select;
mod send_future;
mod sender;
mod typed;

pub use error::{RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use future::Recv;
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use select::{RecvOperand, Select, Selected, SendOperand, Slot};
pub use send_future::Sending;
pub use sender::Sender;

use self::core::KeepRule;

/// Makes a channel whose buffer holds `capacity` values. With a capacity of 0, each send waits for
/// a receive.
///
/// # Panics
///
/// If `capacity` is above `u32::MAX`, or the buffer would not fit into the
/// address space.
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(2);
/// tx.send("ping").unwrap();
/// tx.send("pong").unwrap();
/// drop(tx);
/// assert_eq!(rx.iter().collect::<Vec<_>>(), ["ping", "pong"]);
/// ```
#[must_use]
pub fn chan<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = u32::try_from(capacity).expect("chan: the capacity must be at most u32::MAX");
    let chan = typed::Chan::allocate(capacity, KeepRule::All);
    (Sender::new(chan), Receiver::new(chan))
}

/// A channel for ticks: its buffer holds one. If a future that was handed a tick is dropped, the
/// tick is put back only if the buffer is empty.
pub(crate) fn tick_chan<T>() -> (Sender<T>, Receiver<T>) {
    let chan = typed::Chan::allocate(1, KeepRule::One);
    (Sender::new(chan), Receiver::new(chan))
}

/// A channel for [`Sender::try_send_once`]: no two values in its buffer are equal. If a future that
/// was handed a value is dropped, the value is put back only if the buffer holds no equal one.
pub(crate) fn chan_of_each_once<T: Copy + Eq>(capacity: u32) -> (Sender<T>, Receiver<T>) {
    let chan = typed::Chan::allocate(capacity, KeepRule::EachOnce(typed::same::<T>));
    (Sender::new(chan), Receiver::new(chan))
}
