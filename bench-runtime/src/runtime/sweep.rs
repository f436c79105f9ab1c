//! Sysmon's part in the sweep over stacks: when a pass continues, and for how long at a time.
//! [`crate::goroutine::stacks`] claims the goroutines.

use std::time::Duration;

use crate::recorder::event::Kind;
use crate::sched::machine::TIME_SLICE_NS;
use crate::sched::shared::Shared;
use crate::sched::sysmon::{ROUND_NS, Round, Watch};
use crate::stack::sweep::{self, Policy, Progress};
use crate::sys::{clock, memory};

/// A parked stack is shrunk after a given time. In this time the sweep makes so many passes over all
/// stacks. A visit to a stack takes about 30 ns. Chosen, not measured.
const PASSES: u32 = 4;

/// A runtime that compacts is under pressure if more than 1/4 of the machine's memory is resident
/// in the process. Then a stack is due after a time slice, and the sweep takes whole rounds of
/// sysmon even while goroutines run. Chosen, not measured.
const PRESSURE_SHARE: u64 = 4;

#[derive(Debug, Default)]
pub(crate) struct Sweep {
    began_ms: u32,
    /// The last pass is over.
    is_over: bool,
    /// The time from the start of the last pass to the start of the next.
    pause: Duration,
    /// The last pass is not over, or the next pass may find a stack to shrink.
    pending: bool,
    /// A P has picked a goroutine since the last pass began; that goroutine may be parked now.
    picked: bool,
    /// The process's number of compactions when the last pass began.
    compacted_count: u64,
    /// Whether there was pressure ([`PRESSURE_SHARE`]) when the last pass began.
    under_pressure: bool,
}

fn compacted_count() -> u64 {
    crate::stack::compaction_stats().compacted_count
}

impl Watch for Sweep {
    fn pause(&self, _: &'static Shared, _: u64) -> Option<Duration> {
        (self.pending || self.picked).then(|| match self.is_over {
            true => self.pause,
            false => Duration::from_nanos(ROUND_NS),
        })
    }

    /// Makes one step if a P runs. If no P runs, or under pressure, makes steps for the time of a
    /// round.
    fn check(&mut self, shared: &'static Shared, round: &Round) {
        self.picked |= round.picked;
        let began_ns = clock::now_ns();
        let now_ms = (began_ns / 1_000_000) as u32;
        if self.is_over {
            if u128::from(now_ms.wrapping_sub(self.began_ms)) < self.pause.as_millis() {
                return;
            }
            self.is_over = false;
            self.began_ms = now_ms;
            self.picked = false;
            self.compacted_count = compacted_count();
            self.under_pressure =
                shared.settings.shrink_options.compact && is_under_pressure(shared);
            // The pause is at least a time slice, even if `after` is short: else sysmon would visit
            // the stacks of a small program all the time.
            self.pause =
                (self.policy(shared).after / PASSES).max(Duration::from_nanos(TIME_SLICE_NS));
        }
        let policy = self.policy(shared);
        while !self.is_over {
            (self.is_over, self.pending) = match sweep::step(now_ms, policy) {
                Progress::More => (false, true),
                Progress::Done { pending } => {
                    let count = compacted_count() - self.compacted_count;
                    if count != 0 {
                        shared.recorder.record(Kind::Compact, count, 0);
                    }
                    (true, pending)
                }
                // Another runtime's sysmon sweeps, and may have passed some of our stacks already.
                // We begin another pass later.
                Progress::Busy => (true, true),
                Progress::Nothing => (true, false),
            };
            let has_time = !round.running || self.under_pressure;
            if !has_time || clock::now_ns() - began_ns >= ROUND_NS {
                break;
            }
        }
    }
}

impl Sweep {
    fn policy(&self, shared: &Shared) -> Policy {
        let after = shared.settings.shrink_options.after;
        Policy {
            after: match self.under_pressure {
                true => after.min(Duration::from_nanos(TIME_SLICE_NS)),
                false => after,
            },
        }
    }
}

fn is_under_pressure(shared: &Shared) -> bool {
    shared.settings.reads_files
        && memory::resident_bytes()
            .zip(memory::total_bytes())
            .is_some_and(|(resident, total)| resident > total / PRESSURE_SHARE)
}
