use std::io::{self, BufRead, BufReader, Lines, Read};
use std::sync::LazyLock;

use super::Stream;
use crate::sync::{Mutex, MutexGuard};

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (*self).read(buf)
    }
}

static BUFFER: LazyLock<Mutex<BufReader<Stream>>> =
    LazyLock::new(|| Mutex::new(BufReader::new(Stream(0))));

/// A handle of the standard input, like [`std::io::Stdin`]; from [`stdin`].
///
/// All handles share one buffer. Each call locks it; [`lock`](Self::lock) locks it for several
/// calls. std's own `stdin` has another buffer, and does not see bytes that are in this buffer.
///
/// # Examples
///
/// ```no_run
/// use bench_runtime::io::{stdin, Stdin};
///
/// /// Counts the remaining lines.
/// fn count(input: &Stdin) -> usize {
///     input.lines().count()
/// }
///
/// println!("{} lines", count(&stdin()));
/// ```
#[derive(Debug)]
pub struct Stdin(());

/// The standard input. Reads of it block the goroutine until there are bytes, or the end.
///
/// # Examples
///
/// ```no_run
/// let mut line = String::new();
/// if bench_runtime::io::stdin().read_line(&mut line)? == 0 {
///     println!("nothing more");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin(())
}

impl Stdin {
    /// Takes the lock, until the result is dropped. Blocks the goroutine.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::io::BufRead;
    ///
    /// // No other goroutine gets a line in between.
    /// let pairs = bench_runtime::io::stdin().lock().lines().take(2).count();
    /// ```
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock {
            buffer: BUFFER.lock(),
        }
    }

    /// Appends the next line, with its newline, and returns the number of bytes: 0 means the end of
    /// the input. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// If the input cannot be read, or is no UTF-8.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let mut line = String::new();
    /// let length = bench_runtime::io::stdin().read_line(&mut line)?;
    /// assert_eq!(length, line.len());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_line(&self, line: &mut String) -> io::Result<usize> {
        self.lock().read_line(line)
    }

    /// An iterator over the remaining lines; it holds the lock.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// for line in bench_runtime::io::stdin().lines() {
    ///     println!("<{}>", line?);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lines(&self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }
}

/// The locked standard input, from [`Stdin::lock`].
///
/// # Examples
///
/// ```no_run
/// use bench_runtime::io::{stdin, StdinLock};
/// use std::io::Read;
///
/// let mut input: StdinLock<'_> = stdin().lock();
/// let mut all = Vec::new();
/// input.read_to_end(&mut all)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct StdinLock<'a> {
    buffer: MutexGuard<'a, BufReader<Stream>>,
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.buffer.read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.buffer.read_to_end(buf)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.buffer.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }
}
