//! Receiving as iteration.

use std::iter::FusedIterator;

use super::Receiver;

/// What [`Receiver::iter`] gives.
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(2);
/// tx.send(1).unwrap();
/// tx.send(2).unwrap();
/// drop(tx);
/// for n in &rx {
///     println!("{n}");
/// }
/// assert!(rx.is_closed());
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// What [`Receiver::try_iter`] gives.
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(8);
/// for n in 0..5 {
///     tx.send(n).unwrap();
/// }
/// let waiting: Vec<i32> = rx.try_iter().collect();
/// assert_eq!(waiting, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// What a [`Receiver`] turns into in a `for` loop that consumes it.
///
/// # Examples
///
/// ```
/// use bench_runtime::chan;
///
/// let (tx, rx) = chan(2);
/// tx.send("last").unwrap();
/// tx.send("words").unwrap();
/// drop(tx);
/// let mut words = Vec::new();
/// for word in rx {
///     words.push(word);
/// }
/// assert_eq!(words, ["last", "words"]);
/// ```
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<'a, T> TryIter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<T> IntoIter<T> {
    pub(super) fn new(receiver: Receiver<T>) -> Self {
        Self { receiver }
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv()
    }
}

impl<T> FusedIterator for IntoIter<T> {}
