use std::fmt;
use std::io::{self, Write};

use super::Stream;
use crate::sync::{Mutex, MutexGuard};
use crate::util::write::write_at_once;

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! output {
    ($stream:literal, $function:ident, $handle:ident, $guard:ident, $what:literal) => {
        #[doc = concat!("A handle of ", $what, "; from [`", stringify!($function), "`].")]
        ///
        /// Nothing is buffered, as in Go and unlike in std: `write!` and `write_all` pass their
        /// bytes to the kernel in one call, if the kernel accepts all of them. They hold the lock
        /// meanwhile. To write many small pieces fast, put a [`BufWriter`](std::io::BufWriter)
        /// around the lock.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::io::Write;
        ///
        #[doc = concat!("let mut to = bench_runtime::io::", stringify!($function), "();")]
        /// writeln!(to, "{} lines", 1)?;
        /// let mut held = to.lock();
        /// held.write_all(b"two lines, and ")?;
        /// held.write_all(b"nothing in between\n")?;
        /// # Ok::<(), std::io::Error>(())
        /// ```
        #[derive(Debug)]
        pub struct $handle(&'static Mutex<Stream>);

        #[doc = concat!("Gives ", $what, ". Writes to it block the goroutine until they are done.")]
        ///
        /// # Examples
        ///
        /// ```
        /// use std::io::Write;
        ///
        #[doc = concat!("writeln!(bench_runtime::io::", stringify!($function), "(), \"hello\")?;")]
        /// # Ok::<(), std::io::Error>(())
        /// ```
        #[must_use]
        pub fn $function() -> $handle {
            static LOCK: Mutex<Stream> = Mutex::new(Stream($stream));
            $handle(&LOCK)
        }

        impl $handle {
            /// Takes the lock, until the result is dropped. Blocks the goroutine.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::io::Write;
            ///
            #[doc = concat!("let mut held = bench_runtime::io::", stringify!($function), "().lock();")]
            /// for n in 0..3 {
            ///     writeln!(held, "{n}")?;
            /// }
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[must_use]
            pub fn lock(&self) -> $guard<'static> {
                $guard(self.0.lock())
            }
        }

        impl Write for $handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(text)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        #[doc = concat!("The stream for one alone: [`", stringify!($handle), "::lock`].")]
        ///
        /// # Examples
        ///
        /// ```
        /// use std::io::{BufWriter, Write};
        ///
        #[doc = concat!("let mut to = BufWriter::new(bench_runtime::io::", stringify!($function), "().lock());")]
        /// for n in 0..1_000 {
        ///     writeln!(to, "{n}")?;
        /// }
        /// to.flush()?;
        /// # Ok::<(), std::io::Error>(())
        /// ```
        #[derive(Debug)]
        pub struct $guard<'a>(MutexGuard<'a, Stream>);

        impl Write for $guard<'_> {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                Stream::write(*self.0, buf)
            }

            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                write_at_once(*self.0, text)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

output!(1, stdout, Stdout, StdoutLock, "the standard output");
output!(2, stderr, Stderr, StderrLock, "the standard error output");
