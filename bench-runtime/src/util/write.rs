use std::fmt;
use std::io::{self, Write};

/// For an implementation of [`Write::write_fmt`]: std's default makes one call of `write_all` for
/// each piece of the text.
pub(crate) fn write_at_once(mut to: impl Write, text: fmt::Arguments<'_>) -> io::Result<()> {
    match text.as_str() {
        Some(text) => to.write_all(text.as_bytes()),
        None => to.write_all(text.to_string().as_bytes()),
    }
}
