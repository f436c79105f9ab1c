//! A timer of the caller's runtime.

use crate::sched;
use crate::time::outside;
use crate::timer::Action;
pub(crate) use crate::timer::Armed;

/// Arms a timer for a time of [`crate::sched::now_ns`]: one of the runtime, or
/// of the thread that does it for plain threads.
pub(crate) fn arm(when_ns: u64, action: Action) -> Armed {
    sched::arm(when_ns, action).unwrap_or_else(|action| {
        let (armed, first) = outside::timers().arm_here(when_ns, action);
        if first {
            outside::look_again();
        }
        armed
    })
}
