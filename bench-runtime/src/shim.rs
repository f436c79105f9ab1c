//! Atomics, cells and spinning from std, or from loom under `cfg(rt_loom)`, for code that has a
//! loom model. `UnsafeCell` has loom's interface, which takes closures.

#[cfg(rt_loom)]
#[allow(unused_imports, reason = "some are for models only")]
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

/// std's types, even under `cfg(rt_loom)`: for words in records and statics, which must be
/// const-initialised and have the size and address of the real type. The models in `tests/loom` put
/// loom's types in their place.
#[allow(dead_code, unused_imports, reason = "the models put others here")]
pub(crate) mod fixed {
    pub(crate) use super::PlainCell as UnsafeCell;
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
}

/// Makes a `const fn`; in the models a plain function, because loom's types have no const
/// constructors.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility const fn $($rest)*
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use const_fn;

#[cfg(not(rt_loom))]
#[allow(unused_imports, reason = "as above")]
pub(crate) use PlainCell as UnsafeCell;

#[allow(dead_code, reason = "for what is modelled with data in it")]
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct PlainCell<T>(std::cell::UnsafeCell<T>);

#[allow(dead_code, reason = "as above")]
impl<T> PlainCell<T> {
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
