//! A value on separate cache lines.

use std::ops::Deref;

/// Keeps other CPUs' writes off the value's cache lines. 128 bytes: CPUs fetch
/// lines of 64 in pairs, or have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CacheLine<T>(pub(crate) T);

impl<T> Deref for CacheLine<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
