/// The registers of a suspended context that unwind tables refer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) ip: u64,
    pub(crate) sp: u64,
    pub(crate) fp: u64,
}

/// The first function on a fresh stack, called with the payload.
pub(crate) type Entry = unsafe extern "C" fn(usize) -> !;
