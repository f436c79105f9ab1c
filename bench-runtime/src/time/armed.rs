//! Arming a timer: of the caller's runtime, or of plain threads.

use crate::sched;
use crate::sys::clock;
use crate::time::outside;
use crate::timer::Action;
pub(crate) use crate::timer::Armed;

/// Arms a timer for `when_ns` (of [`crate::sched::now_ns`]) in the caller's runtime; on a plain
/// thread as [`arm_outside`].
pub(crate) fn arm(when_ns: u64, action: Action) -> Armed {
    sched::arm(when_ns, action).unwrap_or_else(|action| arm_outside(when_ns, action))
}

pub(crate) fn arm_outside(when_ns: u64, action: Action) -> Armed {
    let (armed, first) = outside::timers().arm_here(when_ns, action);
    if first {
        outside::look_again();
    }
    armed
}

/// Converts a time of a runtime's clock, which shows `now_ns` now, for [`arm_outside`].
pub(crate) fn outside_ns(when_ns: u64, now_ns: u64) -> u64 {
    clock::now_ns().saturating_add(when_ns.saturating_sub(now_ns))
}
