use std::ops::Deref;

/// Keeps the value alone on its cache lines: some CPUs fetch lines of 64 bytes in pairs, and others
/// have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CacheLine<T>(pub(crate) T);

impl<T> Deref for CacheLine<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
