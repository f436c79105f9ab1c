//! The timers of plain threads, and the thread that fires them.

use std::sync::OnceLock;
use std::time::Duration;

use crate::sched::{self, readied, wakers};
use crate::shim::Ordering;
use crate::sys::{fork, futex};
use crate::timer::Timers;

// std's, because loom's atomics cannot be in a static.
use std::sync::atomic::AtomicU32;

static TIMERS: OnceLock<Timers> = OnceLock::new();
/// Incremented when the thread must check the timers again.
static CHANGES: AtomicU32 = AtomicU32::new(0);

/// The first call starts the thread that fires the timers.
///
/// # Panics
///
/// If the thread cannot be started; and in the child of a fork whose parent has started the thread,
/// because the child does not have it.
pub(super) fn timers() -> &'static Timers {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    let process = *PROCESS.get_or_init(std::process::id);
    assert!(
        !fork::is_child() || process == std::process::id(),
        "this is the child of a fork, and the thread that fires its timers is the parent's: use \
         them after the fork alone"
    );
    TIMERS.get_or_init(|| {
        fork::watch();
        let started = std::thread::Builder::new()
            .name("threadbare-timer".into())
            .stack_size(256 << 10)
            .spawn(fire_for_ever);
        if let Err(e) = started {
            panic!("cannot start the thread that fires timers; see `ulimit -u`: {e}");
        }
        Timers::new()
    })
}

/// Makes the thread check the timers again, after a timer was armed that comes before all others.
pub(super) fn look_again() {
    // Release: pairs with the Acquire in `fire_for_ever`.
    CHANGES.fetch_add(1, Ordering::Release);
    futex::wake(&CHANGES, 1);
}

fn fire_for_ever() {
    let timers = TIMERS.wait();
    let mut ready = Vec::new();
    loop {
        // Acquire: pairs with the Release in `look_again`. Read before the
        // timers are checked: a later change ends the sleep.
        let seen = CHANGES.load(Ordering::Acquire);
        let mut woken = wakers::collecting(|| timers.poll(sched::now_ns(), &mut ready));
        for who in ready.drain(..) {
            readied::ready_later(who, &mut woken);
        }
        wakers::wake_apart(woken);
        let left = match timers.next_ns() {
            u64::MAX => None,
            next => Some(Duration::from_nanos(next.saturating_sub(sched::now_ns()))),
        };
        if left.is_none_or(|left| !left.is_zero()) {
            futex::wait(&CHANGES, seen, left);
        }
    }
}
