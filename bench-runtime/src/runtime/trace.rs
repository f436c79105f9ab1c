//! The flight recorder: the scheduler's last events, always on. Reading it stops no thread.
//!
//! Each P has a [`Ring`](crate::recorder::ring::Ring) of the last 4,096 events, which only its
//! holder writes. Events without a P (sysmon, spawns and readies from outside) go to one more
//! ring, behind a lock.
//!
//! # Levels
//!
//! | level                | events                                                  |
//! |----------------------|---------------------------------------------------------|
//! | [`Level::Coarse`]    | a P starts or stops on an M, is retaken, steals; blocking calls; batches of timers, of the poller, of compaction; threads; GOMAXPROCS |
//! | [`Level::Switches`]  | the coarse ones; each spawn, ready, run, park, yield and end |
//!
//! Coarse events are rare, or come with a system call or a lock, so a reading of the clock (25
//! ns) does not matter. A switch takes about that long in all.
//!
//! For each of four operations of `tests/instructions.rs`, Callgrind counts 8 to 25 instructions
//! more at the coarse level than without this module and [`crate::recorder::latency`], and 166 to
//! 347 more at [`Level::Switches`] (Rust 1.95, x86-64). These counts leave out the readings of
//! the clock.
//!
//! Rejected: *the time stamp counter for each switch* takes 20 to 25 cycles more on a switch of
//! 100; with *a coarse clock that sysmon advances*, events lose their order across Ps.

use std::iter;
use std::sync::atomic::Ordering;

use crate::debug::info::infos_in;
use crate::debug::snapshot::{self, track_of};
use crate::sched::current;
use crate::sched::shared::Shared;

pub use crate::recorder::Level;
pub use crate::recorder::chrome::Trace;

/// Changes how much the flight recorder of the current runtime records, for each P from its next
/// switch on. Has no effect on a plain thread: use [`crate::Runtime::set_trace`].
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

pub(crate) fn set(shared: &'static Shared, level: Level) {
    shared.recorder.level.store(level as u8, Ordering::Relaxed);
    // Release: pairs with the Acquire of the M that takes the notice.
    for p in shared.processors() {
        p.notice.store(true, Ordering::Release);
    }
}

pub(crate) fn read(shared: &'static Shared) -> Trace {
    let outside = track_of(None, &shared.recorder.others.lock());
    let inside = shared
        .processors()
        .map(|p| track_of(Some(p.id), &p.recorder.ring));
    let tracks = iter::once(outside).chain(inside).collect();
    snapshot::of(tracks, infos_in(shared.slab()))
}

/// The content of the flight recorder of the current runtime. Stops no thread. Empty on a plain
/// thread: use [`crate::Runtime::trace`].
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
