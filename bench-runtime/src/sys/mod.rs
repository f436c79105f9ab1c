//! What the operating system gives: one concept a file, and the only home of
//! `libc` and `nix`.

pub(crate) mod clock;
pub(crate) mod futex;
