//! A value on separate cache lines.

use std::ops::Deref;

/// Keeps the value alone on its cache lines. It is aligned to 128 bytes because some CPUs fetch
/// lines of 64 in pairs, and others have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CacheLine<T>(pub(crate) T);

impl<T> Deref for CacheLine<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
