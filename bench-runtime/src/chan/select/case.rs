//! The cases of `select!`, as types. The macro builds a list of cases. The list makes the engine's
//! entries, and turns the engine's result into the value that an arm receives.

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::task::Context;

use super::engine::{Entry, Taken};
use crate::chan::core::Side;
use crate::chan::{Receiver, SendError, Sender};

/// The channel of a receiving case: a [`Receiver`], a reference to one, or an
/// `Option` of these, where `None` disables the case.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, select, RecvOperand, Receiver};
///
/// /// The next value of `first`, or of `second` if there is one.
/// fn next<T>(first: &Receiver<T>, second: Option<&Receiver<T>>) -> Option<T> {
///     select! {
///         recv(first) -> value => value,
///         recv(second) -> value => value,
///     }
/// }
///
/// let (tx, rx) = chan(1);
/// tx.send(5).unwrap();
/// assert_eq!(next(&rx, None), Some(5));
/// assert!(None::<Receiver<u8>>.receiver().is_none());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a `recv` case receives from",
    label = "not a `Receiver`, a reference to one, or an `Option` of these",
    note = "of a context write `recv(ctx.done())`, of a ticker or a timer `recv(t.receiver())`"
)]
pub trait RecvOperand {
    /// The type of the channel's values.
    type Item;
    /// The receiver; `None` if the case is disabled.
    fn receiver(&self) -> Option<&Receiver<Self::Item>>;
}

impl<T> RecvOperand for Receiver<T> {
    type Item = T;
    fn receiver(&self) -> Option<&Receiver<T>> {
        Some(self)
    }
}

impl<O: RecvOperand + ?Sized> RecvOperand for &O {
    type Item = O::Item;
    fn receiver(&self) -> Option<&Receiver<O::Item>> {
        (**self).receiver()
    }
}

impl<O: RecvOperand> RecvOperand for Option<O> {
    type Item = O::Item;
    fn receiver(&self) -> Option<&Receiver<O::Item>> {
        self.as_ref().and_then(O::receiver)
    }
}

/// The channel of a sending case: a [`Sender`], a reference to one, or an `Option` of these, where
/// `None` disables the case.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, select, SendOperand, Sender};
///
/// let (tx, rx) = chan(1);
/// let mirror: Option<Sender<u8>> = None;
/// select! {
///     send(tx, 1) => {}
///     send(mirror, 1) => unreachable!("it is disabled"),
/// }
/// assert_eq!(rx.recv(), Some(1));
/// assert!(mirror.sender().is_none());
/// ```
pub trait SendOperand {
    /// The type of the channel's values.
    type Item;
    /// The sender; `None` if the case is disabled.
    fn sender(&self) -> Option<&Sender<Self::Item>>;
}

impl<T> SendOperand for Sender<T> {
    type Item = T;
    fn sender(&self) -> Option<&Sender<T>> {
        Some(self)
    }
}

impl<O: SendOperand + ?Sized> SendOperand for &O {
    type Item = O::Item;
    fn sender(&self) -> Option<&Sender<O::Item>> {
        (**self).sender()
    }
}

impl<O: SendOperand> SendOperand for Option<O> {
    type Item = O::Item;
    fn sender(&self) -> Option<&Sender<O::Item>> {
        self.as_ref().and_then(O::sender)
    }
}

#[doc(hidden)]
pub trait Case {
    /// 1 if the case is a future, else 0.
    const FUTURES: usize = 0;
    /// The value that its arm receives.
    type Output;
    /// Polls its future, if it has one. True if the future is ready: then the case is taken.
    fn poll(&mut self, _: &mut Context<'_>) -> bool {
        false
    }
    /// Its entry, which points into the case: the case must not move until the select is over.
    fn entry(&mut self) -> Entry;
    /// The value that its arm receives, if the case was taken.
    fn finish(self, passed: bool) -> Self::Output;
}

/// `recv(rx)`
pub struct RecvCase<'a, T> {
    receiver: Option<&'a Receiver<T>>,
    place: MaybeUninit<T>,
}

impl<'a, T> RecvCase<'a, T> {
    /// A case on this end.
    #[inline]
    pub fn new<O: RecvOperand<Item = T>>(operand: &'a O) -> Self {
        Self {
            receiver: operand.receiver(),
            place: MaybeUninit::uninit(),
        }
    }
}

impl<T> Case for RecvCase<'_, T> {
    type Output = Option<T>;

    #[inline]
    fn entry(&mut self) -> Entry {
        let core = self
            .receiver
            .and_then(|end| end.chan())
            .map(|chan| chan.core_ptr());
        Entry::new(core, Side::Recv, self.place.as_mut_ptr().cast())
    }

    #[inline]
    fn finish(self, passed: bool) -> Option<T> {
        // SAFETY: `passed`: the engine has filled the place.
        passed.then(|| unsafe { self.place.assume_init() })
    }
}

/// `send(tx, value)`
pub struct SendCase<'a, T> {
    sender: Option<&'a Sender<T>>,
    /// Not a `T`: after the send the receiver may have freed the memory that the value points to.
    /// A `Box` must not even be moved after that.
    value: MaybeUninit<T>,
    holds_value: bool,
}

impl<'a, T> SendCase<'a, T> {
    /// A case on this end.
    #[inline]
    pub fn new<O: SendOperand<Item = T>>(operand: &'a O, value: T) -> Self {
        Self {
            sender: operand.sender(),
            value: MaybeUninit::new(value),
            holds_value: true,
        }
    }
}

impl<T> Drop for SendCase<'_, T> {
    fn drop(&mut self) {
        if self.holds_value {
            // SAFETY: it was neither sent nor returned.
            unsafe { self.value.assume_init_drop() };
        }
    }
}

fn send_entry<T>(sender: Option<&Sender<T>>, value: Option<*mut T>) -> Entry {
    let core = sender
        .and_then(|end| end.chan())
        .map(|chan| chan.core_ptr());
    match value {
        Some(value) => Entry::new(core, Side::Send, value.cast()),
        None => Entry::new(None, Side::Send, ptr::null_mut()),
    }
}

impl<T> Case for SendCase<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn entry(&mut self) -> Entry {
        send_entry(self.sender, Some(self.value.as_mut_ptr()))
    }

    #[inline]
    fn finish(mut self, passed: bool) -> Result<(), SendError<T>> {
        self.holds_value = false;
        if passed {
            return Ok(());
        }
        // SAFETY: the engine reports that it was not sent, and it is still initialised.
        Err(SendError(unsafe { self.value.assume_init_read() }))
    }
}

/// `send(tx, value)` without a name for its result: panics if the channel is closed, as in Go.
pub struct MustSendCase<'a, T>(SendCase<'a, T>);

impl<'a, T> MustSendCase<'a, T> {
    /// A case on this end.
    #[inline]
    pub fn new<O: SendOperand<Item = T>>(operand: &'a O, value: T) -> Self {
        Self(SendCase::new(operand, value))
    }
}

impl<T> Case for MustSendCase<'_, T> {
    type Output = ();

    #[inline]
    fn entry(&mut self) -> Entry {
        self.0.entry()
    }

    #[inline]
    fn finish(self, passed: bool) {
        assert!(
            self.0.finish(passed).is_ok(),
            "select!: send on a closed channel; write `send(tx, value) -> result => …` to get the value back"
        );
    }
}

/// `send_from(tx, slot)`
pub struct SendFromCase<'a, T> {
    sender: Option<&'a Sender<T>>,
    slot: &'a mut Option<T>,
}

impl<'a, T> SendFromCase<'a, T> {
    /// A case on this end.
    #[inline]
    pub fn new<O: SendOperand<Item = T>>(operand: &'a O, slot: &'a mut Option<T>) -> Self {
        Self {
            sender: operand.sender(),
            slot,
        }
    }
}

impl<T> Case for SendFromCase<'_, T> {
    type Output = Result<(), SendError<()>>;

    #[inline]
    fn entry(&mut self) -> Entry {
        send_entry(self.sender, self.slot.as_mut().map(ptr::from_mut))
    }

    #[inline]
    fn finish(self, passed: bool) -> Result<(), SendError<()>> {
        if passed {
            // SAFETY: the slot is ours. The engine has moved its value, so this only overwrites the
            // slot: it neither drops nor moves the old value.
            unsafe { ptr::write(self.slot, None) };
            return Ok(());
        }
        Err(SendError(()))
    }
}

/// The result of a list: its last case, or one of those before it.
pub enum Either<Earlier, Last> {
    /// One of the earlier cases, or no case of the list.
    Earlier(Earlier),
    /// The last case.
    Last(Last),
}

/// No case was taken: the `default`, or the time-out.
pub struct Otherwise;

/// The list without a case.
pub struct NoCase;

/// A list and one more case.
pub struct And<L, C>(pub L, pub C);

#[doc(hidden)]
pub trait Cases {
    /// The number of cases.
    const LEN: usize;
    /// The number of futures among them.
    const FUTURES: usize;
    /// The values that the arms receive.
    type Output;
    /// Whether the case at `index` is a future.
    fn is_future(&self, index: usize) -> bool;
    /// As [`Case::poll`], of the case at `index`.
    fn poll(&mut self, index: usize, cx: &mut Context<'_>) -> bool;
    /// Adds the entries, in order.
    fn entries(&mut self, out: &mut impl FnMut(Entry));
    /// The value that the taken arm receives; the values of the other cases are dropped.
    fn finish(self, taken: Option<Taken>) -> Self::Output;
}

impl Cases for NoCase {
    const LEN: usize = 0;
    const FUTURES: usize = 0;
    type Output = Otherwise;

    fn is_future(&self, _: usize) -> bool {
        false
    }

    fn poll(&mut self, _: usize, _: &mut Context<'_>) -> bool {
        false
    }

    #[inline]
    fn entries(&mut self, _: &mut impl FnMut(Entry)) {}

    #[inline]
    fn finish(self, _: Option<Taken>) -> Otherwise {
        Otherwise
    }
}

impl<L: Cases, C: Case> Cases for And<L, C> {
    const LEN: usize = L::LEN + 1;
    const FUTURES: usize = L::FUTURES + C::FUTURES;
    type Output = Either<L::Output, C::Output>;

    fn is_future(&self, index: usize) -> bool {
        match index == L::LEN {
            true => C::FUTURES > 0,
            false => self.0.is_future(index),
        }
    }

    fn poll(&mut self, index: usize, cx: &mut Context<'_>) -> bool {
        match index == L::LEN {
            true => self.1.poll(cx),
            false => self.0.poll(index, cx),
        }
    }

    #[inline]
    fn entries(&mut self, out: &mut impl FnMut(Entry)) {
        self.0.entries(out);
        out(self.1.entry());
    }

    #[inline]
    fn finish(self, taken: Option<Taken>) -> Self::Output {
        match taken {
            Some(taken) if taken.index == L::LEN => Either::Last(self.1.finish(taken.passed)),
            taken => Either::Earlier(self.0.finish(taken)),
        }
    }
}

macro_rules! opaque_debug {
    ($($name:ident [$($param:tt)*])*) => {$(
        impl<$($param)*> fmt::Debug for $name<$($param)*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

opaque_debug! {
    RecvCase ['a, T] SendCase ['a, T] MustSendCase ['a, T] SendFromCase ['a, T]
    Either [L, C] Otherwise [] NoCase [] And [L, C]
}
