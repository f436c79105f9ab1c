//! Exceptions of the unwinder (the Itanium C++ ABI, level I).

use std::ffi::{c_int, c_void};

pub(crate) type Body = unsafe extern "C-unwind" fn(*mut c_void);

#[repr(C)]
pub(super) struct UnwindContext {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn _Unwind_GetIP(context: *mut UnwindContext) -> usize;
    fn _Unwind_SetIP(context: *mut UnwindContext, to: usize);
    fn _Unwind_SetGR(context: *mut UnwindContext, register: c_int, value: usize);
}

unsafe extern "C-unwind" {
    fn _Unwind_RaiseException(exception: *mut c_void) -> c_int;
}

// Values of `_Unwind_Action` and `_Unwind_Reason_Code`.
const SEARCH_PHASE: c_int = 1;
const HANDLER_FRAME: c_int = 4;
const HANDLER_FOUND: c_int = 6;
const INSTALL_CONTEXT: c_int = 7;
const CONTINUE_UNWIND: c_int = 8;

/// DWARF's number of the register with a function's result: the same on x86-64 and aarch64.
const RESULT: c_int = 0;

/// The bytes of the instruction after the call in [`catch`](super::catch).
const NULL_RESULT_BYTES: usize = if cfg!(target_arch = "x86_64") { 2 } else { 4 };

/// The personality of the frame of `catch`: it catches every exception, and continues after the
/// instruction that follows the call, with the exception as the result.
pub(super) unsafe extern "C" fn personality(
    _version: c_int,
    actions: c_int,
    _class: u64,
    exception: *mut c_void,
    context: *mut UnwindContext,
) -> c_int {
    if actions & SEARCH_PHASE != 0 {
        return HANDLER_FOUND;
    }
    if actions & HANDLER_FRAME == 0 {
        return CONTINUE_UNWIND;
    }
    // SAFETY: the unwinder passes the context of the frame of `catch`, at its only call; the
    // instruction after that call has this many bytes.
    unsafe {
        _Unwind_SetGR(context, RESULT, exception.addr());
        _Unwind_SetIP(context, _Unwind_GetIP(context) + NULL_RESULT_BYTES);
    }
    INSTALL_CONTEXT
}

/// Raises an exception that [`catch`](super::catch) returned. Returns only if no frame catches it.
///
/// # Safety
///
/// The exception was caught, and has not been raised again.
pub(crate) unsafe extern "C-unwind" fn raise(exception: *mut c_void) {
    // SAFETY: by the caller's promise it is complete, and not shared.
    unsafe { _Unwind_RaiseException(exception) };
}
