//! Operations on files that block the goroutine and not its thread.
//!
//! The functions and types have the names, signatures and errors of std's. Each call runs in
//! [`blocking`](crate::blocking), so other goroutines run while a thread waits for the disk; on a
//! plain thread each call is std's. [`File`] reads cached data on the goroutine's own thread.
//! Types that only hold data are std's own: [`Metadata`], [`Permissions`], [`FileType`].
//!
//! ```
//! use bench_runtime::fs;
//!
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let file = folder.join("greeting");
//! fs::write(&file, "hello")?;
//! assert_eq!(fs::read_to_string(&file)?, "hello");
//! assert_eq!(fs::metadata(&file)?.len(), 5);
//! fs::remove_file(&file)?;
//! # Ok(())
//! # }
//! ```
//!
//! A call costs a hand-over between two threads: 0.6 µs if both are awake, up to 40 µs otherwise.
//! So read and write in large pieces, as [`BufReader`](std::io::BufReader) and
//! [`BufWriter`](std::io::BufWriter) do, or whole files.
//!
//! # Rejected
//!
//! Calls on the goroutine's own thread, with the P retaken from a long call, as in Go. In a pinned
//! runtime the goroutines that started on the thread would wait for the disk too.

mod file;
mod read_dir;

use std::io;
use std::path::{Path, PathBuf};

pub use file::{File, OpenOptions};
pub use read_dir::{DirEntry, ReadDir};
pub use std::fs::{FileType, Metadata, Permissions};

use crate::seam::blocking;

/// The functions of std that take one path or two.
macro_rules! of_paths {
    ($($(#[$doc:meta])* $name:ident($($path:ident),+) -> $out:ty;)*) => {
        $(
            $(#[$doc])*
            ///
            /// Blocks the goroutine.
            ///
            /// # Errors
            ///
            #[doc = concat!("The errors of [`std::fs::", stringify!($name), "`].")]
            pub fn $name($($path: impl AsRef<Path>),+) -> io::Result<$out> {
                $(let $path = $path.as_ref();)+
                blocking(|| std::fs::$name($($path),+))
            }
        )*
    };
}

of_paths! {
    /// All bytes of a file.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(bench_runtime::fs::read("/proc/self/comm")?.ends_with(b"\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    read(path) -> Vec<u8>;

    /// The whole text of a file.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(bench_runtime::fs::read_to_string("/proc/self/comm")?.ends_with('\n'));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    read_to_string(path) -> String;

    /// Creates a folder in an existing one.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::create_dir(folder.join("new"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create_dir(path) -> ();

    /// Creates a folder, and the folders above it that are missing.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::create_dir_all(folder.join("a/b/c"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    create_dir_all(path) -> ();

    /// Removes an empty folder.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::create_dir(folder.join("new"))?;
    /// bench_runtime::fs::remove_dir(folder.join("new"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    remove_dir(path) -> ();

    /// Removes a folder and all its content.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::create_dir_all(folder.join("a/b/c"))?;
    /// bench_runtime::fs::remove_dir_all(folder.join("a"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    remove_dir_all(path) -> ();

    /// Removes a file.
    ///
    /// # Examples
    ///
    /// ```
    /// let none = bench_runtime::fs::remove_file("/no/such/file").unwrap_err();
    /// assert_eq!(none.kind(), std::io::ErrorKind::NotFound);
    /// ```
    remove_file(path) -> ();

    /// The metadata of a file; links are followed.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(bench_runtime::fs::metadata("/proc")?.is_dir());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    metadata(path) -> Metadata;

    /// The metadata of a file; links are not followed.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(bench_runtime::fs::symlink_metadata("/proc/self")?.is_symlink());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    symlink_metadata(path) -> Metadata;

    /// The absolute path, in which no component is a link.
    ///
    /// # Examples
    ///
    /// ```
    /// let path = bench_runtime::fs::canonicalize("/proc/../proc")?;
    /// assert_eq!(path.to_str(), Some("/proc"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    canonicalize(path) -> PathBuf;

    /// The target of a link.
    ///
    /// # Examples
    ///
    /// ```
    /// let number = bench_runtime::fs::read_link("/proc/self")?;
    /// assert_eq!(number.to_str().unwrap(), std::process::id().to_string());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    read_link(path) -> PathBuf;

    /// Whether the path exists.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!bench_runtime::fs::exists("/no/such/file")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    exists(path) -> bool;

    /// Copies a file with its permissions, and returns the number of bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::write(folder.join("a"), "text")?;
    /// assert_eq!(bench_runtime::fs::copy(folder.join("a"), folder.join("b"))?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    copy(from, to) -> u64;

    /// Renames a file within its file system; it replaces a file that has the new name.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::write(folder.join("a"), "text")?;
    /// bench_runtime::fs::rename(folder.join("a"), folder.join("b"))?;
    /// assert!(!bench_runtime::fs::exists(folder.join("a"))?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    rename(from, to) -> ();

    /// Gives a file a second name on the same file system.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::write(folder.join("a"), "text")?;
    /// bench_runtime::fs::hard_link(folder.join("a"), folder.join("b"))?;
    /// assert_eq!(bench_runtime::fs::read(folder.join("b"))?, b"text");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    hard_link(original, link) -> ();
}

/// Writes a whole file; it replaces the old content. Blocks the goroutine.
///
/// # Errors
///
/// The errors of [`std::fs::write`].
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// bench_runtime::fs::write(folder.join("file"), "text")?;
/// assert_eq!(bench_runtime::fs::read(folder.join("file"))?, b"text");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    blocking(|| std::fs::write(path, contents))
}

/// Changes a file's permissions. Blocks the goroutine.
///
/// # Errors
///
/// The errors of [`std::fs::set_permissions`].
///
/// # Examples
///
/// ```
/// use std::os::unix::fs::PermissionsExt;
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// bench_runtime::fs::write(folder.join("file"), "text")?;
/// let ours = std::fs::Permissions::from_mode(0o600);
/// bench_runtime::fs::set_permissions(folder.join("file"), ours)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::set_permissions(path, permissions))
}

/// The entries of a folder, in no particular order. Blocks the goroutine, and so do some steps of
/// the iteration.
///
/// # Errors
///
/// The errors of [`std::fs::read_dir`].
///
/// # Examples
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// for name in ["a", "b"] {
///     bench_runtime::fs::write(folder.join(name), name)?;
/// }
/// let mut names = Vec::new();
/// for entry in bench_runtime::fs::read_dir(folder)? {
///     names.push(entry?.file_name());
/// }
/// names.sort();
/// assert_eq!(names, ["a", "b"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    blocking(|| std::fs::read_dir(path)).map(ReadDir::new)
}
