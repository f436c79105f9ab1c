//! Atomics, cells and spinning from std, or from loom under `cfg(rt_loom)`.
//!
//! Every lock-free piece takes them from here, so that the same source is the
//! product and its model. `UnsafeCell` has loom's closure-shaped access.

#[cfg(rt_loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    hint,
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    },
    thread::yield_now as os_yield,
};

#[cfg(not(rt_loom))]
#[allow(unused_imports, reason = "some are for models only")]
pub(crate) use std::{
    hint,
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    },
    thread::yield_now as os_yield,
};

/// std's `UnsafeCell` with loom's interface.
#[cfg(not(rt_loom))]
#[allow(dead_code, reason = "for what is modelled with data in it")]
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(rt_loom))]
#[allow(dead_code, reason = "as above")]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
