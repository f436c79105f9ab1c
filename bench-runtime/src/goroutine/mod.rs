//! G: a goroutine's record. It never points to M or P.

pub(crate) mod wait_reason;
pub(crate) mod waiter;

pub(crate) use wait_reason::WaitReason;
pub(crate) use waiter::{Head, Kind, Parkable, WaitQueue, Waiter};
