//! The action of a timer when it fires, and the key of an armed timer.

use std::fmt;
use std::sync::Arc;

use crate::goroutine::Parkable;
use crate::netpoll::{PollDesc, Side};

#[derive(Clone)]
pub(crate) enum Action {
    /// Readies the parkable that waits with that ticket, unless the wait is over.
    Wake {
        who: Parkable,
        ticket: u32,
    },
    /// Readies the parkable that waits for a descriptor, if it still waits.
    Expire {
        desc: &'static PollDesc,
        side: Side,
        who: Parkable,
    },
    Call(Arc<dyn Call>),
    /// Once each period; missed periods are skipped.
    Every(Arc<Periodic>),
}

/// A call that a timer makes, on the stack of the thread that polls: in the scheduler,
/// where the program's code must not run.
pub(crate) trait Call: Send + Sync {
    /// Must be short and must not block. `when_ns` is the time for which the timer was armed. A
    /// call that owns values of the program must move itself to a goroutine, because `self` may be
    /// the last reference to them.
    fn fire(self: Arc<Self>, when_ns: u64);

    /// Called when the timer's runtime stops; the runtime's clock shows `now_ns`. A call that
    /// must still be made arms itself in the timers of plain threads.
    fn outlive(self: Arc<Self>, _now_ns: u64) {}
}

impl<F: Fn(u64) + Send + Sync> Call for F {
    fn fire(self: Arc<Self>, when_ns: u64) {
        self(when_ns);
    }
}

pub(crate) struct Periodic {
    /// At least 1.
    pub(crate) period_ns: u64,
    /// As [`Call::fire`]; it holds none of the program's values.
    pub(crate) call: Box<dyn Fn(u64) + Send + Sync>,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wake { who, ticket } => write!(f, "Wake({who:?}, {ticket})"),
            Self::Expire { who, side, .. } => write!(f, "Expire({who:?}, {side:?})"),
            Self::Call(_) => f.write_str("Call"),
            Self::Every(periodic) => write!(f, "Every({} ns)", periodic.period_ns),
        }
    }
}

/// A timer that was armed; it may have fired since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    pub(super) place: u32,
    pub(super) generation: u32,
}
