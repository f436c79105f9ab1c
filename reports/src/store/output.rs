//! Pages and tables, written to a file that the user names.
//!
//! | the name is | action |
//! |---|---|
//! | no file, or a plain file with one link | a new file is written and renamed, so a reader sees all of it or nothing; mode and owner stay |
//! | a symbolic link | the same with the link's target; a missing target is created and written |
//! | a plain file that has several links, whose owner cannot stay, or whose folder takes no new files | it is emptied and written |
//! | a device, a pipe | it is written to |
//! | a run's results | refused |

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Writes `contents` to the file at `path`, through links. Blocks until a pipe's reader has read
/// them.
///
/// # Errors
///
/// The file system's error, or [`io::ErrorKind::AlreadyExists`] if the file contains a run's
/// results. After an error an existing file is unchanged, unless it had to be emptied.
pub fn write_output(path: &Path, contents: &[u8]) -> io::Result<()> {
    // `path` with its links resolved, if its target exists.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let existing = match fs::metadata(&target) {
        Ok(existing) => Some(existing),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match existing {
        None if target.is_symlink() => write_into(&target, contents),
        None => write_and_rename(&target, None, contents),
        Some(existing) if !existing.is_file() => write_into(&target, contents),
        Some(_) if holds_results(&target)? => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it holds the results of a run, which are never overwritten; name another file",
        )),
        Some(existing) if existing.nlink() > 1 => write_into(&target, contents),
        Some(existing) => match write_and_rename(&target, Some(&existing), contents) {
            // The folder allows no new files, or the owner cannot be preserved.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write_into(&target, contents)
            }
            done => done,
        },
    }
}

/// Whether the file begins like a result file, compressed or not.
///
/// # Errors
///
/// The file system's error.
pub fn holds_results(file: &Path) -> io::Result<bool> {
    const ENOUGH: u64 = 64;
    let mut start = Vec::new();
    let opened = super::source::open(file)?;
    let Ok(source) = opened else {
        // The file has another encoding, or an unsupported compression.
        return Ok(false);
    };
    match source.take(ENOUGH).read_to_end(&mut start) {
        Ok(_) => {}
        // A damaged archive contains no results.
        Err(error) if error.kind() == io::ErrorKind::Other => return Ok(false),
        Err(error) => return Err(error),
    }
    start.retain(|byte| !byte.is_ascii_whitespace());
    Ok(start.starts_with(br#"{"type":"header""#))
}

fn write_into(target: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(target)?;
    file.write_all(contents)
}

/// Writes `contents` to a new file at `path`, and removes the file if that fails.
///
/// # Errors
///
/// The file system's error; [`io::ErrorKind::AlreadyExists`] if the file exists, which stays
/// unchanged.
pub fn create(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    if written.is_err() {
        // Only the first error is reported.
        let _ = fs::remove_file(path);
    }
    written
}

/// Writes `contents` to the plain file at `path`, even over results. A reader sees all or nothing.
/// Mode and owner stay.
///
/// # Errors
///
/// The file system's error. The old file is unchanged, unless only the sync of its folder failed.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let existing = fs::metadata(path).ok();
    write_and_rename(path, existing.as_ref(), contents)
}

fn write_and_rename(target: &Path, existing: Option<&Metadata>, contents: &[u8]) -> io::Result<()> {
    let name = target.file_name().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} names no file", target.display()),
        )
    })?;
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut partial = std::ffi::OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}.partial", std::process::id()));
    let partial: PathBuf = folder.join(partial);
    let written = File::create(&partial).and_then(|mut file| {
        if let Some(existing) = existing {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (existing.uid(), existing.gid()) {
                fchown(&file, Some(existing.uid()), Some(existing.gid()))?;
            }
            file.set_permissions(PermissionsExt::from_mode(existing.mode() & 0o7777))?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&partial, target)?;
        File::open(folder)?.sync_all()
    });
    if written.is_err() {
        // Only the first error is reported.
        let _ = fs::remove_file(&partial);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).expect("the folder").count()
    }

    #[test]
    fn write_replaces_the_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("report.html");
        write_output(&path, b"old").expect("the first write");
        write_output(&path, b"new").expect("the second write");
        assert_eq!(fs::read(&path).expect("the file"), b"new");
        assert_eq!(count(folder.path()), 1);
    }

    #[test]
    fn failed_write_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("a folder in the way");
        write_output(&path, b"new").expect_err("a folder is in the way");
        assert_eq!(count(folder.path()), 1);
    }

    #[test]
    fn mode_of_the_file_and_the_link_to_it_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (far, link) = (folder.path().join("far"), folder.path().join("link"));
        fs::write(&far, "old").expect("a file");
        fs::set_permissions(&far, PermissionsExt::from_mode(0o640)).expect("a mode");
        symlink("far", &link).expect("a link");
        write_output(&link, b"new").expect("a write");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&far).expect("the file"), b"new");
        assert_eq!(fs::metadata(&far).expect("facts").mode() & 0o777, 0o640);
    }

    #[test]
    fn file_of_two_names_has_the_new_text_under_both() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::write(&one, "a longer text").expect("a file");
        fs::hard_link(&one, &two).expect("a second name");
        write_output(&one, b"new").expect("a write");
        assert_eq!(fs::read(&two).expect("the file"), b"new");
    }

    #[test]
    fn dangling_link_is_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let link = folder.path().join("link");
        symlink("far", &link).expect("a link");
        write_output(&link, b"new").expect("a write");
        assert!(link.is_symlink());
        assert_eq!(fs::read(folder.path().join("far")).expect("it"), b"new");
    }

    #[test]
    fn results_of_a_run_are_never_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run.jsonl");
        for text in [
            "{\"type\":\"header\",\"run_id\":\"1\"}\n",
            "\u{feff}{ \"type\": \"header\" }\n",
        ] {
            fs::write(&path, text).expect("a result file");
            let error = write_output(&path, b"<html>").expect_err("refused");
            assert!(error.to_string().contains("results of a run"), "{error}");
            assert_eq!(fs::read(&path).expect("it"), text.as_bytes());
        }
    }
}
