//! The result files of a folder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The result files at and below a folder.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The result files that could be opened, by path.
    pub found: Vec<PathBuf>,
    /// What could not be read, with the errors, by path.
    pub unread: Vec<(PathBuf, String)>,
}

impl Files {
    /// Lists the result files at and below `folder`, without links to folders. A folder that cannot be
    /// read is in `unread`.
    ///
    /// # Errors
    ///
    /// The file system's error for `folder` itself.
    pub fn below(folder: &Path) -> io::Result<Files> {
        let mut files = Files::default();
        let mut open = vec![folder.to_owned()];
        while let Some(path) = open.pop() {
            let entries = match std::fs::read_dir(&path) {
                Err(error) if path == folder => return Err(error),
                entries => files.ok_or_unread(&path, entries),
            };
            for entry in entries.into_iter().flatten() {
                let entry = files.ok_or_unread(&path, entry);
                open.extend(entry.and_then(|entry| files.add_or_return_folder(entry.path())));
            }
        }
        files.found.sort();
        files.unread.sort();
        Ok(files)
    }

    /// Adds `path` to `found` if it is a result file. Returns `path` if it is a folder.
    fn add_or_return_folder(&mut self, path: PathBuf) -> Option<PathBuf> {
        let found = std::fs::symlink_metadata(&path);
        if self.ok_or_unread(&path, found)?.is_dir() {
            return Some(path);
        }
        let name = path.to_string_lossy();
        if name.ends_with(".jsonl") || name.ends_with(".jsonl.zst") {
            // A linked folder is skipped, because it may form a cycle. A pipe is not opened,
            // because that would wait for its other end.
            let found = std::fs::metadata(&path).and_then(|to| match to.is_file() {
                true => File::open(&path).map(Some),
                false => Ok(None),
            });
            if self.ok_or_unread(&path, found)?.is_some() {
                self.found.push(path);
            }
        }
        None
    }

    /// Adds `path` to `unread` if `found` is an error.
    fn ok_or_unread<T>(&mut self, path: &Path, found: io::Result<T>) -> Option<T> {
        let kept = found.map_err(|error| {
            let advice = match path.is_symlink() {
                true => "remove the link, or put the file itself here",
                false => "let this user read it",
            };
            let said = format!("it cannot be read: {error}; {advice}");
            self.unread.push((path.to_owned(), said));
        });
        kept.ok()
    }
}
