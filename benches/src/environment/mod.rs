//! The facts of the host and the build, and the host's state during a run. A fact that cannot be
//! read is absent, never 0.

mod clocks;
mod host;
mod placed;
mod software;
mod taints;
mod watch;

pub use host::host;
pub use software::software;
pub use taints::{Bounds, debug_build_taint, standing_taints, taints_of};
pub(crate) use taints::{frequency_taint, migrations_taint};
pub(crate) use watch::FREQUENCY;
pub(crate) use watch::as_values;
pub use watch::{Readings, Watch};

use std::fs;
use std::path::Path;

/// The file's text, trimmed; `None` if the file is absent or empty.
pub(crate) fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_matches(['\0', '\n', ' ', '\t']);
    (!text.is_empty()).then(|| text.to_owned())
}

pub(crate) fn number<T: std::str::FromStr>(path: impl AsRef<Path>) -> Option<T> {
    text(path)?.parse().ok()
}
