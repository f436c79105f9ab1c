use std::any::Any;
use std::collections::HashMap;

use super::Goroutine;
use crate::stack::StackHeader;
use crate::util::panic::without_panic;

/// The values of one goroutine, by the address of the key.
pub(crate) type Values = HashMap<usize, Box<dyn Any>>;

/// Called by `g` at its end. `header` is that of its stack.
#[inline(always)]
pub(crate) fn drop_all(header: &StackHeader, g: &Goroutine) {
    if !header.locals.get().is_null() {
        // SAFETY: called by `g` itself, between its result and its end.
        unsafe { g.with_outcome_aside(|| drop_slow(header)) };
    }
}

#[cold]
#[inline(never)]
fn drop_slow(header: &StackHeader) {
    // A destructor may make new values.
    for _ in 0..8 {
        let raw = header.locals.replace(std::ptr::null_mut()).cast::<Values>();
        if raw.is_null() {
            return;
        }
        // SAFETY: made by `Box::into_raw` in `GoroutineLocal::with`, and taken out once.
        let values = unsafe { Box::from_raw(raw) };
        for (_, value) in *values {
            without_panic(|| drop(value));
        }
    }
    // The values that are left are never dropped. The next goroutine on this stack does not get
    // them.
    header.locals.set(std::ptr::null_mut());
}
