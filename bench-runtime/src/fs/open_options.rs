//! How a file is opened.

use std::io;
use std::path::Path;

use super::File;
use crate::seam::blocking;

/// How a file is opened: [`std::fs::OpenOptions`], from which it can be made where
/// there is no method for something here.
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

/// The switches, each off at first.
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
    /// To read from it.
    read;
    /// To write into it.
    write;
    /// To write at its end, wherever others have moved that.
    append;
    /// To empty it first.
    truncate;
    /// To make it if there is none.
    create;
    /// To make it, and fail if there is one.
    create_new;
}

impl OpenOptions {
    /// All switches off.
    #[must_use]
    pub fn new() -> Self {
        Self::from(std::fs::OpenOptions::new())
    }

    /// Opens a file. Blocks the goroutine; a named pipe, until there is somebody at
    /// its other end.
    ///
    /// # Errors
    ///
    /// Those of [`std::fs::OpenOptions::open`].
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
