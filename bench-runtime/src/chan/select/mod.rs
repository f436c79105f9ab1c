//! Waiting on several channels, and futures, at once.
//!
//! [`select!`](crate::select) turns its cases into a list type (`case`); [`Select`] collects its
//! cases at run time (`dynamic`). Both pass the engine a slice of entries without types.

mod case;
mod dynamic;
mod engine;
mod future;
mod list;
mod macros;
mod marks;

pub use case::{
    And, Either, MustSendCase, NoCase, Otherwise, RecvCase, RecvOperand, SendCase, SendFromCase,
    SendOperand,
};
pub use dynamic::{Select, Selected, Slot};
pub use engine::Wait;
pub use future::FutureCase;
pub use list::select;

use std::time::Duration;

/// How long a `select!` with a time-out may wait.
#[must_use]
pub fn wait_for(timeout: Duration) -> Wait {
    Wait::Until(crate::time::after_ns(timeout))
}
