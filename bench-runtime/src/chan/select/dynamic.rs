use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use super::engine::{Entry, Taken, Wait, index_after, run};
use super::marks::Marks;
use super::{RecvOperand, SendOperand};
use crate::chan::core::Side;
use crate::time::{after_ns, ns_of};

/// The place in which a case of a [`Select`] puts its received value, or finds the value to send.
/// Several cases may share a slot, because only one of them is taken.
///
/// # Examples
///
/// ```
/// use bench_runtime::Slot;
///
/// let slot = Slot::empty();
/// assert_eq!(slot.put(1), None);
/// assert_eq!(slot.take(), Some(1));
/// ```
pub struct Slot<T> {
    marks: Marks,
    place: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Slot<T> {
    /// An empty slot, for a receive.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Slot;
    ///
    /// let slot = Slot::<u8>::empty();
    /// assert!(!slot.is_full());
    /// assert_eq!(slot.take(), None);
    /// ```
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            marks: Marks::new(false),
            place: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// A slot with a value, for a send.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    ///
    /// let (tx, rx) = chan(1);
    /// let outgoing = Slot::with("letter");
    /// let mut select = Select::new();
    /// select.send(&tx, &outgoing);
    /// select.wait();
    /// assert!(!outgoing.is_full());
    /// assert_eq!(rx.recv(), Some("letter"));
    /// ```
    #[must_use]
    pub const fn with(value: T) -> Self {
        Self {
            marks: Marks::new(true),
            place: UnsafeCell::new(MaybeUninit::new(value)),
        }
    }

    /// True if there is a value.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.marks.full.get()
    }

    /// Takes the value out: `None` if there is none, as after a receive from a
    /// closed channel.
    ///
    /// # Panics
    ///
    /// If a [`Select`] that uses the slot is waiting. Only another goroutine can make this call
    /// then, if the slot is in a thread-local.
    pub fn take(&self) -> Option<T> {
        self.marks.assert_not_lent();
        // SAFETY: `full` was set, so the place is initialised; it is cleared now. A slot is not
        // `Sync`, and no select with it waits, because it is not lent.
        self.marks
            .full
            .replace(false)
            .then(|| unsafe { (*self.place.get()).assume_init_read() })
    }

    /// Puts a value in; returns the value that was there.
    ///
    /// # Panics
    ///
    /// As [`Self::take`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::Slot;
    ///
    /// let slot = Slot::with(1);
    /// assert_eq!(slot.put(2), Some(1));
    /// assert_eq!(slot.take(), Some(2));
    /// ```
    pub fn put(&self, value: T) -> Option<T> {
        let before = self.take();
        // SAFETY: as in `take`; the place is empty.
        unsafe { (*self.place.get()).write(value) };
        self.marks.full.set(true);
        before
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        // No select borrows it any more. If a goroutine ended while its select waited, the slots
        // stay lent: their values may have been received, and are not dropped.
        if !self.marks.lent.get() {
            drop(self.take());
        }
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_full() {
            "Slot(full)"
        } else {
            "Slot(empty)"
        })
    }
}

/// Up to this many cases need no allocation.
const INLINE_CASES: usize = 8;

/// A select whose cases are added at run time. If the number of cases is known,
/// [`select!`](crate::select) reads better.
///
/// A receiving case is disabled while its slot is full, a sending case while its slot is empty.
/// `None` or a nil end disables a case too. The cases stay after a wait.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, Select, Slot};
///
/// let channels: Vec<_> = (0..10).map(|_| chan(1)).collect();
/// channels[3].0.send("three").unwrap();
///
/// let slot = Slot::empty();
/// let mut select = Select::new();
/// for (_, rx) in &channels {
///     select.recv(rx, &slot);
/// }
/// assert_eq!(select.wait().index(), 3);
/// assert_eq!(slot.take(), Some("three"));
/// assert_eq!(select.try_wait(), None);
/// ```
pub struct Select<'a> {
    len: usize,
    inline: [MaybeUninit<Entry>; INLINE_CASES],
    /// Holds all cases once they do not fit into `inline`.
    on_heap: Vec<Entry>,
    borrows: PhantomData<&'a ()>,
}

impl<'a> Select<'a> {
    /// A select without cases.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// A select without cases, with room for `cases` of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    ///
    /// let channels: Vec<_> = (0..100).map(|_| chan::<u8>(0)).collect();
    /// let slot = Slot::empty();
    /// let mut select = Select::with_capacity(channels.len());
    /// for (_, rx) in &channels {
    ///     select.recv(rx, &slot);
    /// }
    /// assert_eq!((select.len(), select.is_empty()), (100, false));
    /// ```
    #[must_use]
    pub fn with_capacity(cases: usize) -> Self {
        Self {
            len: 0,
            inline: [const { MaybeUninit::uninit() }; INLINE_CASES],
            on_heap: if cases > INLINE_CASES {
                Vec::with_capacity(cases)
            } else {
                Vec::new()
            },
            borrows: PhantomData,
        }
    }

    /// Adds a case that receives into `slot`; returns its index. A disabled case has an index too.
    ///
    /// # Panics
    ///
    /// With more than 65,535 cases.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    ///
    /// let (tx, rx) = chan(1);
    /// tx.send(9).unwrap();
    /// let slot = Slot::empty();
    /// let mut select = Select::new();
    /// let ours = select.recv(&rx, &slot);
    /// assert_eq!(select.wait().index(), ours);
    /// assert_eq!(slot.take(), Some(9));
    ///
    /// tx.send(10).unwrap();
    /// let disabled: Option<&bench_runtime::Receiver<i32>> = None;
    /// let mut select = Select::new();
    /// select.recv(&disabled, &slot);
    /// let second = select.recv(&rx, &slot);
    /// assert_eq!((select.wait().index(), second), (1, 1));
    /// ```
    pub fn recv<O: RecvOperand>(&mut self, from: &'a O, slot: &'a Slot<O::Item>) -> usize {
        let core = from.receiver().and_then(|end| end.chan());
        let entry = Entry::new(
            core.map(|chan| chan.core_ptr()),
            Side::Recv,
            slot.place.get().cast(),
        );
        self.add(entry, &slot.marks)
    }

    /// Adds a case that sends the value in `slot`; returns its index.
    ///
    /// # Panics
    ///
    /// As for [`Self::recv`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    ///
    /// let (tx, rx) = chan(2);
    /// let next = Slot::with(1);
    /// let mut select = Select::new();
    /// select.send(&tx, &next);
    /// select.wait();
    /// // The case stays, and is enabled again by a new value.
    /// next.put(2);
    /// select.wait();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn send<O: SendOperand>(&mut self, to: &'a O, slot: &'a Slot<O::Item>) -> usize {
        let core = to.sender().and_then(|end| end.chan());
        let entry = Entry::new(
            core.map(|chan| chan.core_ptr()),
            Side::Send,
            slot.place.get().cast(),
        );
        self.add(entry, &slot.marks)
    }

    fn add(&mut self, mut entry: Entry, marks: &'a Marks) -> usize {
        let index = self.len + self.on_heap.len();
        entry.index = index_after(index);
        entry.marks = marks;
        if index < INLINE_CASES {
            self.inline[index].write(entry);
            self.len += 1;
            return index;
        }
        if self.on_heap.is_empty() {
            if self.on_heap.capacity() <= INLINE_CASES {
                self.on_heap.reserve(INLINE_CASES * 2);
            }
            for inline in &self.inline {
                // SAFETY: all of them are filled; `len` is 0 from now on, so
                // each is moved once.
                self.on_heap.push(unsafe { inline.assume_init_read() });
            }
            self.len = 0;
        }
        self.on_heap.push(entry);
        index
    }

    /// How many cases it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len + self.on_heap.len()
    }

    /// True if it has no case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until a case is ready and carries it out; blocks the goroutine. Blocks for ever if no
    /// case is enabled.
    ///
    /// # Panics
    ///
    /// If another `Select` that uses one of the same slots is waiting: see [`Slot::take`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    ///
    /// let (tx, rx) = chan::<u8>(0);
    /// drop(tx);
    /// let slot = Slot::empty();
    /// let mut select = Select::new();
    /// select.recv(&rx, &slot);
    /// let end = select.wait();
    /// assert!(end.is_closed());
    /// assert_eq!(slot.take(), None);
    /// ```
    pub fn wait(&mut self) -> Selected {
        loop {
            if let Some(selected) = self.run(Wait::Forever) {
                return selected;
            }
        }
    }

    /// Carries out a case if one is ready now.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    ///
    /// let (tx, rx) = chan(1);
    /// let slot = Slot::empty();
    /// let mut select = Select::new();
    /// select.recv(&rx, &slot);
    /// assert!(select.try_wait().is_none());
    /// tx.send("now").unwrap();
    /// assert!(select.try_wait().is_some());
    /// assert_eq!(slot.take(), Some("now"));
    /// ```
    pub fn try_wait(&mut self) -> Option<Selected> {
        self.run(Wait::Poll)
    }

    /// Waits for `timeout` at most; blocks the goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = chan::<u8>(0);
    /// let slot = Slot::empty();
    /// let mut select = Select::new();
    /// select.recv(&rx, &slot);
    /// assert!(select.wait_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Selected> {
        self.run(Wait::Until(after_ns(timeout)))
    }

    /// Waits until `deadline` at the latest; blocks the goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{chan, Select, Slot};
    /// use std::time::{Duration, Instant};
    ///
    /// let (tx, rx) = chan(4);
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// let slot = Slot::empty();
    /// let mut select = Select::new();
    /// select.recv(&rx, &slot);
    /// // Receives all values that come before the deadline.
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// let mut sum = 0;
    /// while select.wait_deadline(deadline).is_some() {
    ///     sum += slot.take().unwrap_or(0);
    /// }
    /// assert_eq!(sum, 3);
    /// ```
    pub fn wait_deadline(&mut self, deadline: Instant) -> Option<Selected> {
        self.run(Wait::Until(ns_of(deadline)))
    }

    fn run(&mut self, wait: Wait) -> Option<Selected> {
        let entries = if self.on_heap.is_empty() {
            // SAFETY: the first `len` are filled.
            unsafe { self.inline[..self.len].assume_init_mut() }
        } else {
            &mut self.on_heap[..]
        };
        for entry in &mut *entries {
            // SAFETY: each case borrows its slot.
            let marks = unsafe { &*entry.marks };
            marks.assert_not_lent();
            entry.enabled = entry.has_channel() && marks.full.get() == (entry.side == Side::Send);
        }
        Self::mark_lent(entries, true);
        // SAFETY: each case borrows its end, so the channels are alive. Each case also borrows its
        // slot. The slot of an enabled case has a value to send, or room for one, and no other code
        // uses a slot that is marked as lent.
        let taken = unsafe { run(entries, wait) };
        Self::mark_lent(entries, false);
        taken.map(|taken| Self::record_taken(entries, taken))
    }

    fn mark_lent(entries: &[Entry], lent: bool) {
        for entry in entries {
            // SAFETY: each case borrows its slot.
            unsafe { &*entry.marks }.lent.set(lent);
        }
    }

    /// Records in the slot of the taken case whether its value was moved.
    fn record_taken(entries: &[Entry], taken: Taken) -> Selected {
        if taken.passed
            && let Some(entry) = entries
                .iter()
                .find(|entry| usize::from(entry.index) == taken.index)
        {
            // SAFETY: each case borrows its slot.
            unsafe { &*entry.marks }.full.set(entry.side == Side::Recv);
        }
        Selected {
            index: taken.index,
            closed: !taken.passed,
        }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("cases", &self.len())
            .finish_non_exhaustive()
    }
}

/// The case that a [`Select`] took.
///
/// # Examples
///
/// ```
/// use bench_runtime::{chan, Select, Slot};
///
/// let (tx, rx) = chan(1);
/// tx.send(1).unwrap();
/// let slot = Slot::empty();
/// let mut select = Select::new();
/// let case = select.recv(&rx, &slot);
/// let selected = select.wait();
/// assert_eq!((selected.index(), selected.is_closed()), (case, false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    index: usize,
    closed: bool,
}

impl Selected {
    /// The taken case: the index that [`Select::recv`] or [`Select::send`] returned.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// True if the channel was closed, so that no value moved.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}
