//! The main goroutine: that of [`Runtime::run`](crate::Runtime::run).

use std::sync::atomic::Ordering;

use super::deadlock::check_deadlock;
use super::join::JoinError;
use super::spawn;
use crate::debug::info::infos_in;
use crate::sched::current;
use crate::sched::shared::Shared;

/// Panics as the main goroutine did, or because it ended without a result.
#[track_caller]
pub(super) fn panic_as_main(error: JoinError) -> ! {
    match error {
        JoinError::Panicked(payload) => std::panic::resume_unwind(payload.into_inner()),
        error => panic!("the main goroutine did not return: {error}"),
    }
}

/// Runs `f` in a goroutine and waits for its end. `Err`: why the goroutine has not ended.
///
/// # Safety
///
/// After an `Err` the caller never frees the values that `f` and its result borrow.
#[track_caller]
pub(super) unsafe fn run_main<T, F>(
    shared: &'static Shared,
    f: F,
) -> Result<Result<T, JoinError>, String>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    /// Dropped at the goroutine's end. From then on the thread in `run` counts as an outside thread
    /// again, because it may be woken at any time.
    struct CountedRunner(&'static Shared);
    impl Drop for CountedRunner {
        fn drop(&mut self) {
            self.0.runners_count.fetch_sub(1, Ordering::SeqCst);
        }
    }
    // A goroutine that calls `run` does not count as a waiting thread.
    let waits_as_thread = current::header().is_none();
    let counted = waits_as_thread.then(|| CountedRunner(shared));
    let main = move || {
        let _counted = counted;
        f()
    };
    // SAFETY: by the caller's promise. This neither returns `Ok` nor unwinds before the goroutine
    // has ended and its result is taken.
    let handle = unsafe { spawn::borrowing(shared, main) };
    if waits_as_thread {
        // After the spawn: until then this thread still had to make the goroutine runnable.
        shared.runners_count.fetch_add(1, Ordering::SeqCst);
        // If all Ms slept before the count was raised, the last of them took this thread for an
        // outside thread, and did not report a deadlock.
        check_deadlock(shared);
    }
    if !handle.wait() {
        let all: Vec<String> = infos_in(shared.slab())
            .iter()
            .map(ToString::to_string)
            .collect();
        return Err(format!(
            "all goroutines are asleep - deadlock!\n{}",
            all.join("\n")
        ));
    }
    match handle.join() {
        Err(error @ JoinError::Unfinished) => {
            Err(format!("the main goroutine did not return: {error}"))
        }
        end => Ok(end),
    }
}
