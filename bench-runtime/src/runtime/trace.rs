//! The flight recorder: the scheduler's last events, always on.
//!
//! Each P has a [`Ring`](crate::recorder::ring::Ring) of the last 4,096 events, which only its
//! holder writes; events without a P (sysmon, spawns and readies from outside) go to one more ring,
//! behind a lock. Reading them stops no thread.
//!
//! # What is recorded when
//!
//! | level                | events                                                  |
//! |----------------------|---------------------------------------------------------|
//! | [`Level::Coarse`]    | a P starts or stops on an M, is retaken, steals; blocking calls; batches of timers, of the poller, of compaction; threads; GOMAXPROCS |
//! | [`Level::Switches`]  | those, and each spawn, ready, run, park, yield and end  |
//!
//! A coarse event comes with a system call or a lock, or is rare, so a reading of the clock (25 ns)
//! does not matter. A switch takes about that long in all, so switches are recorded only on
//! request. With the default level each spawn, ready and run only checks the level, by a load of
//! [`Part::watches`](crate::recorder::part::Part::watches) and a branch.
//!
//! The cost in instructions, as callgrind counts them for the operations of `tests/instructions.rs`
//! (Rust 1.95, x86-64, pinned / migrating): without this module and [`crate::recorder::latency`],
//! with them, and with each switch recorded.
//!
//! | operation                            | without   | coarse    | switches   |
//! |--------------------------------------|-----------|-----------|------------|
//! | two yields                           | 424 / 363 | 432 / 371 | 641 / 580  |
//! | spawn and join                       | 740 / 616 | 759 / 630 | 1,088 / 962 |
//! | spawn one of a batch                 | 375 / 358 | 383 / 367 | 549 / 533  |
//! | round trip over unbuffered channels  | 960 / 804 | 981 / 829 | 1,328 / 1,172 |
//!
//! (In the last column the readings of the clock are counted too low: under valgrind they are
//! system calls, whose instructions are not counted.)
//!
//! # Rejected
//!
//! - *The time stamp counter for each switch, always*: 20 to 25 cycles more on
//!   a switch of 100.
//! - *A coarse clock that sysmon advances*: events of one millisecond would
//!   have one time, and their order across Ps, the purpose of a trace, would be
//!   lost.

use std::iter;
use std::sync::atomic::Ordering;

use crate::debug::info::infos_in;
use crate::debug::snapshot::{self, track_of};
use crate::sched::current;
use crate::sched::shared::Shared;

pub use crate::recorder::Level;
pub use crate::recorder::chrome::Trace;

/// Changes how much the flight recorder of the current runtime records, for
/// each P from its next switch on. It has no effect on a plain thread: use
/// [`crate::Runtime::set_trace`].
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, trace, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     trace::set_level(trace::Level::Switches);
///     yield_now(); // What is to be looked at.
///     trace::set_level(trace::Level::Coarse);
///     println!("{} events", trace::snapshot().events_count());
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_level(level: Level) {
    if let Some(shared) = current::runtime() {
        set(shared, level);
    }
}

/// Sets the level; each P uses it from its next pick on.
pub(crate) fn set(shared: &'static Shared, level: Level) {
    shared.recorder.level.store(level as u8, Ordering::Relaxed);
    // Release: pairs with the Acquire of the M that takes the notice.
    for p in shared.processors() {
        p.notice.store(true, Ordering::Release);
    }
}

/// The content of the flight recorder. Stops no thread.
pub(crate) fn read(shared: &'static Shared) -> Trace {
    let outside = track_of(None, &shared.recorder.others.lock());
    let inside = shared
        .processors()
        .map(|p| track_of(Some(p.id), &p.recorder.ring));
    let tracks = iter::once(outside).chain(inside).collect();
    snapshot::of(tracks, infos_in(shared.slab()))
}

/// The content of the flight recorder of the current runtime; empty on a plain
/// thread, for which there is [`crate::Runtime::trace`]. Stops no thread.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, trace};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// let held = runtime.run(|| trace::snapshot().events_count());
/// assert!(held > 0); // At least that the P it runs on has started.
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn snapshot() -> Trace {
    current::runtime().map_or_else(Trace::default, read)
}
