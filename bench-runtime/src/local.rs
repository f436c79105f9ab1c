use std::any::Any;
use std::fmt;

use crate::goroutine::locals::Values;
use crate::sched::current;

/// A key with one value for each goroutine, which is dropped when the goroutine ends. It replaces
/// a thread-local, which all goroutines of a thread share. In a migrating runtime goroutines may
/// also change threads.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoroutineLocal, Runtime, go};
/// use std::cell::Cell;
///
/// static COUNT: GoroutineLocal<Cell<u32>> = GoroutineLocal::new(|| Cell::new(0));
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     COUNT.with(|count| count.set(1));
///     let other = go(|| COUNT.with(Cell::get)).join().unwrap();
///     assert_eq!((COUNT.with(Cell::get), other), (1, 0));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct GoroutineLocal<T: 'static> {
    init: fn() -> T,
}

impl<T> fmt::Debug for GoroutineLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GoroutineLocal")
    }
}

impl<T: 'static> GoroutineLocal<T> {
    /// A key; `init` makes a goroutine's value at its first use.
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Calls `f` with this goroutine's value. `f` must not park. It may use the values of other
    /// keys.
    ///
    /// # Panics
    ///
    /// Outside every goroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{GoroutineLocal, Runtime, go};
    /// use std::cell::RefCell;
    ///
    /// static LOG: GoroutineLocal<RefCell<Vec<&str>>> = GoroutineLocal::new(Default::default);
    ///
    /// fn note(what: &'static str) {
    ///     LOG.with(|log| log.borrow_mut().push(what));
    /// }
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let notes = unsafe { Runtime::builder().build() }?.run(|| {
    ///     go(|| note("of another goroutine")).join().unwrap();
    ///     note("begun");
    ///     note("done");
    ///     LOG.with(RefCell::take)
    /// });
    /// assert_eq!(notes, ["begun", "done"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let Some(header) = current::header() else {
            panic!("GoroutineLocal::with outside a goroutine: use thread_local! on a plain thread")
        };
        let key = std::ptr::from_ref(self) as usize;
        if header.locals.get().is_null() {
            header
                .locals
                .set(Box::into_raw(Box::<Values>::default()).cast());
        }
        let values = header.locals.get().cast::<Values>();
        // SAFETY: the map is this goroutine's alone; no reference into it is held while `init`
        // runs, which may use other keys.
        let value: *const dyn Any = match unsafe { (*values).get(&key) } {
            Some(value) => &raw const **value,
            None => {
                let fresh: Box<dyn Any> = Box::new((self.init)());
                // `init` may have used this key. Then the value of that use stays, and `fresh` is
                // dropped at the end of this block, when the map is not borrowed.
                let mut fresh = Some(fresh);
                // SAFETY: as above; the closure runs no code of the user's.
                unsafe {
                    let entry = (*values).entry(key);
                    &raw const **entry.or_insert_with(|| fresh.take().expect("made above"))
                }
            }
        };
        // SAFETY: the value is boxed and entries are only dropped at the end of the goroutine, so
        // it does not move when other keys are added.
        let Some(value) = (unsafe { (*value).downcast_ref::<T>() }) else {
            unreachable!("a key has one type")
        };
        f(value)
    }
}
