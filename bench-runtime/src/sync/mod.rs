//! How goroutines wait for each other, in addition to channels.
//!
//! All types here also work on a plain thread, and then block the thread. So threads can exchange
//! values with goroutines. A panic poisons nothing: as in Go, a mutex guards the access to a value,
//! not its consistency.
//!
//! # What other crates do
//!
//! Other crates provide these parts of Go's libraries. Each is tested from goroutines in both
//! modes.
//!
//! | in Go                    | crate                | from a goroutine                             |
//! |--------------------------|----------------------|----------------------------------------------|
//! | `sync.Map`               | `dashmap`            | as usual, but hold no guard (`Ref`, `Entry`, an iterator) while you wait |
//! | `golang.org/x/time/rate` | `governor`           | `block_on(limiter.until_ready())`, or `check` and [`time::sleep`](crate::time::sleep) |
//! | `singleflight`, with a cache | `moka::future`   | `block_on(cache.get_with(key, async { … }))`; not `moka::sync`, which blocks the thread |
//!
//! `singleflight` without a cache is a map of [`OnceCell`]s. Here `call` is its `Do`, and
//! `call_with` its `DoChan`: the caller waits until the context ends at the latest.
//!
//! ```
//! use bench_runtime::context::Context;
//! use bench_runtime::sync::{Mutex, OnceCell};
//! use bench_runtime::{Runtime, chan, go, scope, select, time};
//! use std::collections::HashMap;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! /// Calls that are under way, by key.
//! struct Flights<V>(Mutex<HashMap<String, Arc<OnceCell<V>>>>);
//!
//! impl<V: Clone> Flights<V> {
//!     /// Calls `f`, or waits for the call for this key that is under way. If that panics, so
//!     /// does this.
//!     fn call(&self, key: &str, f: impl FnOnce() -> V) -> V {
//!         let cell = self.0.lock().entry(key.to_owned()).or_default().clone();
//!         let landing = Landing { flights: self, key, cell };
//!         landing.cell.get_or_init(f).clone()
//!     }
//!
//!     /// The same, until the context ends: then the call continues without this caller.
//!     fn call_with<F>(self: &Arc<Self>, ctx: &Context, key: String, f: F) -> Option<V>
//!     where
//!         F: FnOnce() -> V + Send + 'static,
//!         V: Send + Sync + 'static,
//!     {
//!         let (flights, (result, value)) = (self.clone(), chan(1));
//!         go!(result.send(flights.call(&key, f)));
//!         select! {
//!             recv(value) -> value => value,
//!             recv(ctx.done()) => None,
//!         }
//!     }
//! }
//!
//! /// Removes the key, also after a panic: the next call begins anew.
//! struct Landing<'a, V> {
//!     flights: &'a Flights<V>,
//!     key: &'a str,
//!     cell: Arc<OnceCell<V>>,
//! }
//!
//! impl<V> Drop for Landing<'_, V> {
//!     fn drop(&mut self) {
//!         let mut flights = self.flights.0.lock();
//!         if flights.get(self.key).is_some_and(|known| Arc::ptr_eq(known, &self.cell)) {
//!             flights.remove(self.key);
//!         }
//!     }
//! }
//!
//! // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
//! unsafe { Runtime::builder().build() }?.run(|| {
//!     let flights = Arc::new(Flights(Mutex::new(HashMap::new())));
//!     let calls = AtomicU32::new(0);
//!     scope(|s| {
//!         for _ in 0..10 {
//!             s.go(|| {
//!                 let value = flights.call("key", || {
//!                     time::sleep(Duration::from_millis(20));
//!                     calls.fetch_add(1, Ordering::Relaxed) + 1
//!                 });
//!                 assert!(value >= 1);
//!             });
//!         }
//!     });
//!     assert!(calls.into_inner() < 10);
//!
//!     let theirs = flights.clone();
//!     assert!(go(move || theirs.call("key", || panic!("once"))).join().is_err());
//!     assert_eq!(flights.call("key", || 7), 7);
//!
//!     let (ctx, cancel) = Context::background().with_cancel();
//!     assert_eq!(flights.call_with(&ctx, "key".to_owned(), || 8), Some(8));
//!     cancel.cancel();
//!     let (finish, wait) = chan::<()>(0);
//!     let late = flights.call_with(&ctx, "key".to_owned(), move || wait.recv().map_or(9, |()| 9));
//!     assert_eq!(late, None);
//!     drop(finish);
//! });
//! # Ok::<(), std::io::Error>(())
//! ```

mod cond;
mod err_group;
mod mutex;
mod once;
mod once_cell;
mod pool;
mod rw_mutex;
mod semaphore;
pub(crate) mod signal;
mod wait_group;
mod waiting;

pub use cond::Cond;
pub use err_group::ErrGroup;
pub use mutex::{Mutex, MutexGuard};
pub use once::Once;
pub use once_cell::OnceCell;
pub use pool::{Pool, Pooled};
pub use rw_mutex::{RwMutex, RwMutexReadGuard, RwMutexWriteGuard};
pub use semaphore::{AcquireError, OwnedPermit, Permit, Semaphore};
pub use wait_group::WaitGroup;
