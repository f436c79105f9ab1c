use std::fmt;
use std::fs::{Metadata, Permissions};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::sched;
use crate::seam::blocking;
use crate::sys::transfer;
use crate::util::write::write_at_once;

/// An open file. It converts from and into [`std::fs::File`].
///
/// Its methods block the goroutine. As in std, the drop ignores errors of the close; to see an
/// error of a write, call [`sync_all`](Self::sync_all) before the drop. Goroutines that read and
/// write one file share its position; [`read_at`](Self::read_at) and [`write_at`](Self::write_at)
/// do not use the position.
///
/// # Examples
///
/// ```
/// use bench_runtime::fs::File;
/// use std::io::{Read, Seek, Write};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut file = File::create_new(folder.join("file"))?;
/// file.write_all(b"hello")?;
/// file.sync_all()?;
/// file.sync_data()?;
/// assert_eq!(file.metadata()?.len(), 5);
/// drop(file);
/// let mut file = File::open(folder.join("file"))?;
/// file.seek(std::io::SeekFrom::Start(1))?;
/// let mut same = file.try_clone()?;
/// let mut text = String::new();
/// same.read_to_string(&mut text)?;
/// assert_eq!(text, "ello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct File {
    inner: std::fs::File,
}

impl File {
    /// Opens a file to read from it.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::File::open`].
    ///
    /// # Examples
    ///
    /// ```
    /// let file = bench_runtime::fs::File::open("/proc/self/comm")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing: creates it if there is none, else truncates it.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::File::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let file = bench_runtime::fs::File::create(folder.join("file"))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file, for reading and writing.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::File::create_new`]: [`io::ErrorKind::AlreadyExists`] if the path
    /// exists.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// use bench_runtime::fs::File;
    ///
    /// File::create_new(folder.join("lock"))?;
    /// let second = File::create_new(folder.join("lock")).unwrap_err();
    /// assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// Waits until all written data, and the file's metadata, are on the disk.
    ///
    /// # Errors
    ///
    /// If the data could not be written.
    pub fn sync_all(&self) -> io::Result<()> {
        blocking(|| self.inner.sync_all())
    }

    /// Waits until all written data is on the disk.
    ///
    /// # Errors
    ///
    /// If the data could not be written.
    pub fn sync_data(&self) -> io::Result<()> {
        blocking(|| self.inner.sync_data())
    }

    /// Truncates the file to `size` bytes, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::File::set_len`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let file = bench_runtime::fs::File::create(folder.join("file"))?;
    /// file.set_len(1_000_000)?;
    /// assert_eq!(file.metadata()?.len(), 1_000_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        blocking(|| self.inner.set_len(size))
    }

    /// The file's metadata.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::File::metadata`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.inner.metadata())
    }

    /// Changes the file's permissions.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::File::set_permissions`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let file = bench_runtime::fs::File::create(folder.join("file"))?;
    /// let mut permissions = file.metadata()?.permissions();
    /// permissions.set_readonly(true);
    /// file.set_permissions(permissions)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        blocking(|| self.inner.set_permissions(permissions))
    }

    /// Another handle of the same open file, with the same position. Does not block.
    ///
    /// # Errors
    ///
    /// If the process is out of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.inner.try_clone().map(Self::from)
    }

    /// Reads into `buf` from `offset` in the file; does not change the position.
    ///
    /// # Errors
    ///
    /// The errors of [`FileExt::read_at`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// bench_runtime::fs::write(folder.join("file"), "hello")?;
    /// let file = bench_runtime::fs::File::open(folder.join("file"))?;
    /// let mut two = [0; 2];
    /// assert_eq!(file.read_at(&mut two, 3)?, 2);
    /// assert_eq!(&two, b"lo");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_with(buf, Some(offset), |file, buf| file.read_at(buf, offset))
    }

    /// Writes from `buf` to `offset` in the file; does not change the position.
    ///
    /// # Errors
    ///
    /// The errors of [`FileExt::write_at`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let file = bench_runtime::fs::File::create(folder.join("file"))?;
    /// assert_eq!(file.write_at(b"lo", 3)?, 2);
    /// assert_eq!(bench_runtime::fs::read(folder.join("file"))?, b"\0\0\0lo");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        blocking(|| self.inner.write_at(buf, offset))
    }

    /// Reads data that is in the page cache at once; otherwise calls `read` by [`blocking`].
    fn read_with(
        &self,
        buf: &mut [u8],
        offset: Option<u64>,
        read: impl FnOnce(&std::fs::File, &mut [u8]) -> io::Result<usize> + Send,
    ) -> io::Result<usize> {
        if let Some(count) = transfer::read_now(self.inner.as_fd(), buf, offset) {
            sched::give_way();
            return Ok(count);
        }
        blocking(|| read(&self.inner, buf))
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(buf, None, |mut file, buf| file.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        blocking(|| (&self.inner).read_vectored(bufs))
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        blocking(|| (&self.inner).read_to_end(buf))
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        blocking(|| (&self.inner).read_to_string(buf))
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        blocking(|| (&self.inner).write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(|| (&self.inner).write_vectored(bufs))
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        blocking(|| (&self.inner).write_all(buf))
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        write_at_once(self, text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        blocking(|| (&self.inner).seek(to))
    }
}

/// Implements for `File` the methods that `&File` has.
macro_rules! by_ref {
    ($($trait:ident { $($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* })*) => {
        $(
            impl $trait for File {
                $(
                    fn $name(&mut self, $($arg: $type),*) -> io::Result<$out> {
                        (&*self).$name($($arg),*)
                    }
                )*
            }
        )*
    };
}

by_ref! {
    Read {
        read(buf: &mut [u8]) -> usize;
        read_vectored(bufs: &mut [IoSliceMut<'_>]) -> usize;
        read_to_end(buf: &mut Vec<u8>) -> usize;
        read_to_string(buf: &mut String) -> usize;
    }
    Write {
        write(buf: &[u8]) -> usize;
        write_vectored(bufs: &[IoSlice<'_>]) -> usize;
        write_all(buf: &[u8]) -> ();
        write_fmt(text: fmt::Arguments<'_>) -> ();
        flush() -> ();
    }
    Seek {
        seek(to: SeekFrom) -> u64;
    }
}

impl From<std::fs::File> for File {
    fn from(inner: std::fs::File) -> Self {
        Self { inner }
    }
}

impl From<File> for std::fs::File {
    fn from(outer: File) -> Self {
        outer.inner
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        std::fs::File::from(fd).into()
    }
}

impl From<File> for OwnedFd {
    fn from(outer: File) -> Self {
        outer.inner.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

/// The options for opening a file. If an option is missing here, convert from
/// [`std::fs::OpenOptions`].
///
/// # Examples
///
/// ```
/// use bench_runtime::fs::OpenOptions;
/// use std::io::Write;
/// use std::os::unix::fs::OpenOptionsExt;
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let log = folder.join("log");
/// OpenOptions::new().append(true).create(true).open(&log)?.write_all(b"one\n")?;
/// let mut secret = std::fs::OpenOptions::new();
/// secret.write(true).create_new(true).mode(0o600);
/// OpenOptions::from(secret).open(folder.join("secret"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    inner: std::fs::OpenOptions,
}

macro_rules! switches {
    ($type:ident: $($(#[$doc:meta])* $name:ident;)*) => {
        impl $type {
            $(
                $(#[$doc])*
                ///
                /// # Examples
                ///
                /// ```
                /// use bench_runtime::fs::OpenOptions;
                ///
                #[doc = concat!("OpenOptions::new().", stringify!($name), "(true);")]
                /// ```
                pub fn $name(&mut self, on: bool) -> &mut Self {
                    self.inner.$name(on);
                    self
                }
            )*
        }
    };
}

switches! {
    OpenOptions:
    /// Opens the file for reading.
    read;
    /// Opens the file for writing.
    write;
    /// Each write appends, even if other processes have extended the file.
    append;
    /// Truncates the file when it is opened.
    truncate;
    /// Creates the file if it does not exist.
    create;
    /// Creates the file, and fails if it exists.
    create_new;
}

impl OpenOptions {
    /// All options are off.
    #[must_use]
    pub fn new() -> Self {
        Self::from(std::fs::OpenOptions::new())
    }

    /// Opens a file. Blocks the goroutine; for a named pipe, until a process has opened its other
    /// end.
    ///
    /// # Errors
    ///
    /// The errors of [`std::fs::OpenOptions::open`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::fs::OpenOptions;
    ///
    /// let none = OpenOptions::new().read(true).open("/no/such/file").unwrap_err();
    /// assert_eq!(none.kind(), std::io::ErrorKind::NotFound);
    /// ```
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        blocking(|| self.inner.open(path)).map(File::from)
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(inner: std::fs::OpenOptions) -> Self {
        Self { inner }
    }
}
