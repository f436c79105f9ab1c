use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

/// Calls `f`. If `f` panics, drops the payload, because the panic hook has reported the panic.
#[inline(always)]
pub(crate) fn without_panic(f: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f)) {
        drop_payload(payload);
    }
}

#[cold]
fn drop_payload(payload: Box<dyn Any + Send>) {
    // Both destructors may panic. The second payload is leaked.
    if let Err(again) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}
