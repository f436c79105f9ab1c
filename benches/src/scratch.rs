//! A temporary folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder in `TMPDIR`. Dropping it removes the folder.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

#[derive(Debug, thiserror::Error)]
#[error(
    "making a temporary folder in {}: {error}; set TMPDIR to a folder that exists, takes files and has space",
    place.display()
)]
pub(crate) struct NoScratch {
    place: PathBuf,
    error: io::Error,
}

impl Scratch {
    pub(crate) fn create(name: &str) -> Result<Self, NoScratch> {
        let place = std::env::temp_dir();
        let folder = place.join(format!("threadbare-{name}-{}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => Ok(Self(folder)),
            Err(error) => Err(NoScratch { place, error }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
