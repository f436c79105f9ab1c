//! Waiting on several channels at once.
//!
//! [`select!`](crate::select) turns its cases into a list of types (`case`),
//! [`Select`] collects them at run time (`dynamic`); both give the engine a
//! slice of entries without types.

mod case;
mod dynamic;
mod engine;
mod macros;

pub use case::{
    And, Either, MustSendCase, NoCase, Otherwise, RecvCase, RecvOperand, SendCase, SendFromCase,
    SendOperand, select,
};
pub use dynamic::{Select, Selected, Slot};
pub use engine::Wait;

use std::time::Duration;

/// How long a `select!` with a time-out may wait.
#[must_use]
pub fn wait_for(timeout: Duration) -> Wait {
    Wait::Until(crate::time::after_ns(timeout))
}
