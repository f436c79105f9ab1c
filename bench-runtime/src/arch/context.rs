//! What both architectures share of a context.

/// The registers of a suspended context that unwind tables refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) ip: u64,
    pub(crate) sp: u64,
    /// The frame pointer.
    pub(crate) fp: u64,
}

/// What a fresh stack starts with: called with the payload, never returns.
pub(crate) type Entry = unsafe extern "C" fn(usize) -> !;
