//! What rarely is said about a goroutine.

use std::panic::Location;
use std::ptr;

use crate::stack::Class;

/// In a box behind a record's `site`, until its goroutine has ended. Others read
/// the first [`Details::WORDS`] by the kernel, as it may end meanwhile.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Details {
    site: &'static Location<'static>,
    /// From a box; null if it has no name.
    name: *mut u8,
    name_bytes: usize,
    class: Option<Class>,
}

impl Details {
    /// The site, the name's address or 0, and its length.
    pub(crate) const WORDS: usize = 3;

    pub(crate) fn new(
        site: &'static Location<'static>,
        name: Option<Box<str>>,
        class: Option<Class>,
    ) -> Self {
        let name_bytes = name.as_ref().map_or(0, |name| name.len());
        let name = name.map_or(ptr::null_mut(), |name| Box::into_raw(name).cast());
        Self {
            site,
            name,
            name_bytes,
            class,
        }
    }

    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.site
    }

    pub(crate) fn name(&self) -> Option<&str> {
        // SAFETY: null, or what `new` has of the box, which is ours until the drop.
        unsafe { self.raw_name().as_ref() }
    }

    /// The kind of stack asked for, where it is not the runtime's.
    pub(crate) fn class(&self) -> Option<Class> {
        self.class
    }

    fn raw_name(&self) -> *mut str {
        ptr::slice_from_raw_parts_mut(self.name, self.name_bytes) as *mut str
    }
}

impl Drop for Details {
    fn drop(&mut self) {
        if !self.name.is_null() {
            // SAFETY: from the box in `new`, once.
            drop(unsafe { Box::from_raw(self.raw_name()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_as_it_was_taken_also_if_it_is_empty() {
        let of = |name: Option<&str>| {
            let details = Details::new(Location::caller(), name.map(Into::into), None);
            details.name().map(str::to_owned)
        };
        assert_eq!(of(None), None);
        assert_eq!(of(Some("")).as_deref(), Some(""));
        assert_eq!(of(Some("reader")).as_deref(), Some("reader"));
    }
}
