use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::sched;
use crate::util::lock::Lock;

/// A few times the number of processors of a usual host.
const SHARDS: usize = 16;

/// How many objects a list keeps. Further objects are dropped.
const KEEP: usize = 64;

/// A list of objects, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<T>(Lock<Vec<T>>);

/// Objects that are costly to make, kept for reuse.
///
/// As in Go, an object that was put back may be dropped at any time. The pool does not reset
/// objects.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Pool;
///
/// let buffers = Pool::new(|| Vec::<u8>::with_capacity(4096));
/// {
///     let mut buffer = buffers.get();
///     buffer.clear();
///     buffer.extend(b"work");
/// }
/// assert!(buffers.get().capacity() >= 4096);
/// ```
pub struct Pool<T> {
    shards: [Shard<T>; SHARDS],
    make: Box<dyn Fn() -> T + Send + Sync>,
}

impl<T> Pool<T> {
    /// An empty pool; `make` is called when the pool is empty.
    pub fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard(Lock::new(Vec::new()))),
            make: Box::new(make),
        }
    }

    /// An object, which is put back when the guard is dropped.
    pub fn get(&self) -> Pooled<'_, T> {
        Pooled {
            pool: self,
            object: Some(self.take()),
        }
    }

    /// An object, to keep or to [`Self::put`] back.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Pool;
    ///
    /// let pool = Pool::new(Vec::<u8>::new);
    /// let mut buffer = pool.take();
    /// buffer.push(1);
    /// // Unlike a guard it does not borrow the pool, so another thread may have it.
    /// let buffer = std::thread::spawn(move || buffer).join().unwrap();
    /// pool.put(buffer);
    /// ```
    pub fn take(&self) -> T {
        let start = shard_here();
        for offset in 0..SHARDS {
            // A list that is in use is skipped.
            let shard = &self.shards[(start + offset) % SHARDS].0;
            let spare = shard.try_lock().and_then(|mut list| list.pop());
            if let Some(object) = spare {
                sched::give_way();
                return object;
            }
        }
        sched::give_way();
        (self.make)()
    }

    /// Gives an object to the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::Pool;
    ///
    /// let pool = Pool::new(String::new);
    /// pool.put(String::from("used before"));
    /// assert_eq!(pool.take(), "used before");
    /// assert_eq!(pool.take(), "", "a new one");
    /// ```
    pub fn put(&self, object: T) {
        sched::give_way();
        let start = shard_here();
        for offset in 0..SHARDS {
            let shard = &self.shards[(start + offset) % SHARDS].0;
            if let Some(mut list) = shard.try_lock() {
                if list.len() < KEEP {
                    list.push(object);
                    return;
                }
                break;
            }
        }
        // The list is full, or all lists are in use: the object is dropped here, where no lock is
        // held.
    }
}

/// The list that the caller tries first. The addresses of their stacks spread goroutines and
/// threads over the lists.
fn shard_here() -> usize {
    let here = 0_u8;
    let page = std::ptr::from_ref(&here).addr() >> 16;
    // The high bits of a product by the golden ratio are well mixed.
    (page as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> 60
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// An object of a [`Pool`]; put back on drop.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Pool;
///
/// let pool = Pool::new(Vec::<u32>::new);
/// let mut scratch = pool.get();
/// scratch.clear();
/// scratch.extend([3, 1, 2]);
/// scratch.sort_unstable();
/// assert_eq!(*scratch, [1, 2, 3]);
/// ```
pub struct Pooled<'a, T> {
    pool: &'a Pool<T>,
    /// `None` only during the drop.
    object: Option<T>,
}

impl<T> Pooled<'_, T> {
    /// Takes the object out of the guard, so it is not put back.
    ///
    /// # Panics
    ///
    /// Never: a guard holds its object until it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::sync::{Pool, Pooled};
    ///
    /// let pool = Pool::new(|| vec![0; 4]);
    /// let ours: Vec<u8> = Pooled::into_inner(pool.get());
    /// assert_eq!(ours.len(), 4);
    /// ```
    #[must_use]
    pub fn into_inner(mut this: Self) -> T {
        this.object.take().expect("a guard holds its object")
    }
}

impl<T> Deref for Pooled<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object.as_ref().expect("a guard holds its object")
    }
}

impl<T> DerefMut for Pooled<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.object.as_mut().expect("a guard holds its object")
    }
}

impl<T> Drop for Pooled<'_, T> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.pool.put(object);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Pooled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}
