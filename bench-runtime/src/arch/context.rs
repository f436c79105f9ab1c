//! The part of a context that both architectures share.

/// The registers of a suspended context that unwind tables refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) ip: u64,
    pub(crate) sp: u64,
    /// The frame pointer.
    pub(crate) fp: u64,
}

/// The first function on a fresh stack: called with the payload, never returns.
pub(crate) type Entry = unsafe extern "C" fn(usize) -> !;
