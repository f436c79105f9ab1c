//! A timer of whoever runs this code.

use crate::seam;
use crate::time::outside;
use crate::timer::{Action, TimerKey, Timers};

/// A timer that was armed, wherever that was. Dropping it leaves it armed.
#[derive(Debug)]
pub(crate) struct Armed {
    timers: &'static Timers,
    key: TimerKey,
}

/// Arms a timer for a time of [`crate::sched::now_ns`].
pub(crate) fn arm(when_ns: u64, action: Action) -> Armed {
    let own = seam::timers();
    let timers = own.unwrap_or_else(outside::timers);
    let key = timers.arm(when_ns, action);
    if timers.next_ns() == when_ns {
        match own {
            Some(_) => seam::timer_armed_first(when_ns),
            None => outside::look_again(),
        }
    }
    Armed { timers, key }
}

impl Armed {
    /// Takes the timer back; see [`Timers::cancel`].
    pub(crate) fn cancel(self) -> bool {
        self.timers.cancel(self.key)
    }
}
