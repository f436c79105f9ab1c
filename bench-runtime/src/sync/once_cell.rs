use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Once;

enum Outcome<T> {
    Value(T),
    /// The computation panicked, with this message.
    Panic(String),
    /// The computation never ran, or unwound without a message: by `goexit`, or by a panic whose
    /// payload is no text.
    None,
}

/// A value that is computed once, by its first caller; other callers wait.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::OnceCell;
///
/// static GREETING: OnceCell<String> = OnceCell::new();
/// assert_eq!(GREETING.get(), None);
/// assert_eq!(GREETING.get_or_init(|| "hello".to_owned()), "hello");
/// assert_eq!(GREETING.set("again".to_owned()), Err("again".to_owned()));
/// ```
pub struct OnceCell<T> {
    once: Once,
    outcome: UnsafeCell<Outcome<T>>,
}

// SAFETY: one thread writes the outcome, before `once` is done; then it is only read. A value made
// on one thread may be dropped on another, so it must be `Send`.
unsafe impl<T: Send + Sync> Sync for OnceCell<T> {}
// SAFETY: the cell owns its value.
unsafe impl<T: Send> Send for OnceCell<T> {}

impl<T> OnceCell<T> {
    /// An empty cell.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            once: Once::new(),
            outcome: UnsafeCell::new(Outcome::None),
        }
    }

    /// The value, if it has been computed; never blocks.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        match self.outcome() {
            Some(Outcome::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// The value; the first call computes it. Blocks the goroutine while another goroutine computes
    /// it. Blocks for ever if the closure calls this on the same cell.
    ///
    /// # Panics
    ///
    /// If the computation panicked or ended its goroutine. The call that ran it panics with the
    /// same payload. Each other call panics with the same message, if the panic had one.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::OnceCell;
    ///
    /// static TABLE: OnceCell<Vec<u64>> = OnceCell::new();
    ///
    /// fn squares() -> &'static [u64] {
    ///     TABLE.get_or_init(|| (0..10).map(|n| n * n).collect())
    /// }
    ///
    /// assert_eq!(squares()[9], 81);
    /// ```
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        self.compute(f);
        match self.outcome() {
            Some(Outcome::Value(value)) => value,
            Some(Outcome::Panic(message)) => panic!("{message}"),
            _ => panic!("OnceCell: the computation of the value ended its goroutine"),
        }
    }

    /// Sets the value, unless the cell has one. Blocks the goroutine while another goroutine
    /// computes it.
    ///
    /// # Errors
    ///
    /// `value`, if the cell was set before, or its computation has run.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::OnceCell;
    ///
    /// let cell = OnceCell::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// assert_eq!(cell.into_inner(), Some(1));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.once.call(|| {
            if let Some(value) = value.take() {
                // SAFETY: as in `compute`.
                unsafe { *self.outcome.get() = Outcome::Value(value) };
            }
        });
        value.map_or(Ok(()), Err)
    }

    /// The value, if the cell has one.
    pub fn into_inner(self) -> Option<T> {
        match self.outcome.into_inner() {
            Outcome::Value(value) => Some(value),
            _ => None,
        }
    }

    #[cold]
    fn compute(&self, f: impl FnOnce() -> T) {
        self.once.call(|| {
            let result = catch_unwind(AssertUnwindSafe(f));
            let (outcome, panic) = match result {
                Ok(value) => (Outcome::Value(value), None),
                Err(panic) => (
                    message(&*panic).map_or(Outcome::None, Outcome::Panic),
                    Some(panic),
                ),
            };
            // SAFETY: `once` runs one closure only, and no thread reads the
            // outcome before it is done.
            unsafe { *self.outcome.get() = outcome };
            if let Some(panic) = panic {
                resume_unwind(panic);
            }
        });
    }

    fn outcome(&self) -> Option<&Outcome<T>> {
        // SAFETY: once `once` is done, the outcome is not written any more.
        self.once.is_done().then(|| unsafe { &*self.outcome.get() })
    }
}

fn message(panic: &(dyn Any + Send)) -> Option<String> {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(value) => f.debug_tuple("OnceCell").field(value).finish(),
            None => f.write_str("OnceCell(empty)"),
        }
    }
}
