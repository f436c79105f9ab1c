//! Writes pages and tables to the target of `--out`.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::sys::stat::fstat;

use crate::say::stdout;

/// Writes to `target`, or to stdout if `target` is `-` or the file to which stdout leads. Returns
/// the path for the user; `None` for stdout.
pub(super) fn write(target: &Path, contents: &[u8]) -> anyhow::Result<Option<PathBuf>> {
    if is_stdout(target) {
        io::stdout()
            .lock()
            .write_all(contents)
            .and_then(|()| io::stdout().flush())
            .context("writing to stdout")?;
        return Ok(None);
    }
    reports::store::write_output(target, contents)
        .with_context(|| format!("writing {}", target.display()))?;
    let shown = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
    Ok(Some(shown))
}

pub(super) fn is_stdout(target: &Path) -> bool {
    if target == Path::new("-") {
        return true;
    }
    let own = fstat(io::stdout().as_fd());
    let (Ok(own), Ok(target_metadata)) = (own, std::fs::metadata(target)) else {
        return false;
    };
    // A device such as /dev/null counts as a file, even if stdout leads to it.
    let is_device = own.st_mode & nix::libc::S_IFMT == nix::libc::S_IFCHR;
    !is_device && (own.st_dev, own.st_ino) == (target_metadata.dev(), target_metadata.ino())
}

pub(super) fn show(written: Option<&Path>) -> io::Result<()> {
    written.map_or(Ok(()), |path| writeln!(stdout(), "{}", path.display()))
}
