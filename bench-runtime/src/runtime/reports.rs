//! Reports for the program: the states of its goroutines, and their waits.

use super::blocking::blocking;
use crate::debug::contention::ContentionProfile;
use crate::debug::info::{GoroutineInfo, infos_in};
use crate::debug::profile::{self, GoroutineProfile};
use crate::sched::shared::Shared;
use crate::sched::{current, give_way};

/// The goroutines of the current runtime; none on a plain thread.
///
/// They are read one after the other: a goroutine that starts meanwhile may be missing.
/// [`num_goroutine`](crate::num_goroutine) misses none.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, goroutines, num_goroutine};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     for goroutine in goroutines() {
///         println!("{goroutine}");
///     }
///     assert_eq!(goroutines().len(), num_goroutine());
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn goroutines() -> Vec<GoroutineInfo> {
    give_way();
    current::runtime().map_or_else(Vec::new, |shared| infos_in(shared.slab()))
}

/// True on a goroutine's stack.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, in_goroutine};
///
/// assert!(!in_goroutine());
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// assert!(unsafe { Runtime::builder().build() }?.run(in_goroutine));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn in_goroutine() -> bool {
    current::header().is_some()
}

/// The state of every goroutine of the current runtime, with the frames of parked goroutines; empty
/// on a plain thread.
///
/// Takes some microseconds for each goroutine, and some hundred milliseconds for the first profile
/// of a process, in a [`blocking`] call. No goroutine is stopped: a goroutine that runs while its
/// stack is read is listed without frames.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, goroutine_profile};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let profile = unsafe { Runtime::builder().build() }?.run(goroutine_profile);
/// // The main goroutine, which made the profile.
/// assert_eq!(profile.groups[0].goroutines[0].id, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn goroutine_profile() -> GoroutineProfile {
    current::runtime().map_or_else(GoroutineProfile::default, whole_profile)
}

pub(crate) fn whole_profile(shared: &'static Shared) -> GoroutineProfile {
    blocking(|| profile::of(shared.slab().in_use()))
}

/// The stacks at which goroutines and threads have waited since
/// [`set_block_profile_rate`](crate::set_block_profile_rate): how often, and how long in all. A
/// wait is counted when it ends. Empty by default.
///
/// Stops no goroutine. The first profile of a process takes some hundred milliseconds, in a
/// [`blocking`] call.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, block_profile, chan, go, set_block_profile_rate, time};
/// use std::time::Duration;
///
/// fn wait_for_work(work: bench_runtime::Receiver<u32>) -> Option<u32> {
///     work.recv()
/// }
///
/// assert!(block_profile().stacks.is_empty());
/// set_block_profile_rate(Duration::from_nanos(1));
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let (tx, rx) = chan(0);
///     let waiting = go(move || wait_for_work(rx));
///     time::sleep(Duration::from_millis(5));
///     tx.send(7).unwrap();
///     assert_eq!(waiting.join().unwrap(), Some(7));
/// });
/// print!("{}", block_profile());
/// # let profile = block_profile();
/// # let mut frames = profile.stacks.iter().flat_map(|stack| &stack.frames);
/// # assert!(frames.any(|frame| frame.function.contains("wait_for_work")));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn block_profile() -> ContentionProfile {
    blocking(ContentionProfile::of_waits)
}

/// The stacks at which unlocks of a [`Mutex`](crate::sync::Mutex) or an
/// [`RwMutex`](crate::sync::RwMutex) ended waits, since
/// [`set_mutex_profile_fraction`](crate::set_mutex_profile_fraction): how many unlocks, and how
/// long those waits were in all. Empty by default.
///
/// Stops no goroutine. The first profile of a process takes some hundred milliseconds, in a
/// [`blocking`] call.
///
/// # Examples
///
/// ```
/// use bench_runtime::sync::Mutex;
/// use bench_runtime::{Runtime, go, mutex_profile, set_mutex_profile_fraction, time};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// fn hold_long(mutex: &Mutex<u32>) {
///     let _held = mutex.lock();
///     time::sleep(Duration::from_millis(5));
/// }
///
/// set_mutex_profile_fraction(1);
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let mutex = Arc::new(Mutex::new(0));
///     let all: Vec<_> = (0..2)
///         .map(|_| go({ let mutex = mutex.clone(); move || hold_long(&mutex) }))
///         .collect();
///     all.into_iter().for_each(|one| one.join().unwrap());
/// });
/// let profile = mutex_profile();
/// let mut file = Vec::new();
/// profile.write_pprof(&mut file)?; // `go tool pprof FILE` opens it.
/// # let mut frames = profile.stacks.iter().flat_map(|stack| &stack.frames);
/// # assert!(frames.any(|frame| frame.function.contains("hold_long")), "{profile}");
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn mutex_profile() -> ContentionProfile {
    blocking(ContentionProfile::of_unlocks)
}
