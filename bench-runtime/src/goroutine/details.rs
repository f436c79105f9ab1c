use std::panic::Location;
use std::ptr;

use crate::stack::Class;

/// A record's `site` points to a `Box<Details>` until the record is freed. Other threads read the
/// first [`Details::WORDS`] words through the kernel, because the box may be freed meanwhile.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Details {
    site: &'static Location<'static>,
    /// See [`text_of`]; null if the goroutine has neither name nor labels.
    text: *mut u8,
    text_bytes: usize,
    class: Option<Class>,
}

pub(crate) type Labels = Vec<(String, String)>;

/// Name and labels as one text, so that one copy reads both: the name, which may be empty, then
/// for each label a NUL, the key, a NUL, the value.
pub(crate) fn text_of(name: Option<&str>, labels: &Labels) -> Option<Box<str>> {
    // A NUL separates the parts, so a NUL in a text is replaced.
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    if name.is_none() && labels.is_empty() {
        return None;
    }
    let mut text = clean(name.unwrap_or_default());
    for (key, value) in labels {
        for part in [key, value] {
            text.push('\0');
            text += &clean(part);
        }
    }
    Some(text.into())
}

/// The inverse of [`text_of`]. If the text was cut, the last label may be incomplete.
pub(crate) fn parts_of(text: &str) -> (Option<&str>, Labels) {
    let mut parts = text.split('\0');
    let name = parts.next().unwrap_or_default();
    let mut labels = Labels::new();
    while let Some(key) = parts.next() {
        labels.push((key.to_owned(), parts.next().unwrap_or_default().to_owned()));
    }
    let is_named = !name.is_empty() || labels.is_empty();
    (is_named.then_some(name), labels)
}

impl Details {
    /// The site, the text's address or 0, and its length.
    pub(crate) const WORDS: usize = 3;

    pub(crate) fn new(
        site: &'static Location<'static>,
        text: Option<Box<str>>,
        class: Option<Class>,
    ) -> Self {
        let text_bytes = text.as_ref().map_or(0, |text| text.len());
        let text = text.map_or(ptr::null_mut(), |text| Box::into_raw(text).cast());
        Self {
            site,
            text,
            text_bytes,
            class,
        }
    }

    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// See [`text_of`].
    pub(crate) fn text(&self) -> Option<&str> {
        // SAFETY: null, or from the box in `new`, which is ours until the drop.
        unsafe { self.raw_text().as_ref() }
    }

    /// Does not allocate.
    pub(crate) fn name(&self) -> Option<&str> {
        let text = self.text()?;
        match text.split_once('\0') {
            Some((name, _)) => Some(name).filter(|name| !name.is_empty()),
            None => Some(text),
        }
    }

    /// The requested stack class, if it is not the runtime's.
    pub(crate) fn class(&self) -> Option<Class> {
        self.class
    }

    fn raw_text(&self) -> *mut str {
        ptr::slice_from_raw_parts_mut(self.text, self.text_bytes) as *mut str
    }
}

impl Drop for Details {
    fn drop(&mut self) {
        if !self.text.is_null() {
            // SAFETY: from the box in `new`, once.
            drop(unsafe { Box::from_raw(self.raw_text()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn name_and_labels_are_read_back_unchanged_also_if_empty() {
        let all: [(Option<&str>, Labels); 6] = [
            (None, vec![]),
            (Some(""), vec![]),
            (Some("reader"), vec![]),
            (None, vec![label("route", "/")]),
            (Some("reader"), vec![label("route", "/"), label("", "")]),
            (Some("reader"), vec![label("user", "")]),
        ];
        for (name, labels) in all {
            let details = Details::new(Location::caller(), text_of(name, &labels), None);
            assert_eq!(details.name(), name);
            let parts = details.text().map(parts_of);
            assert_eq!(parts.unwrap_or_default(), (name, labels));
        }
    }

    #[test]
    fn nul_in_a_text_makes_no_label() {
        let text = text_of(Some("a\0b"), &vec![label("k\0", "v\0w")]).unwrap();
        let expected = (Some("a\u{fffd}b"), vec![label("k\u{fffd}", "v\u{fffd}w")]);
        assert_eq!(parts_of(&text), expected);
    }
}
