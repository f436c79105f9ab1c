use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::ops::Deref;
use std::sync::Arc;

/// A stream with several owners: an [`Arc`] that implements [`Read`] and [`Write`].
///
/// Pass a clone to a function that takes a reader or a writer *by value*. Clones share the
/// deadlines, and [`close`](super::TcpStream::close) ends the operations of all; `try_clone` of a
/// stream makes a second descriptor instead. Most code needs only a reference: `&TcpStream` reads
/// and writes too.
///
/// # Examples
///
/// ```
/// use bench_runtime::net::{Shared, TcpListener, TcpStream};
/// use std::io::{BufRead, BufReader, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let near = Shared::new(TcpStream::connect(listener.local_addr()?)?);
/// let (far, _) = listener.accept()?;
/// (&far).write_all(b"name?\n")?;
///
/// let (reader, mut writer) = (BufReader::new(near.clone()), near);
/// for question in reader.lines().take(1) {
///     assert_eq!(question?, "name?");
///     writer.write_all(b"Ada\n")?;
/// }
/// writer.shutdown(std::net::Shutdown::Write)?;
/// assert_eq!(BufReader::new(far).lines().next().unwrap()?, "Ada");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Shared<S>(Arc<S>);

impl<S> Shared<S> {
    /// Makes the first owner of a stream.
    pub fn new(stream: S) -> Self {
        Self(Arc::new(stream))
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> From<Arc<S>> for Shared<S> {
    fn from(stream: Arc<S>) -> Self {
        Self(stream)
    }
}

impl<S> Deref for Shared<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S> Read for Shared<S>
where
    for<'a> &'a S: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.0).read_vectored(bufs)
    }
}

impl<S> Write for Shared<S>
where
    for<'a> &'a S: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self.0).write_vectored(bufs)
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        (&*self.0).write_fmt(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}
